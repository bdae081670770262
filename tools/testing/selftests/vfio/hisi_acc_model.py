#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Runs a command with the virtual accelerators set up in some way, and watches them.

    hisi_acc_model.py [--known VIOLATION] [PROPERTY=VALUE ...] -- COMMAND [ARGUMENT ...]

The properties (job-time-ns, job-slots, pause-policy, ...) are restored afterwards. Ends with the
command's status, or with 1 if an accelerator saw something that real hardware would suffer from.
"""

import argparse
import subprocess
import sys
from contextlib import closing

from hisi_ctl import KINDS, Models


def violations(models):
    return {(kind, what): count for kind in KINDS
            for what, count in models.stats(kind)["violation-kinds"].items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--known", action="append", default=[], metavar="VIOLATION",
                        help="one that is known of a driver in use, and tolerated")
    parser.add_argument("settings", nargs="*", metavar="PROPERTY=VALUE")
    split = sys.argv.index("--") if "--" in sys.argv[:-1] else None
    if split is None:
        parser.error("no command")
    args = parser.parse_args(sys.argv[1:split])
    command = sys.argv[split + 1:]

    with closing(Models()) as models:
        before = violations(models)
        saved = []
        for setting in args.settings:
            name, _, value = setting.partition("=")
            for kind in KINDS:
                old = models.get(kind, name)
                saved.append((kind, name, old))
                models.set(kind, name, type(old)(value) if not isinstance(old, bool)
                           else value in ("on", "true"))
    # The port has room for one user; the command may be another.
    try:
        status = subprocess.call(command)
    finally:
        with closing(Models()) as models:
            for kind, name, value in reversed(saved):
                models.set(kind, name, value)
            after = violations(models)
    for (kind, what), count in sorted(after.items()):
        count -= before.get((kind, what), 0)
        if not count:
            continue
        known = what in args.known
        print(f"# {kind}: the accelerator saw {count} x {what}{', as known' if known else ''}")
        status = status or int(not known)
    return status


if __name__ == "__main__":
    sys.exit(main())
