# SPDX-License-Identifier: GPL-2.0-only
"""What the scripts here share: the QMP client, and a guest in a VF under remote control."""

import os
import subprocess
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
# Where the QMP client is: beside the programs in the emulated server, and in the source tree.
sys.path += [os.path.join(HERE, "../demo"), os.path.join(HERE, "../../lab/demo")]

from qmp import QMP  # noqa: E402,F401 (needs the path; for those who import it from here)


class Ctl:
    """hisi_acc_ctl on a VF, or vfio_mig_ctl, which does without a guest."""

    def __init__(self, bdf, mode, program="hisi_acc_ctl"):
        self.program = program
        program = os.path.join(HERE, program)
        self.process = subprocess.Popen([program, "-m", mode, bdf], text=True, bufsize=1,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, line):
        """The answer to a command: 'ok ...' or 'err ERRNO ...'."""
        self.process.stdin.write(line + "\n")
        for answer in self.process.stdout:
            if answer.startswith(("ok", "err")):
                return answer.strip()
            print(answer, end="")
        sys.exit(f"{self.program}: {line}: it has ended")

    def cmd(self, line):
        """The answer to a command that must not fail."""
        answer = self.ask(line)
        if not answer.startswith("ok"):
            sys.exit(f"{self.program}: {line}: {answer}")
        return answer[3:]

    def close(self):
        self.process.stdin.close()
        if self.process.wait():
            sys.exit(f"{self.program} failed at the end")
