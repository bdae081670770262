#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Does hisi_acc_silicon_test notice hardware that differs from what hisi_vfio_pci assumes?

    hisi_acc_silicon_test.py BDF [-m group|cdev] [-t ROW]

For each row a quirk makes the virtual accelerator behave otherwise. The program has to say so, and
to take it back once the quirk is gone. Output is TAP.
"""

import os
import subprocess
import sys
from contextlib import closing

from hisi_ctl import HERE, Models, arguments, function_of, tap

PROGRAM = os.path.join(HERE, "hisi_acc_silicon_test")

# What makes a row fail
QUIRKS = {
    "pause_finishes_fetched": ["pause-early"],
    "pause_holds": ["pause-runs-doorbells"],
    "pause_keeps_doorbells": ["pause-drops-doorbells"],
    "mask_ends_pause": ["mask-keeps-pause"],
    "restart_fetches": ["restart-from-cache"],
    "restart_ignores_index": ["restart-takes-index"],
    "writeback_current": ["writeback-skips"],
    "blank_pause": ["blank-pause-fails", "blank-writeback-writes"],
    "tables_read_back": ["tables-read-zero"],
    "tables_drop_caches": ["tables-keep-caches"],
    "writeback_done_read_only": ["wb-done-writable"],
    "message_source_clears": ["message-source-sticks"],
    "eq_doorbell_interrupts": ["eq-doorbell-silent"],
    "reset_not_ready": ["reset-keeps-ready"],
    "reset_clears_tables": ["reset-keeps-tables"],
    "reset_clears_event_queues": ["reset-keeps-eqc"],
    "reset_ends_pause": ["reset-keeps-pause"],
    "load_reads_back": ["eqc-read-only"],
    "load_starts_events": ["eqc-not-taken-over"],
}

# Slow, so that jobs are in flight when the pause begins
PACE = {"job-time-ns": 20000000, "job-slots": 2}


def rows():
    """The program's tests: the last column in the part of its list that has their fixture."""
    listed = subprocess.run([PROGRAM, "-l"], text=True, check=False, stderr=subprocess.PIPE).stderr
    fixture = next(part for part in listed.split("-" * 80) if "silicon" in part)
    return {line.split()[-1] for line in fixture.splitlines() if line and line[0] != "#"}


def verdict(args, row):
    """What the program says about a row: its verdict, and whether it passed."""
    run = subprocess.run([PROGRAM, "-m", args.mode, "-t", row, args.bdf], text=True, check=False,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    lines = run.stdout.splitlines()
    said = [line.removeprefix("# verdict: ") for line in lines if line.startswith("# verdict: ")]
    if len(said) != 1 or "1..1" not in lines:
        print("".join(f"# | {line}\n" for line in lines), end="")
        raise AssertionError(f"{len(said)} verdicts about {row}")
    return said[0], run.returncode == 0


def turned_round(models, args, row, quirk):
    kind, _ = function_of(args.bdf)
    models.set(kind, "quirk", quirk)
    try:
        said, passed = verdict(args, row)
    finally:
        models.set(kind, "quirk", "none")
    print(f"# {quirk}: {said}")
    assert said.startswith("OTHERWISE: ") and not passed, said
    said, passed = verdict(args, row)
    assert said == "as inferred" and passed, f"without {quirk}: {said}"


def every_row_has_a_quirk():
    assert rows() == QUIRKS.keys(), rows() ^ QUIRKS.keys()


def main():
    parser = arguments(__doc__)
    parser.add_argument("-t", dest="row", choices=QUIRKS, help="only this one")
    args = parser.parse_args()

    kind, _ = function_of(args.bdf)
    with closing(Models()) as models:
        tests = [("every_row_has_a_quirk", every_row_has_a_quirk)]
        tests += [(f"{row}: {quirk}",
                   lambda row=row, quirk=quirk: turned_round(models, args, row, quirk))
                  for row, quirks in QUIRKS.items() if args.row in (None, row) for quirk in quirks]
        before = {name: models.get(kind, name) for name in PACE}
        try:
            for name, value in PACE.items():
                models.set(kind, name, value)
            return tap(tests)
        finally:
            for name, value in before.items():
                models.set(kind, name, value)


if __name__ == "__main__":
    sys.exit(main())
