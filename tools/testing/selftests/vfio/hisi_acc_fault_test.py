#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What hisi_vfio_pci answers, and in which state it is, when the virtual accelerator fails.

    hisi_acc_fault_test.py BDF [-m group|cdev] [--matrix]

After each case the faults are gone, the VF is reset, and new jobs have to complete in it. Output is
TAP.
"""

import os
import sys
import tempfile
import threading
import time
from contextlib import closing

from hisi_ctl import PCI, Ctl, Models, arguments, function_of, sysfs_write, tap, wait_for

# Of the guest of hisi_acc_ctl
QUEUES = 4
# Mailbox commands
CQC_BT, PAUSE = 5, 0x0e
# Bits of the engine's error status, by kind: a corrected error, which does not stop the hardware,
# and all those that do
ENGINE_ERRORS = {"zip": (1, 0x7fe), "sec": (8, 0x177), "hpre": (1, 0xbffc3e)}

WORK = [("post 5", "ok"), ("wait", "ok")]
CONTINUE = [("clear", ""), ("set RUNNING", "ok")] + WORK
SAVE = [("set STOP_COPY", "ok"), ("read {file}", "ok 176 end")]

# So slow that jobs are in flight, and posted behind them, whenever something is done
SLOW = [("model job-time-ns=300000000", ""), ("post 9", "ok")]
STILL = [("in-flight", "0"), ("frozen 600", "ok")]

# (name, [(what to do, how the answer begins)]). "fault", "clear" and "model" are for the
# accelerator, "soon" is a fault 100 ms later, "in-flight" are jobs that it works at, "idle" waits
# until there are none, "outside" is a reset that the user did not ask for, the rest is for
# hisi_acc_ctl.
CASES = [
    # A P2P state is reported when DMA has stopped.
    ("drained_in_p2p", SLOW + [("set RUNNING_P2P", "ok")] + STILL + [("set RUNNING", "ok")] + WORK),
    ("drained_in_precopy_p2p", SLOW + [("set PRE_COPY", "ok"), ("set PRE_COPY_P2P", "ok")] + STILL +
     [("set RUNNING", "ok")] + WORK),
    # The user may make the function go on as long as it runs, and that ends there.
    ("unmasked_in_p2p", SLOW + [
        ("set RUNNING_P2P", "ok"), ("idle", ""), ("poke 0x24 0", "ok"),
        ("in-flight", "8"), ("set STOP", "ok")] +
     STILL + [("set RUNNING", "ok")] + WORK),
    ("restarted_in_p2p", SLOW + [
        ("set RUNNING_P2P", "ok"), ("idle", ""), ("restart", "ok"),
        ("in-flight", "8"), ("set STOP", "ok")] +
     STILL + [("set RUNNING", "ok")] + WORK),
    ("unmasked_in_precopy_p2p", SLOW + [
        ("set PRE_COPY", "ok"), ("set PRE_COPY_P2P", "ok"), ("idle", ""),
        ("poke 0x24 0", "ok"), ("in-flight", "8"), ("set STOP_COPY", "ok")] + STILL + [("set RUNNING", "ok")] + WORK),
    ("restarted_in_precopy_p2p", SLOW + [
        ("set PRE_COPY", "ok"), ("set PRE_COPY_P2P", "ok"), ("idle", ""),
        ("restart", "ok"), ("in-flight", "8"), ("set STOP_COPY", "ok")] + STILL + [("set RUNNING", "ok")] + WORK),
    # What the guest says of itself in a P2P state does not break it.
    ("not_ready_in_p2p", [
        ("set STOP", "ok"), ("set RUNNING_P2P", "ok"), ("poke 0x60 1", "ok"), ("set RUNNING", "ok"),
        ("state", "ok RUNNING"), ("poke 0x60 0", "ok")] + WORK),

    # A pause that is refused changes nothing, and is tried again by the next arc.
    ("pause_refused", [
        (f"fault mailbox-fail:{{fn}}:{PAUSE}", ""), ("set RUNNING_P2P", "err EIO"),
        ("state", "ok RUNNING")] + WORK + [("set STOP", "err EIO"), ("state", "ok RUNNING"),
        ("clear", ""), ("set STOP", "ok")] + SAVE + CONTINUE),
    ("second_pause_refused", [
        ("set RUNNING_P2P", "ok"), (f"fault mailbox-fail:{{fn}}:{PAUSE}", ""),
        ("set STOP", "err EIO"), ("state", "ok RUNNING_P2P"), ("clear", ""), ("set STOP", "ok")] +
     SAVE + CONTINUE),
    ("pause_not_answered", [
        ("fault pause-stuck:{fn}", ""), ("set RUNNING_P2P", "err ETIMEDOUT"), ("state", "ok ERROR"),
        ("set RUNNING", "err EIO"), ("state", "ok ERROR")]),
    ("mailbox_busy", [
        ("fault mailbox-busy:{fn}", ""), ("set STOP", "err EBUSY"), ("state", "ok RUNNING"),
        ("clear", ""), ("set STOP", "ok")] + SAVE + CONTINUE),
    ("dead_before_stop", [
        ("fault dead:{fn}", ""), ("set STOP", "err EIO"), ("state", "ok RUNNING")]),
    # An error that stops the hardware in the middle of a pause is not migrated.
    ("error_while_draining", SLOW + [
        ("set RUNNING_P2P", "ok"), ("restart", "ok"), ("soon pf-error:0:0x6c77", ""),
        ("set STOP", "err EIO"), ("state", "ok RUNNING_P2P"), ("clear", ""), ("set STOP", "ok")] +
     SAVE + CONTINUE),
    ("somebody_elses_error_while_draining", SLOW + [
        ("set RUNNING_P2P", "ok"), ("restart", "ok"), ("soon engine-error:0:{corrected}", ""),
        ("set STOP", "ok")] + SAVE + CONTINUE),

    # What changes nothing leaves the state as it was, and works when it is tried again.
    ("writeback_not_answered", [
        ("fault writeback-stuck:{fn}", ""), ("set STOP", "err ETIMEDOUT"),
        ("state", "ok RUNNING_P2P"), ("clear", ""), ("set STOP", "ok")] + SAVE + CONTINUE),
    ("save_refused", [
        ("set STOP", "ok"), (f"fault mailbox-fail:{{fn}}:{CQC_BT}", ""),
        ("set STOP_COPY", "err EIO"), ("state", "ok STOP"), ("clear", "")] + SAVE + CONTINUE),
    ("save_refused_after_precopy", [
        ("set PRE_COPY", "ok"), (f"fault mailbox-fail:{{fn}}:{CQC_BT}", ""),
        ("set STOP_COPY", "err EIO"), ("state", "ok PRE_COPY_P2P"), ("clear", "")] + SAVE + CONTINUE),
    ("save_refused_after_precopy_and_back", [
        ("set PRE_COPY", "ok"), (f"fault mailbox-fail:{{fn}}:{CQC_BT}", ""),
        ("set STOP_COPY", "err EIO"), ("state", "ok PRE_COPY_P2P")] + CONTINUE),
    ("dead_before_save", [
        ("set STOP", "ok"), ("fault dead:{fn}", ""), ("set STOP_COPY", "err"),
        ("state", "ok STOP"), ("clear", "")] + SAVE + CONTINUE),

    # What may have changed something is ERROR.
    ("start_fails", [
        ("set STOP", "ok"), ("fault writeback-stuck:{fn}", ""), ("set RUNNING", "err ETIMEDOUT"),
        ("state", "ok ERROR"), ("set STOP", "err EIO")]),
    ("load_fails", SAVE + [
        ("set STOP", "ok"), ("set RESUMING", "ok"), (f"fault mailbox-fail:{{fn}}:{CQC_BT}", ""),
        ("write {file}", "err EIO"), ("state", "ok ERROR"), ("set STOP", "err EIO")]),

    # Who was let in by a reset that brought it back is kept out again when it is stopped.
    ("error_then_reset_from_outside", [
        ("fault pause-stuck:{fn}", ""), ("set STOP", "err ETIMEDOUT"), ("state", "ok ERROR"),
        ("touch", "err EFAULT"), ("clear", ""), ("outside", ""), ("touch", "ok"),
        ("set STOP", "ok"), ("touch", "err EFAULT"), ("set RUNNING", "ok"), ("touch", "ok")]),

    # A live function that is not loaded after all does not go on by itself either.
    ("load_fails_and_stays_stopped", [
        ("model job-slots=0", ""), ("post 5", "ok")] + SAVE + [
        ("set STOP", "ok"), ("set RESUMING", "ok"), ("model job-slots=8", ""),
        ("unfinished", "ok {posted}"), ("fault mailbox-fail:{fn}", ""),
        ("write {file}", "err EIO"), ("state", "ok ERROR"), ("unfinished", "ok {posted}")]),

    # The PF's error status is that of all its VFs.
    ("somebody_elses_error", [
        ("fault engine-error:0:{corrected}", ""), ("set STOP", "ok")] + SAVE + CONTINUE),
]

# Every fault x every arc: how the function gets there, the step that is made under the fault, and
# the state that it leads to.
READ = ("read {file}", "ok")
ARCS = {
    "RUNNING -> RUNNING_P2P": ([], "set RUNNING_P2P", "RUNNING_P2P"),
    "RUNNING_P2P -> RUNNING": (["RUNNING_P2P"], "set RUNNING", "RUNNING"),
    "RUNNING_P2P -> STOP": (["RUNNING_P2P"], "set STOP", "STOP"),
    "STOP -> RUNNING_P2P": (["STOP"], "set RUNNING_P2P", "RUNNING_P2P"),
    "STOP -> RUNNING": (["STOP"], "set RUNNING", "RUNNING"),
    "RUNNING -> PRE_COPY": ([], "set PRE_COPY", "PRE_COPY"),
    "PRE_COPY -> RUNNING": (["PRE_COPY"], "set RUNNING", "RUNNING"),
    "PRE_COPY -> PRE_COPY_P2P": (["PRE_COPY"], "set PRE_COPY_P2P", "PRE_COPY_P2P"),
    "PRE_COPY_P2P -> PRE_COPY": (["PRE_COPY_P2P"], "set PRE_COPY", "PRE_COPY"),
    "RUNNING_P2P -> PRE_COPY_P2P": (["RUNNING_P2P"], "set PRE_COPY_P2P", "PRE_COPY_P2P"),
    "PRE_COPY_P2P -> RUNNING_P2P": (["PRE_COPY_P2P"], "set RUNNING_P2P", "RUNNING_P2P"),
    "PRE_COPY_P2P -> STOP_COPY": (["PRE_COPY_P2P"], "set STOP_COPY", "STOP_COPY"),
    "STOP -> STOP_COPY": (["STOP"], "set STOP_COPY", "STOP_COPY"),
    "STOP_COPY -> STOP": (["STOP_COPY"], "set STOP", "STOP"),
    "STOP -> RESUMING": (["STOP"], "set RESUMING", "RESUMING"),
    "write": (["STOP_COPY", READ, "STOP", "RESUMING"], "write {file}", "RESUMING"),
    "RESUMING -> STOP": (["STOP_COPY", READ, "STOP", "RESUMING", ("write {file}", "ok")],
                         "set STOP", "STOP"),
}

STOPPED_HARDWARE = {
    "RUNNING -> RUNNING_P2P": ("EIO", "RUNNING"),
    "PRE_COPY -> PRE_COPY_P2P": ("EIO", "PRE_COPY"),
    "RUNNING_P2P -> STOP": ("EIO", "RUNNING_P2P"),
    "PRE_COPY_P2P -> STOP_COPY": ("EIO", "PRE_COPY_P2P"),
    "write": ("EIO", "ERROR"),
}

# (fault, {arc: (errno, state)}); an arc that is not named works as if nothing were wrong.
MATRIX = [
    ("mailbox-fail:{fn}", {
        "RUNNING -> RUNNING_P2P": ("EIO", "RUNNING"),
        "PRE_COPY -> PRE_COPY_P2P": ("EIO", "PRE_COPY"),
        "RUNNING_P2P -> RUNNING": ("EIO", "ERROR"),
        "STOP -> RUNNING": ("EIO", "ERROR"),
        "PRE_COPY_P2P -> PRE_COPY": ("EIO", "ERROR"),
        "RUNNING_P2P -> STOP": ("EIO", "RUNNING_P2P"),
        "PRE_COPY_P2P -> STOP_COPY": ("EIO", "PRE_COPY_P2P"),
        "STOP -> STOP_COPY": ("EIO", "STOP"),
        "write": ("EIO", "ERROR")}),
    ("mailbox-busy:{fn}", {
        "RUNNING -> RUNNING_P2P": ("EBUSY", "RUNNING"),
        "PRE_COPY -> PRE_COPY_P2P": ("EBUSY", "PRE_COPY"),
        "RUNNING_P2P -> RUNNING": ("ETIMEDOUT", "ERROR"),
        "STOP -> RUNNING": ("ETIMEDOUT", "ERROR"),
        "PRE_COPY_P2P -> PRE_COPY": ("ETIMEDOUT", "ERROR"),
        "RUNNING_P2P -> STOP": ("EBUSY", "RUNNING_P2P"),
        "PRE_COPY_P2P -> STOP_COPY": ("EBUSY", "PRE_COPY_P2P"),
        "STOP -> STOP_COPY": ("ETIMEDOUT", "STOP"),
        "write": ("ETIMEDOUT", "ERROR")}),
    ("pause-stuck:{fn}", {
        "RUNNING -> RUNNING_P2P": ("ETIMEDOUT", "ERROR"),
        "PRE_COPY -> PRE_COPY_P2P": ("ETIMEDOUT", "ERROR"),
        "RUNNING_P2P -> STOP": ("ETIMEDOUT", "ERROR"),
        "PRE_COPY_P2P -> STOP_COPY": ("ETIMEDOUT", "ERROR")}),
    ("writeback-stuck:{fn}", {
        "RUNNING_P2P -> RUNNING": ("ETIMEDOUT", "ERROR"),
        "STOP -> RUNNING": ("ETIMEDOUT", "ERROR"),
        "PRE_COPY_P2P -> PRE_COPY": ("ETIMEDOUT", "ERROR"),
        "RUNNING_P2P -> STOP": ("ETIMEDOUT", "RUNNING_P2P"),
        "PRE_COPY_P2P -> STOP_COPY": ("ETIMEDOUT", "PRE_COPY_P2P")}),
    ("dead:{fn}", {
        "RUNNING -> RUNNING_P2P": ("EIO", "RUNNING"),
        "PRE_COPY -> PRE_COPY_P2P": ("EIO", "PRE_COPY"),
        "RUNNING_P2P -> STOP": ("EIO", "RUNNING_P2P"),
        "PRE_COPY_P2P -> STOP_COPY": ("EIO", "PRE_COPY_P2P"),
        "RUNNING_P2P -> RUNNING": ("EIO", "ERROR"),
        "PRE_COPY_P2P -> PRE_COPY": ("EIO", "ERROR"),
        # Nothing is tried, and nothing changed.
        "STOP -> RUNNING_P2P": ("EIO", "STOP"),
        "STOP -> RUNNING": ("EIO", "STOP"),
        "STOP -> STOP_COPY": ("EIO", "STOP"),
        "write": ("ETIMEDOUT", "ERROR"),
        "RESUMING -> STOP": ("EIO", "RESUMING")}),
    ("msi-lost:{fn}", {}),
    # Bits of the PF's two status words, which are those of all its VFs. Those that do not stop the
    # hardware are somebody else's business; with the others the kernel's QM gives no command.
    ("pf-error:0:0x1388", {}),
    ("engine-error:0:{corrected}", {}),
    ("pf-error:0:0x6c77", STOPPED_HARDWARE),
    ("engine-error:0:{fatal}", STOPPED_HARDWARE),
]


def matrix_cases(names):
    """The same as CASES, from MATRIX."""
    for fault, failures in MATRIX:
        assert failures.keys() <= ARCS.keys()
        for arc, (way, command, state) in ARCS.items():
            steps = [(f"set {at}", "ok") if isinstance(at, str) else at for at in way]
            steps.append((f"fault {fault}", ""))
            errno, after = failures.get(arc, (None, state))
            steps += [(command, f"err {errno}" if errno else "ok"), ("state", f"ok {after}")]
            yield f"{fault.format(**names | {'fn': 'VF'})}: {arc}", steps


class Run:
    """One guest under remote control, and the accelerator's faults."""

    def __init__(self, models, ctl, bdf):
        self.models, self.ctl, self.bdf = models, ctl, bdf
        self.kind, self.function = function_of(bdf)
        self.longest = {}
        self.fault = None
        self.timer = None
        self.pace = {name: models.get(self.kind, name) for name in ("job-slots", "job-time-ns")}

    def set_fault(self, value):
        self.models.set(self.kind, "fault", value)
        self.fault = None if value == "none" else value.split(":")[0]

    def in_flight(self):
        """Jobs that the function works at. What makes it go on takes a millisecond."""
        time.sleep(0.02)
        return self.models.stats(self.kind)["functions"][self.function]["in-flight"]

    def soon(self, fault):
        """While the next step is under way"""
        self.timer = threading.Timer(0.1, self.set_fault, (fault,))
        self.timer.start()

    def step(self, command, expected):
        if command == "clear":
            self.set_fault("none")
        elif command == "idle":
            wait_for("an idle function", lambda: not self.in_flight())
        elif command == "in-flight":
            jobs = self.in_flight()
            assert jobs == int(expected), f"{jobs} jobs in flight instead of {expected}"
        elif command.startswith("soon "):
            self.soon(command.removeprefix("soon "))
            return
        elif command == "outside":
            sysfs_write(f"{PCI}{self.bdf}/reset", "1")
        elif command.startswith("fault "):
            self.set_fault(command.removeprefix("fault "))
        elif command.startswith("model "):
            name, value = command.removeprefix("model ").split("=")
            self.models.set(self.kind, name, int(value))
        else:
            start = time.monotonic()
            self.ctl.expect(command, expected)
            if self.timer:
                self.timer.join()
                self.timer = None
            if self.fault:
                took = time.monotonic() - start
                self.longest[self.fault] = max((took, command),
                                               self.longest.get(self.fault, (0, "")))

    def case(self, steps, names):
        def walk(steps):
            for command, expected in steps:
                self.step(command.format(**names), expected.format(**names))

        try:
            walk([("start", "ok")] + WORK + steps)
        finally:
            if self.timer:
                self.timer.join()
                self.timer = None
            self.set_fault("none")
            for name, value in self.pace.items():
                self.models.set(self.kind, name, value)
            walk([("reset", "ok"), ("state", "ok RUNNING"),
                  ("start", "ok")] + WORK + [("reset", "ok")])


def main():
    parser = arguments(__doc__)
    parser.add_argument("--matrix", action="store_true",
                        help="every fault in every arc, instead of the cases of more than one arc")
    args = parser.parse_args()

    kind, function = function_of(args.bdf)
    corrected, fatal = ENGINE_ERRORS[kind]
    names = {"fn": function, "posted": 5 * QUEUES, "corrected": corrected, "fatal": fatal}
    cases = list(matrix_cases(names)) if args.matrix else CASES
    ctl = Ctl(args.bdf, args.mode)
    with closing(Models()) as models, tempfile.TemporaryDirectory() as scratch:
        run = Run(models, ctl, args.bdf)
        status = tap([(name, lambda steps=steps, file=os.path.join(scratch, str(number)):
                       run.case(steps, names | {"file": file}))
                      for number, (name, steps) in enumerate(cases)])
        for fault, (took, command) in run.longest.items():
            print(f"# {fault}: the longest step took {took * 1000:.0f} ms ({command.split('/')[0]})")
    ctl.close()
    return status


if __name__ == "__main__":
    sys.exit(main())
