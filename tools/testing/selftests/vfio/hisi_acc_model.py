#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Runs a command with the virtual ZIP accelerator set up in some way, and watches it.

    hisi_acc_model.py [--known KIND] [PROPERTY=VALUE ...] -- COMMAND [ARGUMENT ...]

The properties (job-time-ns, job-slots, pause-policy, ...) are restored afterwards. Ends with the
command's status, or with 1 if the accelerator saw something that real hardware would suffer from.
"""

import argparse
import os
import subprocess
import sys

from hisi_ctl import QMP


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--qmp", default=os.environ.get("LAB_QMP"))
    parser.add_argument("--device", default="zip0", help="id of the PF in the machine")
    parser.add_argument("--known", action="append", default=[], metavar="KIND",
                        help="a violation that is known of a driver in use, and tolerated")
    parser.add_argument("settings", nargs="*", metavar="PROPERTY=VALUE")
    split = sys.argv.index("--") if "--" in sys.argv[:-1] else None
    if split is None:
        parser.error("no command")
    args = parser.parse_args(sys.argv[1:split])
    command = sys.argv[split + 1:]
    path = f"/machine/peripheral/{args.device}"

    def violations():
        return qmp.cmd("qom-get", path=path, property="stats")["violation-kinds"]

    with QMP(args.qmp) as qmp:
        before = violations()
        saved = {}
        for setting in args.settings:
            name, _, value = setting.partition("=")
            old = qmp.cmd("qom-get", path=path, property=name)
            saved.setdefault(name, old)
            qmp.cmd("qom-set", path=path, property=name, value=type(old)(value)
                    if not isinstance(old, bool) else value in ("on", "true"))
    # The port has room for one user; the command may be another.
    try:
        status = subprocess.call(command)
    finally:
        with QMP(args.qmp) as qmp:
            for name, value in saved.items():
                qmp.cmd("qom-set", path=path, property=name, value=value)
            after = violations()
    for kind, count in sorted(after.items()):
        count -= before.get(kind, 0)
        if not count:
            continue
        known = kind in args.known
        print(f"# the accelerator saw {count} x {kind}{', as known' if known else ''}")
        status = status or int(not known)
    return status


if __name__ == "__main__":
    sys.exit(main())
