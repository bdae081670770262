#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What the arcs of a migration cost in register accesses, counted by the virtual accelerator.

    hisi_acc_cost.py count BDF [-m group|cdev] [-o FILE]   drive the VF and write the counts
    hisi_acc_cost.py compare OURS REFERENCE                print both, fail when ours are more

The counts are those of the machine that emulates the accelerator, over $LAB_QMP.
"""

import argparse
import json
import os
import sys
import tempfile

from hisi_ctl import Ctl, Models, function_of

# What is counted: sums over all functions, as a driver reaches registers in its VF and in the PF
COUNTS = {
    "reads": ("reads", "window-reads"),
    "writes": ("writes", "window-writes", "doorbells", "restarts"),
    "of them doorbells": ("doorbells", "restarts"),
    "mailbox commands": ("mailbox-commands",),
    "polls": ("mailbox-reads",),
}
# What has to be no more than the reference's. Polls depend on how fast the hardware answers.
JUDGED = ("reads", "writes", "mailbox commands")
TOTAL = "save and load"
# What we do that the reference does not. A function is paused again once its user is kept out, who
# could make it go on until then: a mailbox command, before which hisi_qm reads two words of the PF's
# error status. And a reset of the PF is noticed: a word for each arc from a state that it would undo.
ALLOWED = {
    ("PRE_COPY -> STOP_COPY", "mailbox commands"): 1,
    ("PRE_COPY -> STOP_COPY", "reads"): 2 + 1,
    ("RUNNING -> RESUMING", "mailbox commands"): 1,
    ("RUNNING -> RESUMING", "reads"): 2,
    ("STOP -> RUNNING", "reads"): 1,
}

# (row, commands). A load may do its work while it is written or when it ends: one row for both.
SAVE = [
    ("RUNNING -> PRE_COPY", ["set PRE_COPY"]),
    ("read in PRE_COPY", ["read {file}"]),
    ("PRE_COPY -> STOP_COPY", ["set STOP_COPY"]),
    ("read in STOP_COPY", ["read {file}"]),
    ("STOP_COPY -> STOP", ["set STOP"]),
]
LOAD = [
    ("RUNNING -> RESUMING", ["set RESUMING"]),
    ("RESUMING .. STOP", ["write {file}", "set STOP"]),
    ("STOP -> RUNNING", ["set RUNNING"]),
]
# A paused guest that is saved later or not at all. For the record only: a driver that does not
# bring the queues back has no cost here.
OTHER = [
    ("RUNNING -> STOP", ["set STOP"]),
    ("STOP -> STOP_COPY", ["set STOP_COPY"]),
    ("STOP_COPY -> RUNNING", ["set RUNNING"]),
]


def stats(models, kind):
    functions = models.stats(kind)["functions"].values()
    return {count: sum(fn[key] for fn in functions for key in keys)
            for count, keys in COUNTS.items()}


def count(args):
    models = Models()
    kind, _ = function_of(args.bdf)
    ctl = Ctl(args.bdf, args.mode)
    rows = {}
    with tempfile.TemporaryDirectory() as scratch:
        # Reads append, so that both parts of the stream end up in one file.
        file = os.path.join(scratch, "stream")

        def walk(arcs):
            for name, commands in arcs:
                before = stats(models, kind)
                for command in commands:
                    ctl.cmd(command.format(file=file))
                after = stats(models, kind)
                rows[name] = {key: after[key] - before[key] for key in COUNTS}

        # A guest in use, but idle, so that the numbers are the same each time
        ctl.cmd("start")
        ctl.cmd("post 5")
        ctl.cmd("wait")
        walk(SAVE)
        ctl.cmd("reset")
        walk(LOAD)
        # It was a migration only if the guest works on.
        ctl.cmd("post 5")
        ctl.cmd("wait")
        rows[TOTAL] = {key: sum(rows[name][key] for name, _ in SAVE + LOAD) for key in COUNTS}
        os.unlink(file)
        walk(OTHER)
        ctl.close()

    driver = os.path.basename(os.path.realpath(f"/sys/bus/pci/devices/{args.bdf}/driver"))
    result = {"driver": driver, "hw": os.environ.get("LAB_HW"), "arcs": rows}
    if args.output:
        with open(args.output, "w", encoding="ascii") as out:
            json.dump(result, out, indent=2)
            out.write("\n")
    else:
        json.dump(result, sys.stdout, indent=2)
        print()
    return 0


def compare(args):
    ours, ref = (json.load(open(name, encoding="ascii")) for name in (args.ours, args.reference))
    width = max(map(len, ours["arcs"]))
    print(f"{'':{width}}  " + "".join(f"{key:>18}" for key in COUNTS))
    print(f"{'':{width}}  " + f"{'ours / ref':>18}" * len(COUNTS))
    worse = []
    for arc, mine in ours["arcs"].items():
        theirs = ref["arcs"][arc]
        cells = ""
        for key in COUNTS:
            most = theirs[key] + sum(more for (row, what), more in ALLOWED.items()
                                     if what == key and arc in (row, TOTAL))
            more = mine[key] > most and key in JUDGED and arc not in dict(OTHER)
            if more:
                worse.append(f"{arc}: {mine[key]} {key}, not {theirs[key]}")
            cells += f"{mine[key]:>11} /{theirs[key]:>4}{'*' if more else ' '}"
        print(f"{arc:{width}}  {cells}")
    for line in worse:
        print(f"more than {ref['driver']}: {line}")
    return 1 if worse else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = parser.add_subparsers(required=True)
    one = sub.add_parser("count")
    one.add_argument("bdf")
    one.add_argument("-m", "--mode", choices=("group", "cdev"), default="group")
    one.add_argument("-o", "--output")
    one.set_defaults(run=count)
    two = sub.add_parser("compare")
    two.add_argument("ours")
    two.add_argument("reference")
    two.set_defaults(run=compare)
    args = parser.parse_args()
    return args.run(args)


if __name__ == "__main__":
    sys.exit(main())
