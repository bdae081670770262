# SPDX-License-Identifier: GPL-2.0-only
"""The server's accelerators: their virtual functions, and the device models behind them."""

import glob
import os
import subprocess

from qmp import QMP

# PCI device IDs of the physical functions
PF_IDS = {"0xa250": "zip", "0xa255": "sec", "0xa258": "hpre"}
KINDS = tuple(PF_IDS.values())
# What a driver is known to do wrong in a hardware mode. With the controls in the PF's window the
# kernel's own rings the VF's event queues at an offset that is in the window of the next VF.
KNOWN_VIOLATIONS = {("hisi_acc_vfio_pci", "v4"): {"neighbour-window"}}


def sysfs(path):
    with open(path, encoding="ascii") as file:
        return file.read().strip()


def setup(counts, queues):
    """Creates functions of each kind, with so many queues each, some of them bound for migration;
    returns the addresses of these, by kind."""
    wishes = [f"{kind}={count}/{queues}" for kind, count in counts.items()]
    vfs = iter(subprocess.run(["lab-setup", *wishes], check=True, text=True,
                              stdout=subprocess.PIPE).stdout.split())
    return {kind: [next(vfs) for _ in range(count)] for kind, count in counts.items()}


def bind(bdf, driver):
    subprocess.run(["lab-bind", bdf, driver], check=True)


def function_of(bdf):
    """What the device model knows a VF by: its kind, and its number, which is 1 for the first."""
    pf = f"/sys/bus/pci/devices/{bdf}/physfn"
    for link in glob.glob(f"{pf}/virtfn*"):
        if os.path.basename(os.path.realpath(link)) == bdf:
            return PF_IDS[sysfs(f"{pf}/device")], int(link.rpartition("virtfn")[2]) + 1
    raise LookupError(f"{bdf} is no virtual function")


class Models:
    """The device models, one of each kind, through the monitor of the machine this server is."""

    def __init__(self):
        self.qmp = QMP(os.environ["LAB_QMP"])

    @staticmethod
    def path(kind):
        return f"/machine/peripheral/{kind}0"

    def set(self, kind, name, value):
        self.qmp.cmd("qom-set", path=self.path(kind), property=name, value=value)

    def get(self, kind, name):
        return self.qmp.cmd("qom-get", path=self.path(kind), property=name)

    def stats(self, kind):
        stats = self.get(kind, "stats")
        stats["functions"] = {function.pop("fn"): function for function in stats["functions"]}
        return stats

    def close(self):
        self.qmp.close()
