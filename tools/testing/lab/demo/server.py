# SPDX-License-Identifier: GPL-2.0-only
"""The server's accelerator: its virtual functions, and the device model behind it."""

import glob
import os
import subprocess

from qmp import QMP

PF_IDS = ("0x19e5", "0xa250")


def sysfs(path):
    with open(path, encoding="ascii") as file:
        return file.read().strip()


def setup(vfs):
    """Creates VFs, bound for migration; returns their addresses."""
    return subprocess.run(["lab-setup", str(vfs)], check=True, text=True,
                          stdout=subprocess.PIPE).stdout.split()


def bind(bdf, driver):
    subprocess.run(["lab-bind", bdf, driver], check=True)


def function_of(bdf):
    """The number that the accelerator knows a VF by: 1 for its first."""
    for pf in glob.glob("/sys/bus/pci/devices/*"):
        if (sysfs(f"{pf}/vendor"), sysfs(f"{pf}/device")) != PF_IDS:
            continue
        for link in glob.glob(f"{pf}/virtfn*"):
            if os.path.basename(os.path.realpath(link)) == bdf:
                return int(link.rpartition("virtfn")[2]) + 1
    raise LookupError(f"{bdf} is no virtual function of a ZIP accelerator")


class Model:
    """The device model, through the monitor of the machine this server is."""

    def __init__(self, path="/machine/peripheral/zip0"):
        self.path = path
        self.qmp = QMP(os.environ["LAB_QMP"])

    def set(self, name, value):
        self.qmp.cmd("qom-set", path=self.path, property=name, value=value)

    def get(self, name):
        return self.qmp.cmd("qom-get", path=self.path, property=name)

    def stats(self):
        stats = self.get("stats")
        stats["functions"] = {function.pop("fn"): function for function in stats["functions"]}
        return stats

    def function(self, number):
        return self.stats()["functions"][number]

    def close(self):
        self.qmp.close()
