# SPDX-License-Identifier: GPL-2.0-only
"""One virtual machine: stock QEMU, virtual functions, a serial console; and the work in it."""

import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections import namedtuple

import kmsg
from qmp import QMP, QMPError, WATCHDOG

TRACE = ("vfio_migration_set_state", "vfio_migration_set_device_state", "vfio_save_block",
         "vfio_load_state_device_data", "vmstate_downtime_checkpoint")
# The accelerator's driver takes memory for every queue it is given, more than CMA's usual share of
# a small guest: none then, as it says so at length when it runs out. And a slow machine is no bug.
APPEND = ("console=ttyAMA0 quiet loglevel=3 panic=-1 cma=0 watchdog_thresh=60 "
          "rcupdate.rcu_cpu_stall_timeout=300")

# Of the guest, wherever it runs
MAC = "52:54:00:00:01:00"


class LabError(Exception):
    """Something did not happen, or happened that must not."""


def wait(what, ready, alive=lambda: None, watchdog=WATCHDOG):
    """Polls until ready() is true and returns that. alive() raises when waiting makes no sense."""
    begin = time.monotonic()
    while True:
        result = ready()
        if result:
            return result
        alive()
        waited = time.monotonic() - begin
        if waited > watchdog:
            raise LabError(f"gave up waiting for {what} after {watchdog} s")
        # To look costs an emulated processor some time, so who waits long looks less often.
        time.sleep(min(1, 0.1 + waited / 20))


class VM:
    """A QEMU process. Its logs are named after it, in the directory out.

    It may be one of another server: nothing but methods is used, of which none returns the object.
    """

    qemu = "qemu-system-aarch64"
    machine = ("-M", "virt,gic-version=host", "-accel", "kvm", "-cpu", "host")

    def __init__(self, name, out, vfs=(), kernel="/lab/guest/Image",
                 initrd="initrd.img", memory=256, cpus=1, append="", incoming=False,
                 network=False):
        self.name, self.vfs = name, vfs
        self.run = tempfile.mkdtemp()  # for the socket, which not every file system can hold
        os.makedirs(out, exist_ok=True)
        self.log_path = f"{out}/{name}.qemu.log"
        self.trace_path = f"{out}/{name}.trace.log"
        self.console_path = f"{out}/{name}.console.log"
        self.qmp_path = f"{self.run}/qmp"
        self.lines, self._changed = [], threading.Condition()
        command = [
            self.qemu, *self.machine, "-nodefaults", "-nographic", "-m", str(memory),
            "-smp", str(cpus), "-name", f"{name},process={name}", "-msg", "timestamp=on",
            "-kernel", kernel, "-initrd", f"/lab/guest/{initrd}", "-append",
            f"{APPEND} {append}",
            "-serial", "stdio", "-no-reboot",
            "-qmp", f"unix:{self.qmp_path},server=on,wait=off", "-D", self.trace_path]
        for event in TRACE:
            command += ["-trace", event]
        for number, vf in enumerate(vfs):
            command += ["-device", f"vfio-pci,id=vf{number},host={vf},enable-migration=on,"
                                   "migration-events=on"]
        if network:
            command += ["-netdev", f"tap,id=net,ifname={name},script=/lab/demo/bridge-port,"
                                   "downscript=no",
                        "-device", f"virtio-net-pci,netdev=net,mac={MAC},romfile="]
        if incoming:
            command += ["-incoming", "defer"]
        self.command = command
        self.process = self.qmp = None

    def start(self):
        with open(self.log_path, "w", encoding="utf-8") as log:
            log.write(" ".join(self.command) + "\n")
            log.flush()
            self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=log)
        threading.Thread(target=self._read_console, daemon=True).start()
        self.qmp = wait(f"the monitor of {self.name}", self._monitor, self.check)

    def _monitor(self):
        try:
            return QMP(self.qmp_path)
        except (FileNotFoundError, ConnectionRefusedError):
            return None  # its socket is there a little before it listens

    def _read_console(self):
        with open(self.console_path, "wb") as log:
            for line in self.process.stdout:
                log.write(line)
                log.flush()
                with self._changed:
                    self.lines.append(line.decode(errors="replace").rstrip("\r\n"))
                    self._changed.notify_all()

    def check(self):
        if self.process.poll() is not None:
            raise LabError(f"QEMU {self.name} ended with status {self.process.returncode}")

    def send(self, line):
        """Types a line on the console; a fresh one, as a migrated UART may swallow a character."""
        self.process.stdin.write(b"\n" + line.encode() + b"\n")
        self.process.stdin.flush()

    def console(self, start):
        """What the guest printed, from that line on."""
        return self.lines[start:]

    def cmd(self, name, **arguments):
        """A command of its monitor."""
        return self.qmp.cmd(name, **arguments)

    def running(self):
        return self.cmd("query-status")["running"]

    def device_bytes(self, event):
        """Bytes of device state that this QEMU "saved" or "loaded", for each of its functions."""
        pattern = {"saved": r"vfio_save_block +\((\S+)\) data_size (\d+)",
                   "loaded": r"vfio_load_state_device_data +\((\S+)\) size (\d+) ret 0"}[event]
        count = dict.fromkeys(self.vfs, 0)
        if os.path.exists(self.trace_path):
            with open(self.trace_path, encoding="utf-8", errors="replace") as file:
                for vf, size in re.findall(pattern, file.read()):
                    count[vf] += int(size)
        return [count[vf] for vf in self.vfs]

    def end(self):
        """Ends the process, whatever state it is in."""
        if not self.process:
            return
        if self.process.poll() is None:
            try:
                self.cmd("quit")
                self.process.wait(WATCHDOG)
            except (AttributeError, OSError, QMPError, subprocess.TimeoutExpired):
                self.process.kill()
        self.process.wait()
        if self.qmp:
            self.qmp.close()
        shutil.rmtree(self.run, ignore_errors=True)

    def tails(self, lines=25):
        """The ends of this machine's logs, for a person who wants to know what went wrong."""
        ends = {}
        for path in (self.log_path, self.trace_path, self.console_path):
            if os.path.exists(path):
                with open(path, encoding="utf-8", errors="replace") as file:
                    ends[path] = file.read().splitlines()[-lines:]
        return ends


# The rounds of the workload, and the jobs that these took
Progress = namedtuple("Progress", "rounds jobs")


class Load:
    """The work in the guest, seen through its console; it moves with the guest.

    kinds has the number of accelerators of each kind. The workload has that of its kind for itself.
    """

    def __init__(self, vm, kinds, workload=None):
        self.kinds, self.workload = kinds, workload
        self.loads = [kind for kind in kinds if not workload or kind != workload.kind]
        self.left = Progress(0, 0)
        self.vm, self.lines = vm, []

    def follow(self, vm):
        """The guest is on another machine from now on."""
        self.left = self.progress()
        self.vm, self.lines = vm, []

    def listen(self):
        """All that was said on this machine so far."""
        self.lines += self.vm.console(len(self.lines))
        return self.lines

    @staticmethod
    def _values(words):
        pairs = (word.split("=", 1) for word in words.split() if "=" in word)
        return {key: int(value) if value.isdigit() else value for key, value in pairs}

    def _find(self, whose, event, start=0):
        """The last line of an event, from the console's line start on, as a dict; or None."""
        for line in reversed(self.listen()[start:]):
            if line.startswith(f"LOAD {whose} {event}"):
                return self._values(line)
        return None

    def alive(self):
        self.vm.check()
        for line in self.listen():
            if "Kernel panic" in line or re.match(r"LOAD \S+ failed", line):
                raise LabError(f"guest: {line}")
        for kind in self.loads:
            if (self._find(kind, "status") or {}).get("hung"):
                raise LabError(f"the guest waits in vain for jobs of {kind} to complete")

    def ready(self):
        """Waits for the guest to boot; returns what it says of itself."""
        ready = wait("the guest to boot", lambda: self._find("guest", "ready"), self.alive)
        for kind, count in self.kinds.items():
            found = (self._find(kind, "ready") or {}).get("devices", 0)
            if found != count:
                raise LabError(f"the guest has a driver for {found} of {count} {kind} functions")
        return ready

    def begin(self, tfms, **parameters):
        """Begins to work, with so many pairs of queues of each function."""
        for kind in self.loads:
            words = {"tfms": tfms * self.kinds[kind], **parameters}
            self.vm.send(f"start {kind} " + " ".join(f"{k}={v}" for k, v in words.items()))
        if self.workload:
            self.vm.send(f"work {self.workload.name}")

    def progress(self):
        """What the workload has done, as far as is known; left is that of the machine before."""
        status = self.workload and self._find(self.workload.name, "status")
        return Progress(status["rounds"], status["jobs"]) if status else self.left

    def talk(self, address):
        """Begins a conversation over the network."""
        self.vm.send(f"talk {address}")

    def verdict(self, command="stop"):
        """Stops the work. Returns the guest's own account of each load, of the workload, and of
        itself, with its kernel's messages judged."""
        start = len(self.listen())
        self.vm.send(command)
        guest = wait("the guest's verdict", lambda: self._find("guest", "verdict", start),
                     self.alive)
        guest["faults"], working = [], False
        for line in self.lines[start:]:
            match = re.match(r"LOAD guest kmsg <(\d+)>(.*)", line)
            if not match:
                continue
            working = working or "load: " in line
            if kmsg.bad(int(match[1]) & 7, match[2], working):
                guest["faults"].append(match[2])
        return ({kind: self._find(kind, "verdict", start) for kind in self.loads},
                self.workload and self._find(self.workload.name, "verdict", start), guest)
