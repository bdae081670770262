#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Runs a command with the virtual accelerators set up in some way.

    hisi_acc_model.py PROPERTY=VALUE ... -- COMMAND [ARGUMENT ...]

The properties (job-time-ns, job-slots, pause-policy, ...) are restored afterwards. Ends with the
command's status.
"""

import argparse
import subprocess
import sys
from contextlib import closing

from hisi_ctl import KINDS, Models


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("settings", nargs="+", metavar="PROPERTY=VALUE")
    split = sys.argv.index("--") if "--" in sys.argv[:-1] else None
    if split is None:
        parser.error("no command")
    args = parser.parse_args(sys.argv[1:split])

    saved = []
    with closing(Models()) as models:
        for setting in args.settings:
            name, _, value = setting.partition("=")
            for kind in KINDS:
                old = models.get(kind, name)
                saved.append((kind, name, old))
                models.set(kind, name, type(old)(value) if not isinstance(old, bool)
                           else value in ("on", "true"))
    # The port has room for one user; the command may be another.
    try:
        return subprocess.call(sys.argv[split + 1:])
    finally:
        with closing(Models()) as models:
            for kind, name, value in reversed(saved):
                models.set(kind, name, value)


if __name__ == "__main__":
    sys.exit(main())
