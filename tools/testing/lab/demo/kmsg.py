# SPDX-License-Identifier: GPL-2.0-only
"""Judges kernel messages, and reads those of the running kernel."""

import errno
import os
import re

WARNING = 4  # the level of a printk; smaller is worse

# Bad at any level and any time.
SPLAT = re.compile(
    r"WARNING: |BUG: |Oops|Unable to handle|Internal error|Kernel panic|KASAN|UBSAN|DMA-API: "
    r"|possible (circular|recursive) locking|inconsistent lock state|suspicious RCU usage"
    r"|detected stalls? |self-detected stall|refcount_t: |blocked for more than|Call trace:")
# A slow machine says so; a module that is not the kernel's own is no surprise here; the PCI core
# warns of every reset that a device's user asks for; and Linux 6.12 gives up on a function's pause
# after 1 ms, when our driver goes on waiting. If that was in vain an arc fails. The driver of SEC
# says of each message that it is not authentic; the load sees to it that just the tampered ones are.
HARMLESS = re.compile(
    r"hrtimer: interrupt took|hogged CPU for|perf: interrupt took|loading out-of-tree module"
    r"|module verification failed|clocksource: |: reset(ting| done)$"
    r"|hisi_vfio_pci \S+: QM mailbox operation timeout!$"
    r"|hisi_sec2 \S+: flag\[3\], icv\[2\]$|sec_cb_status_check: \d+ callbacks suppressed$")
# /proc/sys/kernel/tainted: what a load of foreign modules sets (P, F, O, E, X), and the rest.
TAINT_MODULES = 1 << 0 | 1 << 1 | 1 << 12 | 1 << 13 | 1 << 16


def bad(level, text, working):
    """Whether a message is a fault; while nothing works yet only the worst of them are."""
    if HARMLESS.search(text):
        return False
    return bool(SPLAT.search(text)) or (working and level <= WARNING)


def bad_taint(taint):
    """What is wrong with a taint mask, or the text that was found in its place."""
    return taint & ~TAINT_MODULES if isinstance(taint, int) else taint or "unknown"


class KernelLog:
    """The running kernel's messages; those after the object was made are of a working system."""

    def __init__(self):
        self.start = max((seq for seq, _, _ in self.records()), default=-1) + 1

    @staticmethod
    def records():
        fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        try:
            while True:
                try:
                    record = os.read(fd, 8192).decode(errors="replace")
                except OSError as error:
                    if error.errno == errno.EPIPE:
                        continue  # overwritten while we read; goes on with the oldest
                    if error.errno == errno.EAGAIN:
                        return
                    raise
                head, _, text = record.partition(";")
                prefix, seq, time = head.split(",")[:3]
                text = text.split("\n")[0]
                yield int(seq), int(prefix) & 7, f"[{int(time) / 1e6:12.6f}] {text}"
        finally:
            os.close(fd)

    def faults(self):
        return [text for seq, level, text in self.records() if bad(level, text, seq >= self.start)]

    def tail(self, lines):
        return [text for _, _, text in self.records()][-lines:]

    @staticmethod
    def taint():
        with open("/proc/sys/kernel/tainted", encoding="ascii") as file:
            return int(file.read())
