#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What vfioctl watch tells of two VFs while they go through their states, are reset, and fail.

    vfioctl_watch_test.py [-m group|cdev] BDF OTHER

Both are bound to the same driver on vfio-pci-mig, which is unloaded and loaded again, and nobody uses
them. Output is TAP.
"""

import glob
import json
import os
import select
import signal
import subprocess
import sys

from hisi_ctl import (DRIVER, NOBODY, PCI, WATCHDOG, Ctl, Storm, arguments, bind, sysfs_read,
                      sysfs_write, tap, wait_for)

TRACING = "/sys/kernel/tracing"
DEBUGFS = "/sys/kernel/debug"

# What to set, and the arcs that the kernel takes there
WALK = [
    ("RUNNING_P2P", ["RUNNING_P2P"]),
    ("RUNNING", ["RUNNING"]),
    ("STOP_COPY", ["RUNNING_P2P", "STOP", "STOP_COPY"]),
    ("RUNNING", ["STOP", "RUNNING_P2P", "RUNNING"]),
    ("PRE_COPY", ["PRE_COPY"]),
    ("STOP_COPY", ["PRE_COPY_P2P", "STOP_COPY"]),
    ("STOP", ["STOP"]),
    ("RESUMING", ["RESUMING"]),
]


class Watch:
    """vfioctl watch in the background. By the time the constructor returns it is tracing, and has
    told of the state of the devices, if any are named."""

    def __init__(self, *args):
        self.process = subprocess.Popen(["vfioctl", "watch", *args], text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.instance = f"{TRACING}/instances/vfioctl-{self.process.pid}"
        wait_for("tracing", self.traces)
        if ARGS.bdf in args or ARGS.other in args:
            assert select.select([self.process.stdout], [], [], WATCHDOG)[0]

    def traces(self):
        assert self.process.poll() is None, self.process.communicate()
        try:
            return sysfs_read(f"{self.instance}/events/vfio_pci_mig/vfio_pci_mig_reset/enable") == "1"
        except FileNotFoundError:
            return False

    def stop(self, number=signal.SIGINT):
        """All that it told, as text."""
        self.process.send_signal(number)
        told, errors = self.process.communicate()
        assert (self.process.returncode, errors) == (0, ""), (self.process.returncode, errors)
        assert not os.path.exists(self.instance)
        return told

    def events(self):
        """All that it told, decoded, in the order of the times that it gives."""
        events = [json.loads(line) for line in self.stop().splitlines()]
        times = [event["time"] for event in events]
        assert times == sorted(times), times
        return events


def pick(events, kind, bdf=None):
    return [event for event in events
            if event["event"] == kind and (bdf is None or event["device"] == bdf)]


class Function:
    """A VF that is stepped through its states, with what that made of it."""

    def __init__(self, bdf):
        self.bdf = bdf
        self.ctl = Ctl(bdf, ARGS.mode, program="vfio_mig_ctl")
        self.state = "RUNNING"
        self.arcs, self.durations = [], {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ctl.close()

    def walk(self):
        for target, path in WALK:
            self.ctl.cmd(f"set {target}")
            for state in path:
                self.arcs.append((self.state, state, None, state))
                self.state = state
            self.note_duration()

    def fail(self):
        """An arc out of RESUMING, into which nothing was written"""
        self.ctl.expect("set STOP", "err EINVAL")
        self.arcs.append(("RESUMING", "STOP", "EINVAL", "RESUMING"))
        self.note_duration()

    def note_duration(self):
        self.durations[len(self.arcs) - 1] = int(
            sysfs_read(f"{DEBUGFS}/vfio-pci-mig/{self.bdf}/last_arc").split()[3])

    def compare(self, events):
        arcs = pick(events, "arc", self.bdf)
        assert [(arc["from"], arc["to"], arc["error"], arc["state"]) for arc in arcs] == self.arcs, arcs
        for at, duration in self.durations.items():
            assert arcs[at]["ns"] == duration, (at, arcs[at], duration)


def test_arcs():
    """Each is told, in its order, with the driver's own duration, errno and state."""
    watch = Watch("--json", ARGS.bdf)
    with Function(ARGS.bdf) as vf:
        vf.walk()
        vf.fail()
        events = watch.events()
        vf.compare(events)
    assert not pick(events, "call") and not pick(events, "lost"), events


def test_state_at_the_beginning():
    watch = Watch("--json", ARGS.bdf)
    told = pick(watch.events(), "state")
    assert [(event["device"], event["state"], event["reset_pending"]) for event in told] == [
        (ARGS.bdf, "closed", False)], told
    with Function(ARGS.bdf) as vf:
        vf.walk()
        told = pick(Watch("--json").events(), "state")
        # The machine may have others, and some that cannot be migrated and have no state.
        there = {path.split("/")[-3]: state for path in glob.glob(f"{PCI}*/vfio_pci_mig/state")
                 if (state := sysfs_read(path)) != "none"}
    assert {event["device"]: event["state"] for event in told} == {
        **there, ARGS.bdf: "RESUMING", ARGS.other: "closed"}, (told, there)


def test_begins_in_the_middle():
    """The state, and what happens before and after it, are told in their order."""
    def step():
        vf.ctl.cmd("set RUNNING_P2P")
        vf.ctl.cmd("set RUNNING")

    with Function(ARGS.bdf) as vf:
        with Storm(step):
            watch = Watch("--json", ARGS.bdf)
        events = watch.events()
    assert len(pick(events, "state")) == 1 and pick(events, "arc"), events


def test_resets():
    """By the user, and by somebody else."""
    watch = Watch("--json", ARGS.bdf)
    with Function(ARGS.bdf) as vf:
        vf.ctl.cmd("set RUNNING_P2P")
        vf.ctl.cmd("reset")
        vf.ctl.cmd("set RUNNING_P2P")
        sysfs_write(f"{PCI}{ARGS.bdf}/reset", "1")
        events = watch.events()
        # The user has not come by to learn of it.
        now, = Watch("--json", ARGS.bdf).events()
        told = Watch(ARGS.bdf).stop()
    assert (now["state"], now["reset_pending"]) == ("RUNNING_P2P", True), now
    assert told.endswith("  state RUNNING_P2P reset\n"), told
    story = [event.get("to") or event["done"] for event in events if event["event"] in ("arc", "reset")]
    # Opening is one as well.
    assert story[story.index("RUNNING_P2P"):] == ["RUNNING_P2P", False, True] * 2, story


def test_devices():
    """Those that are named, or all."""
    watches = [Watch("--json", ARGS.bdf), Watch("--json", ARGS.other), Watch("--json"),
               Watch("--json", ARGS.bdf, ARGS.other)]
    with Function(ARGS.bdf) as vf, Function(ARGS.other) as other:
        vf.walk()
        other.walk()
        other.fail()
        told = [watch.events() for watch in watches]
        for function, seen in ((vf, (0, 2, 3)), (other, (1, 2, 3))):
            for number, events in enumerate(told):
                if number in seen:
                    function.compare(events)
                else:
                    assert not any(event.get("device") == function.bdf for event in events), events


def test_calls():
    """What an arc does is told before the arc, and takes no longer."""
    watch = Watch("--json", "--calls", ARGS.bdf)
    with Function(ARGS.bdf) as vf:
        vf.ctl.cmd("set STOP_COPY")
        events = [event for event in watch.events() if event["event"] in ("arc", "call")]
    assert [event.get("call") or event["to"] for event in events] == [
        "drain", "RUNNING_P2P", "stop", "STOP", "check", "save", "STOP_COPY"], events
    for number, event in enumerate(events):
        arc = next(arc for arc in events[number:] if arc["event"] == "arc")
        assert event["error"] is None and 0 < event["ns"] <= arc["ns"], (event, arc)


def test_text():
    watch = Watch(ARGS.bdf)
    with Function(ARGS.bdf) as vf:
        vf.walk()
        vf.fail()
        vf.ctl.cmd("reset")
        lines = watch.stop().splitlines()
    assert all(line.split()[1] == ARGS.bdf for line in lines), lines
    told = [line.split(maxsplit=2)[2] for line in lines]
    assert told[0] == "state closed" and told[-2:] == ["is being reset", "was reset"], told
    arcs = [line.split() for line in told if " -> " in line]
    assert [(words[0], words[2]) for words in arcs] == [arc[:2] for arc in vf.arcs], arcs
    assert arcs[-1][3:] == [f"{vf.durations[len(arcs) - 1] / 1e6:.3f}", "ms", "EINVAL,", "state",
                            "RESUMING"], arcs


def test_lost_events():
    """What a buffer had no room for is missing, and counted where the kernel could."""
    rounds = 200
    with Function(ARGS.bdf) as vf:
        watch = Watch("--json", ARGS.bdf)
        watch.process.send_signal(signal.SIGSTOP)
        sysfs_write(f"{watch.instance}/buffer_size_kb", "4")
        for _ in range(rounds):
            vf.ctl.cmd("set RUNNING_P2P")
            vf.ctl.cmd("set RUNNING")
        watch.process.send_signal(signal.SIGCONT)
        events = watch.events()
    missing = 2 * rounds - len(pick(events, "arc"))
    lost = [event["number"] for event in pick(events, "lost")]
    assert missing and lost, events
    assert None in lost or sum(lost) == missing, (lost, missing)


def test_ends():
    """Nothing stays in the kernel, whatever ends it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        Watch("--json").stop(number)
    # A reader who goes away, while nothing happens
    watch = Watch("--json")
    watch.process.stdout.close()
    assert watch.process.wait() == 0
    assert not os.path.exists(watch.instance)


def check_error(words, *args, **kwargs):
    run = subprocess.run(["vfioctl", "watch", *args], capture_output=True, text=True, check=False,
                         **kwargs)
    assert (run.returncode, run.stdout) == (1, ""), run
    assert run.stderr.startswith("vfioctl: ") and run.stderr.count("\n") == 1, run.stderr
    assert words in run.stderr, run.stderr
    assert not glob.glob(f"{TRACING}/instances/vfioctl-*")


def without_tracefs():
    os.unshare(os.CLONE_NEWNS)
    # In debugfs there is another one.
    subprocess.run(["umount", "-l", TRACING, DEBUGFS], check=True)
    os.setuid(NOBODY)


def test_errors():
    check_error("there is no PCI function", "ffff:ff:1f.7")
    check_error("Permission denied; watch as root", user=NOBODY)
    check_error("there is no tracefs", preexec_fn=without_tracefs)


def test_no_driver():
    """Nor is there one any more"""
    watch = Watch()
    for bdf in (ARGS.bdf, ARGS.other):
        bind(bdf, "vfio-pci")
    subprocess.run(["modprobe", "-r", DRIVER], check=True)
    try:
        errors = watch.process.communicate()[1]
        assert watch.process.returncode == 1 and "were unloaded" in errors, errors
        assert not os.path.exists(watch.instance)
        check_error("modprobe", ARGS.bdf)
    finally:
        subprocess.run(["modprobe", DRIVER], check=True)
        for bdf in (ARGS.bdf, ARGS.other):
            bind(bdf, DRIVER)


def main():
    return tap([(test.__name__.removeprefix("test_"), test) for test in (
        test_arcs, test_state_at_the_beginning, test_begins_in_the_middle, test_resets, test_devices,
        test_calls, test_text, test_lost_events, test_ends, test_errors, test_no_driver)])


if __name__ == "__main__":
    PARSER = arguments(__doc__)
    PARSER.add_argument("other")
    ARGS = PARSER.parse_args()
    sys.exit(main())
