# SPDX-License-Identifier: GPL-2.0-only
"""What the scripts here share: arguments, TAP, sysfs, the virtual accelerators, and a guest in a VF
under remote control."""

import argparse
import collections
import os
import subprocess
import sys
import threading
import time
import traceback

HERE = os.path.dirname(os.path.realpath(__file__))
# Where the models' client is: beside the programs in the emulated server, and in the source tree.
sys.path += [os.path.join(HERE, "../demo"), os.path.join(HERE, "../../lab/demo")]

# Needs the path; for those who import it from here
from qmp import QMP, QMPError  # noqa: E402,F401
from server import KINDS, Models, function_of  # noqa: E402,F401

DRIVER = "hisi_vfio_pci"
PCI = "/sys/bus/pci/devices/"
# A user who may do nothing
NOBODY = 65534
# Only ends a wait for something that does not come.
WATCHDOG = 300


def arguments(doc, **bdf):
    """A parser for the arguments that scripts with a VF have."""
    parser = argparse.ArgumentParser(description=doc,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bdf", **bdf)
    parser.add_argument("-m", dest="mode", choices=("group", "cdev"),
                        default=os.environ.get("VFIO_TEST_MODE", "cdev"))
    return parser


def tap(tests):
    """Runs (name, function) one after the other and returns the exit status."""
    print(f"TAP version 13\n1..{len(tests)}", flush=True)
    failed = 0
    for number, (name, test) in enumerate(tests, 1):
        result = "ok"
        try:
            test()
        # Whatever it is: a program under control that has ended, too, fails this test only.
        except (Exception, SystemExit) as error:
            result = "not ok"
            failed += 1
            line = traceback.extract_tb(error.__traceback__)[-1].lineno
            print(f"# {type(error).__name__}: {error} (line {line})")
        print(f"{result} {number} {name}", flush=True)
    return failed != 0


def wait_for(what, condition):
    """What the condition is when it is true"""
    end = time.monotonic() + WATCHDOG
    while not (result := condition()):
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.1)
    return result


def sysfs_write(path, value):
    with open(path, "w", encoding="ascii") as file:
        file.write(value)


def sysfs_read(path):
    with open(path, encoding="ascii") as file:
        return file.read().strip()


def pf_of(vf):
    return os.path.basename(os.readlink(f"{PCI}{vf}/physfn"))


def driver_of(bdf):
    """The driver that a function is bound to, or None."""
    link = f"{PCI}{bdf}/driver"
    return os.path.basename(os.readlink(link)) if os.path.exists(link) else None


def unbind(bdf):
    if driver_of(bdf):
        sysfs_write(f"{PCI}{bdf}/driver/unbind", bdf)


def bind(bdf, driver):
    """Rebinds a function by driver_override; an empty driver gives it back to its own."""
    sysfs_write(f"{PCI}{bdf}/driver_override", f"{driver}\n")
    unbind(bdf)
    sysfs_write("/sys/bus/pci/drivers_probe", bdf)
    assert driver_of(bdf), f"{driver or 'nothing'} did not bind {bdf}"


def create_vfs(pf, count):
    """So many new VFs of a PF, bound to nothing."""
    sysfs_write(f"{PCI}{pf}/sriov_drivers_autoprobe", "0")
    sysfs_write(f"{PCI}{pf}/sriov_numvfs", "0")
    sysfs_write(f"{PCI}{pf}/sriov_numvfs", str(count))
    return [os.path.basename(os.readlink(f"{PCI}{pf}/virtfn{n}")) for n in range(count)]


class Storm(threading.Thread):
    """Does something again and again, and counts what comes of it."""

    def __init__(self, act):
        super().__init__()
        self.act, self.outcomes, self.error, self.over = act, collections.Counter(), None, False

    def run(self):
        try:
            while not self.over:
                self.outcomes[self.act()] += 1
        except (AssertionError, OSError) as error:
            self.error = error

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over = True
        self.join()
        if self.error:
            raise self.error


class Ctl:
    """hisi_acc_ctl on a VF, or vfio_mig_ctl, which does without a guest."""

    def __init__(self, bdf, mode, program="hisi_acc_ctl"):
        self.program = program
        program = os.path.join(HERE, program)
        self.process = subprocess.Popen([program, "-m", mode, bdf], text=True, bufsize=1,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, line):
        """The answer to a command: 'ok ...' or 'err ERRNO ...'."""
        self.process.stdin.write(line + "\n")
        for answer in self.process.stdout:
            if answer.startswith(("ok", "err")):
                return answer.strip()
            print(answer, end="")
        sys.exit(f"{self.program}: {line}: it has ended")

    def cmd(self, line):
        """The answer to a command that must not fail."""
        answer = self.ask(line)
        if not answer.startswith("ok"):
            sys.exit(f"{self.program}: {line}: {answer}")
        return answer[3:]

    def expect(self, line, expected):
        """The answer has to begin like that."""
        answer = self.ask(line)
        assert answer.startswith(expected), f"{line}: '{answer}' instead of '{expected}'"

    def close(self):
        self.process.stdin.close()
        if self.process.wait():
            sys.exit(f"{self.program} failed at the end")
