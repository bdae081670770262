# SPDX-License-Identifier: GPL-2.0-only
"""A server as the demo sees it: this one, or its peer on their network, which runs peer.py."""

import os
from multiprocessing.managers import BaseManager

import server
from arcs import ArcTrace
from kmsg import KernelLog
from vm import VM, wait

PORT = 7006
# Nobody else is on that network.
KEY = b"lab"

# Fields of /proc/meminfo. Not what comes and goes with programs: their page tables, and the stacks that they have in the
# kernel, which are part of VmallocUsed.
KERNEL_MEMORY = {"SUnreclaim": 1, "SecPageTables": 1, "VmallocUsed": 1, "KernelStack": -1, "Percpu": 1}


class Host:
    """The accelerators and the kernel of a server."""

    def __init__(self):
        self.models = self.log = self.trace = None
        self.open()

    def open(self):
        """The monitor's port has room for one: others may use it between close() and this."""
        self.models = server.Models()

    def setup(self, counts, queues):
        """Creates functions; returns their addresses and the models' numbers, by kind."""
        vfs = server.setup(counts, queues)
        self.log = KernelLog()
        return {kind: [(bdf, server.function_of(bdf)[1]) for bdf in bdfs]
                for kind, bdfs in vfs.items()}

    def get(self, kind, name):
        return self.models.get(kind, name)

    def set(self, kind, name, value):
        self.models.set(kind, name, value)

    def stats(self, kind):
        return self.models.stats(kind)

    def start_trace(self, driver):
        self.trace = ArcTrace(driver)
        self.trace.begin()

    def end_trace(self):
        """The arcs since the start, and what went through data files."""
        self.trace.end()
        return self.trace.result()

    @staticmethod
    def memory():
        """What the kernel needs for itself and cannot drop, in KiB."""
        with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
            file.write("3")
        with open("/proc/meminfo", encoding="ascii") as file:
            fields = dict(line.split()[:2] for line in file)
        return sum(sign * int(fields[f"{name}:"]) for name, sign in KERNEL_MEMORY.items())

    def faults(self):
        return self.log.faults()

    def taint(self):
        return self.log.taint()

    def tail(self, lines):
        return self.log.tail(lines) if self.log else []

    def close(self):
        self.models.close()


class Here(Host):
    """This server."""

    address = "127.0.0.1"
    machine = VM


class There:
    """The peer: a Host that is asked over the network."""

    address = "10.77.0.2"

    def __init__(self):
        manager = wait("the peer", self._connect)
        self.host = manager.Host()
        self.machine = manager.VM

    def _connect(self):
        manager = Manager((self.address, PORT), KEY)
        try:
            manager.connect()
        except OSError:
            return None  # it boots
        return manager

    def __getattr__(self, name):
        return getattr(self.host, name)


class Manager(BaseManager):
    """What the two servers have in common."""


Manager.register("Host", Host)
Manager.register("VM", VM)


def hosts():
    """The guest's first server, and the one that it goes to if that is another one."""
    return [Here(), There()] if os.environ.get("LAB_HOSTS") == "2" else [Here()]
