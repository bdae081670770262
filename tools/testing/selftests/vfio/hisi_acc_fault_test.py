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
import time
from contextlib import closing

from hisi_ctl import PCI, Ctl, Models, arguments, function_of, sysfs_write, tap

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

# (name, [(what to do, how the answer begins)]). "fault", "clear" and "model" are for the
# accelerator, "paused" waits for it, "outside" is a reset that the
# user did not ask for, the rest is for hisi_acc_ctl.
CASES = [
    # The pause was begun by an arc that had to report success before it was over.
    ("pause_refused", [
        (f"fault mailbox-fail:{{fn}}:{PAUSE}", ""), ("set RUNNING_P2P", "ok"),
        ("set STOP", "err EIO"), ("state", "ok ERROR"), ("set RUNNING", "err EIO"),
        ("state", "ok ERROR")]),
    ("pause_refused_and_back", [
        (f"fault mailbox-fail:{{fn}}:{PAUSE}", ""), ("set RUNNING_P2P", "ok")] + CONTINUE),
    ("pause_not_answered", [
        ("fault pause-stuck:{fn}", ""), ("set STOP", "err ETIMEDOUT"), ("state", "ok ERROR")]),
    ("pause_not_answered_and_back", [
        ("fault pause-stuck:{fn}", ""), ("set RUNNING_P2P", "ok"), ("set RUNNING", "err ETIMEDOUT"),
        ("state", "ok ERROR")]),
    ("mailbox_busy", [
        ("fault mailbox-busy:{fn}", ""), ("set STOP", "err EBUSY"), ("state", "ok ERROR")]),
    ("dead_before_stop", [
        ("fault dead:{fn}", ""), ("set STOP", "err"), ("state", "ok ERROR")]),

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

# (fault, {arc: (errno, state)}); an arc that is not named works as if nothing were wrong.
MATRIX = [
    ("mailbox-fail:{fn}", {
        "RUNNING_P2P -> RUNNING": ("EIO", "ERROR"),
        "STOP -> RUNNING": ("EIO", "ERROR"),
        "PRE_COPY_P2P -> PRE_COPY": ("EIO", "ERROR"),
        "PRE_COPY_P2P -> STOP_COPY": ("EIO", "PRE_COPY_P2P"),
        "STOP -> STOP_COPY": ("EIO", "STOP"),
        "write": ("EIO", "ERROR")}),
    ("mailbox-busy:{fn}", {
        "RUNNING_P2P -> RUNNING": ("ETIMEDOUT", "ERROR"),
        "STOP -> RUNNING": ("ETIMEDOUT", "ERROR"),
        "PRE_COPY_P2P -> PRE_COPY": ("ETIMEDOUT", "ERROR"),
        "PRE_COPY_P2P -> STOP_COPY": ("ETIMEDOUT", "PRE_COPY_P2P"),
        "STOP -> STOP_COPY": ("ETIMEDOUT", "STOP"),
        "write": ("ETIMEDOUT", "ERROR")}),
    # What was begun before is not undone by it.
    ("pause-stuck:{fn}", {}),
    ("writeback-stuck:{fn}", {
        "RUNNING_P2P -> RUNNING": ("ETIMEDOUT", "ERROR"),
        "STOP -> RUNNING": ("ETIMEDOUT", "ERROR"),
        "PRE_COPY_P2P -> PRE_COPY": ("ETIMEDOUT", "ERROR"),
        "RUNNING_P2P -> STOP": ("ETIMEDOUT", "RUNNING_P2P"),
        "PRE_COPY_P2P -> STOP_COPY": ("ETIMEDOUT", "PRE_COPY_P2P")}),
    ("dead:{fn}", {
        "RUNNING_P2P -> RUNNING": ("EIO", "ERROR"),
        "PRE_COPY_P2P -> PRE_COPY": ("EIO", "ERROR"),
        # It was in use when it was stopped: nothing is tried, and nothing changed.
        "STOP -> RUNNING": ("EIO", "RUNNING_P2P"),
        "RUNNING_P2P -> STOP": ("EIO", "ERROR"),
        "PRE_COPY_P2P -> STOP_COPY": ("EIO", "ERROR"),
        "STOP -> STOP_COPY": ("EIO", "STOP"),
        "write": ("ETIMEDOUT", "ERROR"),
        "RESUMING -> STOP": ("EIO", "RESUMING")}),
    ("msi-lost:{fn}", {}),
    # Bits of the PF's two status words, which are those of all its VFs. Those that do not stop the
    # hardware are somebody else's business; with the others the kernel's QM gives no command.
    ("pf-error:0:0x1388", {}),
    ("engine-error:0:{corrected}", {}),
    ("pf-error:0:0x6c77", {"write": ("EIO", "ERROR")}),
    ("engine-error:0:{fatal}", {"write": ("EIO", "ERROR")}),
]


def matrix_cases(names):
    """The same as CASES, from MATRIX."""
    for fault, failures in MATRIX:
        assert failures.keys() <= ARCS.keys()
        for arc, (way, command, state) in ARCS.items():
            steps = [(f"set {at}", "ok") if isinstance(at, str) else at for at in way]
            # The pause that was begun is over, so that the fault meets this arc alone.
            if way and str(way[-1]).endswith("P2P"):
                steps.append(("paused", ""))
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

    def set_fault(self, value):
        self.models.set(self.kind, "fault", value)
        self.fault = None if value == "none" else value.split(":")[0]

    def await_pause(self):
        """A drain goes on after the arc that began it."""
        while not self.models.stats(self.kind)["functions"][self.function]["paused"]:
            time.sleep(0.01)

    def step(self, command, expected):
        if command == "clear":
            self.set_fault("none")
        elif command == "paused":
            self.await_pause()
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
            self.set_fault("none")
            walk([("model job-slots=8", ""), ("reset", "ok"), ("state", "ok RUNNING"),
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
