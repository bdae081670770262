#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What becomes of a VF under hisi_vfio_pci when its PF is reset, administered, unbound, or takes its
VFs away.

    hisi_acc_pf_test.py BDF [-m group|cdev] [-t TEST]... [-x TEST]...

BDF is a VF of a HiSilicon accelerator. The PF's VFs are removed and made again. Output is TAP.
"""

import errno
import glob
import itertools
import os
import subprocess
import sys
import tempfile
import threading
import time

from hisi_ctl import (DRIVER, HERE, PCI, Ctl, Storm, arguments, bind, create_vfs, pf_of,
                      sysfs_read, sysfs_write, tap)


class Background:
    """A write to sysfs that waits until the user of a device has gone."""

    def __init__(self, path, value):
        self.error = None
        self.thread = threading.Thread(target=self.run, args=(path, value))
        self.thread.start()

    def run(self, path, value):
        try:
            sysfs_write(path, value)
        except OSError as error:
            self.error = error

    def finish(self):
        self.thread.join()
        if self.error:
            raise self.error


class Function:
    """The VF, and a guest's driver in it under remote control."""

    def __init__(self, bdf, mode):
        self.bdf, self.mode = bdf, mode
        self.pf = pf_of(bdf)
        self.ctl = None

    def open(self):
        self.ctl = Ctl(self.bdf, self.mode)
        self.walk([("start", "ok"), ("post 5", "ok"), ("wait", "ok")])

    def walk(self, steps):
        for command, expected in steps:
            self.ctl.expect(command, expected)

    def works(self):
        """After a reset everything does."""
        self.walk([("reset", "ok"), ("state", "ok RUNNING"), ("start", "ok"), ("post 5", "ok"),
                   ("wait", "ok")])

    def attribute(self, name):
        return sysfs_read(f"{PCI}{self.bdf}/vfio_pci_mig/{name}")

    def debug(self, name):
        return sysfs_read(f"/sys/kernel/debug/vfio-pci-mig/{self.bdf}/{name}")

    def close(self):
        if self.ctl:
            ctl, self.ctl = self.ctl, None
            ctl.close()

    def bind(self):
        if not os.path.exists(f"{PCI}{self.bdf}/driver"):
            bind(self.bdf, DRIVER)

    def restore(self):
        """PF driver, VFs and binding as they were."""
        self.close()
        if not os.path.exists(f"{PCI}{self.pf}/driver"):
            sysfs_write("/sys/bus/pci/drivers_probe", self.pf)
        if not os.path.exists(PCI + self.bdf):
            create_vfs(self.pf, 2)
        self.bind()


SAVE = ["set STOP_COPY", "read {file}", "set STOP"]
LOAD = SAVE + ["set RESUMING", "write {file}"]
# Function registers: the source of PF messages
MESSAGE_SOURCE = 0x20

# What follows a reset of the PF: each VF was reset with it, and nobody is told. (What was done
# before it, what is asked after it.)
PF_RESETS = {
    "saved after it": (["set STOP"], [
        ("set STOP_COPY", "err EIO"), ("state", "ok ERROR")]),
    "started after it": (["set STOP"], [
        ("set RUNNING", "err EIO"), ("state", "ok ERROR")]),
    "stopped after it": (["set RUNNING_P2P"], [
        ("set STOP", "err EIO"), ("state", "ok RUNNING_P2P"), ("set RUNNING", "ok")]),
    "loaded before it": (LOAD, [
        ("set STOP", "err EIO"), ("state", "ok ERROR")]),
    "loaded and stopped before it": (LOAD + ["set STOP"], [
        ("set RUNNING", "err EIO"), ("state", "ok ERROR")]),
    # The PF's messages about its reset are not for the guest that arrives.
    "loaded after it": (SAVE + ["reset", "set RESUMING"], [
        ("write {file}", "ok"), ("attach", "ok"), ("set RUNNING", "ok"), (f"peek {MESSAGE_SOURCE}", "ok 0x0"),
        ("post 5", "ok"), ("wait", "ok")]),
}


def arcs_during(busy, idle, reset):
    """
    An arc that finds the PF being reset fails with EBUSY, and the state is still the device's. A
    reset of the VF waits, and gives up without having touched it.
    """
    refused = waited = 0
    while reset.thread.is_alive():
        answer = idle.ctl.ask("set STOP")
        if answer.startswith("err"):
            assert answer.startswith("err EBUSY"), answer
            idle.walk([("state", "ok RUNNING")])
            refused += 1
        else:
            # What is not in use loses nothing by the reset of its PF.
            answer = idle.ctl.ask("set RUNNING")
            assert answer.startswith(("ok", "err EBUSY")), answer
        if idle.ctl.ask("state") != "ok RUNNING":
            continue
        answer = busy.ctl.ask("reset")
        assert answer.startswith(("ok", "err ETIMEDOUT")), answer
        waited += answer.startswith("err")
    assert refused, "no arc was refused"
    assert waited, "no reset had to wait"


def pf_reset(first, scratch):
    """
    One reset for VFs in several states: the PF's driver waits for their guests' drivers for more
    than a minute, and there are none.
    """
    first.close()
    functions = [Function(vf, first.mode) for vf in create_vfs(first.pf, len(PF_RESETS) + 2)]
    busy, idle = functions[-2:]
    failed = []
    try:
        for function in functions:
            function.bind()
            function.open()
        idle.walk([("reset", "ok")])
        for function, (way, _) in zip(functions, PF_RESETS.values()):
            stream = f"{scratch}/{function.bdf}"
            function.walk([(step.format(file=stream), "ok") for step in way])
        reset = Background(f"{PCI}{first.pf}/reset", "1")
        arcs_during(busy, idle, reset)
        reset.finish()
        for function, (name, (_, after)) in zip(functions, PF_RESETS.items()):
            stream = f"{scratch}/{function.bdf}"
            try:
                function.walk([(step.format(file=stream), answer) for step, answer in after])
            except AssertionError as error:
                failed.append(f"{name}: {error}")
        for function in functions:
            function.works()
    finally:
        for function in functions:
            function.close()
        create_vfs(first.pf, 2)
    assert not failed, "; ".join(failed)


class Meanwhile:
    """What others do to the PF, again and again while a test runs; each has to have been done."""

    def __init__(self, **acts):
        self.storms = {name: Storm(act) for name, act in acts.items()}

    def __enter__(self):
        for storm in self.storms.values():
            storm.start()

    def __exit__(self, *error):
        for storm in self.storms.values():
            storm.over = True
        for storm in self.storms.values():
            storm.join()
        for name, storm in self.storms.items():
            if storm.error:
                raise storm.error
            print(f"# {name}: {dict(storm.outcomes)}")
            assert error[0] or storm.outcomes["done"], f"{name} was never done"


def tried(act):
    """The PF's driver refuses some of it while it is at something else, and says EAGAIN."""
    def attempt():
        try:
            act()
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EBUSY, errno.EINVAL):
                raise
            return errno.errorcode[error.errno]
        return "done"
    return attempt


def administration(pf, vf):
    """All that takes the PF's busy bit or its locks, but for a reset of the PF"""
    debugfs = next(path for path in glob.glob(f"/sys/kernel/debug/*/{pf}") if "vfio" not in path)
    files = itertools.cycle(path for path in glob.glob(f"{debugfs}/**", recursive=True)
                            if os.path.isfile(path) and os.access(path, os.R_OK))

    # One at a time: all of them take a debug kernel longer than the test.
    def read_debugfs():
        try:
            sysfs_read(next(files))
        # Some are binary, and some want to be written first.
        except (OSError, UnicodeDecodeError):
            pass

    def power():
        for policy in ("auto", "on"):
            sysfs_write(f"{PCI}{pf}/power/control", policy)

    return {
        "alg_qos read": tried(lambda: sysfs_read(f"{debugfs}/alg_qos")),
        "alg_qos written": tried(lambda: sysfs_write(f"{debugfs}/alg_qos", f"{vf} 1000")),
        "debugfs read": tried(read_debugfs),
        "power management": tried(power),
    }


def migrations(function, target, count):
    """With work, by the test for that; a failed arc, a lost or a wrong job fails it."""
    subprocess.run([os.path.join(HERE, "hisi_acc_mig_test"), "-m", function.mode, "-t",
                    "migrate_again_and_again", function.bdf, target], check=True,
                   env=os.environ | {"HISI_ACC_ROUNDS": str(count)})


def administered(function, scratch):
    """Nothing that an administrator does to the PF fails a migration, or any arc from any state."""
    other, = (vf for vf in create_vfs(function.pf, 2) if vf != function.bdf)
    function.bind()
    bind(other, DRIVER)
    with Meanwhile(**administration(function.pf, function.bdf)):
        migrations(function, other, 20)
        function.open()
        for _ in range(5):
            function.walk([(f"set {state}", "ok") for state in (
                "RUNNING_P2P", "STOP", "RUNNING_P2P", "RUNNING", "PRE_COPY", "PRE_COPY_P2P", "STOP_COPY",
                "STOP", "RUNNING")] + [("post 5", "ok"), ("wait", "ok")])
        # While it rests in a state, too
        for state in ("RUNNING_P2P", "STOP", "PRE_COPY_P2P", "STOP_COPY"):
            function.walk([(f"set {state}", "ok")])
            time.sleep(1)
            function.walk([("set RUNNING", "ok"), ("post 5", "ok"), ("wait", "ok")])


def sibling_resets(function, driver, count):
    """Another VF of the PF is reset without pause by its user, and by its own driver."""
    vfs = create_vfs(function.pf, 3)
    sibling, other = [vf for vf in vfs if vf != function.bdf]
    function.bind()
    bind(other, DRIVER)
    bind(sibling, driver)
    ctl = Ctl(sibling, function.mode, "vfio_mig_ctl")
    try:
        with Meanwhile(resets=lambda: "done" if ctl.ask("reset").startswith("ok") else "failed"):
            migrations(function, other, count)
    finally:
        ctl.close()


def sibling_of_ours_resets(function, scratch):
    """A sibling's reset is no business of this VF's."""
    sibling_resets(function, DRIVER, 20)


def sibling_of_the_kernels_resets(function, scratch):
    """The kernel's driver holds the PF's busy bit while it resets a VF."""
    sibling_resets(function, "hisi_acc_vfio_pci", 50)


def data_fd_outlives_all(function, scratch):
    """Device closed, driver unbound, VF gone: a data fd answers ENODEV."""
    ended = [("read /dev/null", "err ENODEV"), ("precopy", "err EINVAL")]
    # A guest's mapping of the BAR would keep the device open.
    function.ctl = Ctl(function.bdf, function.mode, "vfio_mig_ctl")
    function.walk([("set PRE_COPY", "ok"), ("close", "ok")] + ended)
    sysfs_write(f"{PCI}{function.bdf}/driver/unbind", function.bdf)
    function.walk(ended)
    sysfs_write(f"{PCI}{function.pf}/sriov_numvfs", "0")
    function.walk(ended)


def vfs_removed(function, scratch):
    """sriov_numvfs=0 waits for the user, whose migration goes on."""
    stream = f"{scratch}/stream"
    function.open()
    function.walk([("set STOP_COPY", "ok")])
    removal = Background(f"{PCI}{function.pf}/sriov_numvfs", "0")
    function.walk([(f"read {stream}", "ok 176 end"), ("set STOP", "ok"), ("set RESUMING", "ok"),
                   (f"write {stream}", "ok"), ("set RUNNING", "ok"), ("post 5", "ok"), ("wait", "ok"),
                   ("set RESUMING", "ok")])
    function.close()
    removal.finish()
    assert not os.path.exists(PCI + function.bdf)


def pf_unbound(function, scratch):
    """The PF's driver waits for the VF's user, too: its data stays valid."""
    function.open()
    function.walk([("set STOP_COPY", "ok")])
    unbind = Background(f"{PCI}{function.pf}/driver/unbind", function.pf)
    function.walk([("read /dev/null", "ok 176 end"), ("set RUNNING", "ok"), ("post 5", "ok"),
                   ("wait", "ok")])
    function.close()
    unbind.finish()


def attributes(function, scratch):
    """sysfs tells what is so, without asking the device."""
    assert function.attribute("supported") == "1"
    assert function.attribute("reason") == "none"
    assert function.attribute("controls") in ("vf", "pf")
    assert function.attribute("state") == "closed"
    assert function.attribute("reset_pending") == "0"
    function.open()
    assert function.attribute("state") == "RUNNING"
    for state in ("PRE_COPY", "PRE_COPY_P2P", "STOP_COPY", "STOP", "RESUMING"):
        function.walk([(f"set {state}", "ok")])
        assert function.attribute("state") == state, state
        last = function.debug("last_arc").split()
        assert last[1:3] == [state, "0"] and int(last[3]) > 0, last
    function.walk([("set STOP", "err EINVAL")])
    assert function.debug("last_arc").split()[:3] == ["RESUMING", "STOP", "-22"]
    sysfs_write(f"{PCI}{function.bdf}/reset", "1")
    assert function.attribute("state") == "RESUMING"
    assert function.attribute("reset_pending") == "1"
    function.works()
    assert function.attribute("state") == "RUNNING"
    assert function.attribute("reset_pending") == "0"

    stats = dict(line.split(" ", 1) for line in function.debug("stats").splitlines())
    assert int(stats["arcs"]) >= 6 and int(stats["resets"]) >= 2, stats
    assert stats["save"].startswith("calls 1 failures 0 max_ns "), stats


def trace_points(function, scratch):
    """Each arc and each callback can be watched."""
    tracing = "/sys/kernel/tracing"
    sysfs_write(f"{tracing}/trace", "")
    sysfs_write(f"{tracing}/events/vfio_pci_mig/enable", "1")
    function.open()
    function.walk([("set STOP_COPY", "ok")])
    sysfs_write(f"{tracing}/events/vfio_pci_mig/enable", "0")
    trace = sysfs_read(f"{tracing}/trace")
    for text in (f"vfio_pci_mig_arc: {function.bdf}: RUNNING -> RUNNING_P2P ret=0 state=RUNNING_P2P ns=",
                 f"vfio_pci_mig_arc: {function.bdf}: STOP -> STOP_COPY ret=0 state=STOP_COPY ns=",
                 f"vfio_pci_mig_call: {function.bdf}: stop ret=0 ns=",
                 f"vfio_pci_mig_call: {function.bdf}: save ret=176 ns="):
        assert text in trace, f"no '{text}' in the trace"


def run(test, function):
    with tempfile.TemporaryDirectory() as scratch:
        try:
            test(function, scratch)
        finally:
            function.restore()


def main():
    parser = arguments(__doc__)
    parser.add_argument("-t", dest="only", action="append", default=[], help="only this test")
    parser.add_argument("-x", dest="without", action="append", default=[],
                        help="all tests but this one")
    args = parser.parse_args()

    tests = {test.__name__: test for test in (
        attributes, trace_points, pf_reset, administered, sibling_of_ours_resets,
        sibling_of_the_kernels_resets, data_fd_outlives_all, vfs_removed, pf_unbound)}
    if not {*args.only, *args.without} <= tests.keys():
        parser.error(f"the tests are {', '.join(tests)}")
    function = Function(args.bdf, args.mode)
    return tap([(name, lambda test=test: run(test, function)) for name, test in tests.items()
                if name in (args.only or tests) and name not in args.without])


if __name__ == "__main__":
    sys.exit(main())
