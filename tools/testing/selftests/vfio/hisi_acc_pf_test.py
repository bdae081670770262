#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What becomes of a VF under hisi_vfio_pci when its PF is reset, unbound, or takes its VFs away.

    hisi_acc_pf_test.py BDF [-m group|cdev] [-t TEST | -x TEST]

BDF is a VF of a HiSilicon accelerator. The PF's VFs are removed and made again. Output is TAP.
"""

import os
import sys
import tempfile
import threading

from hisi_ctl import (DRIVER, PCI, Ctl, arguments, bind, create_vfs, pf_of, sysfs_read,
                      sysfs_write, tap)


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


LOAD = ["set STOP_COPY", "read {file}", "set STOP", "set RESUMING", "write {file}"]

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
}


def arcs_during(function, reset):
    """An arc that finds the PF being reset fails at once, and the state is still the device's."""
    refused = 0
    while reset.thread.is_alive():
        answer = function.ctl.ask("set STOP")
        if answer.startswith("ok"):
            answer = function.ctl.ask("set RUNNING")
        if answer.startswith("ok"):
            continue
        assert answer.startswith(("err EBUSY", "err EIO")), answer
        refused += 1
        if function.ctl.ask("state").startswith("ok ERROR"):
            function.walk([("reset", "ok")])
    assert refused, "nothing was refused"


def pf_reset(first, scratch):
    """
    One reset for VFs in several states: the PF's driver waits for their guests' drivers for more
    than a minute, and there are none.
    """
    first.close()
    functions = [Function(vf, first.mode) for vf in create_vfs(first.pf, len(PF_RESETS) + 1)]
    busy = functions[-1]
    failed = []
    try:
        for function in functions:
            function.bind()
            function.open()
        for function, (way, _) in zip(functions, PF_RESETS.values()):
            stream = f"{scratch}/{function.bdf}"
            function.walk([(step.format(file=stream), "ok") for step in way])
        reset = Background(f"{PCI}{first.pf}/reset", "1")
        arcs_during(busy, reset)
        reset.finish()
        for function, (name, (_, after)) in zip(functions, PF_RESETS.items()):
            try:
                function.walk(after)
            except AssertionError as error:
                failed.append(f"{name}: {error}")
        for function in functions:
            function.works()
    finally:
        for function in functions:
            function.close()
        create_vfs(first.pf, 2)
    assert not failed, "; ".join(failed)


def data_fd_outlives_all(function, scratch):
    """Device closed, driver unbound, VF gone: a data fd answers ENODEV."""
    ended = [("read /dev/null", "err ENODEV"), ("precopy", "err ENODEV")]
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
    assert function.attribute("reason") == ""
    assert function.attribute("mode") in ("the VF's own BAR", "a window of the PF's BAR")
    assert function.attribute("state") == "closed"
    function.open()
    assert function.attribute("state") == "RUNNING"
    for state in ("PRE_COPY", "PRE_COPY_P2P", "STOP_COPY", "STOP", "RESUMING"):
        function.walk([(f"set {state}", "ok")])
        assert function.attribute("state") == state, state
        last = function.attribute("last_arc").split()
        assert last[1:3] == [state, "0"] and int(last[3]) > 0, last
    function.walk([("set STOP", "err EINVAL")])
    assert function.attribute("last_arc").split()[:3] == ["RESUMING", "STOP", "-22"]
    sysfs_write(f"{PCI}{function.bdf}/reset", "1")
    assert function.attribute("state") == "RESUMING reset"
    function.works()
    assert function.attribute("state") == "RUNNING"

    debugfs = f"/sys/kernel/debug/vfio/{function.bdf}/mig_stats"
    if os.path.exists("/sys/kernel/debug/vfio"):
        stats = dict(line.split(" ", 1) for line in sysfs_read(debugfs).splitlines())
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
    parser.add_argument("-t", dest="only", help="only this test")
    parser.add_argument("-x", dest="without", help="all tests but this one")
    args = parser.parse_args()

    tests = {test.__name__: test for test in (attributes, trace_points, pf_reset,
                                              data_fd_outlives_all, vfs_removed, pf_unbound)}
    if not {args.only, args.without} <= {None, *tests}:
        parser.error(f"the tests are {', '.join(tests)}")
    function = Function(args.bdf, args.mode)
    return tap([(name, lambda test=test: run(test, function)) for name, test in tests.items()
                if args.only in (None, name) and args.without != name])


if __name__ == "__main__":
    sys.exit(main())
