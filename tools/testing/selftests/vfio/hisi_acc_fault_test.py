#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What hisi_vfio_pci answers, and in which state it is, when the virtual ZIP accelerator fails.

    hisi_acc_fault_test.py BDF [-m group|cdev]

After each case the faults are gone, the VF is reset, and new jobs have to complete in it. Output is
TAP.
"""

import argparse
import os
import sys
import tempfile

from hisi_ctl import Ctl, QMP

# Mailbox commands
CQC_BT, PAUSE = 5, 0x0e
# A corrected error of one core: in the error status, but nothing that stops the hardware
CORRECTED = 1

WORK = [("post 5", "ok"), ("wait", "ok")]
CONTINUE = [("clear", ""), ("set RUNNING", "ok")] + WORK
SAVE = [("set STOP_COPY", "ok"), ("read {file}", "ok 176 end")]

# (name, [(what to do, how the answer begins)]). "fault" and "clear" are for the accelerator, the rest
# is for hisi_acc_ctl.
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

    # The PF's error status is that of all its VFs.
    ("somebody_elses_error", [
        (f"fault engine-error:0:{CORRECTED}", ""), ("set STOP", "ok")] + SAVE + CONTINUE),
]


class Failed(Exception):
    """An answer was not the expected one."""


def run_case(qmp, ctl, device, steps, names):
    def fault(value):
        qmp.cmd("qom-set", path=device, property="fault", value=value)

    def step(command, expected):
        command = command.format(**names)
        if command == "clear":
            fault("none")
        elif command.startswith("fault "):
            fault(command.removeprefix("fault "))
        else:
            answer = ctl.ask(command)
            if not answer.startswith(expected):
                raise Failed(f"{command}: '{answer}' instead of '{expected}'")

    try:
        for command, expected in [("start", "ok")] + WORK + steps:
            step(command, expected)
    finally:
        fault("none")
        for command, expected in [("reset", "ok"), ("state", "ok RUNNING"), ("start", "ok")] + WORK:
            step(command, expected)
        step("reset", "ok")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bdf")
    parser.add_argument("-m", dest="mode", choices=("group", "cdev"),
                        default=os.environ.get("VFIO_TEST_MODE", "cdev"))
    parser.add_argument("--qmp", default=os.environ.get("LAB_QMP"))
    parser.add_argument("--device", default="zip0", help="id of the PF in the machine")
    args = parser.parse_args()

    print(f"TAP version 13\n1..{len(CASES)}", flush=True)
    failed = 0
    ctl = Ctl(args.bdf, args.mode)
    with QMP(args.qmp) as qmp, tempfile.TemporaryDirectory() as scratch:
        for number, (name, steps) in enumerate(CASES, 1):
            # VFs follow their PF one by one: the address tells the function's number.
            names = {"fn": int(args.bdf[-1]), "file": os.path.join(scratch, name)}
            result = "ok"
            try:
                run_case(qmp, ctl, f"/machine/peripheral/{args.device}", steps, names)
            except Failed as error:
                result = "not ok"
                failed += 1
                print(f"# {error}")
            print(f"{result} {number} {name}", flush=True)
    ctl.close()
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
