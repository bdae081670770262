#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Tests of what the demo relies on to tell good from bad; they need no server."""

import json
import os
import socket
import tempfile
import threading
import unittest

import kmsg
from arcs import ArcTrace
from qmp import QMP, QMPError
from report import Report
from vm import Load

TRACE = """\
# tracer: nop
  source-900     [001] .....    10.000000: ioctl: (unl_ioctl+0x0/0x10 [vfio]) cmd=15221
  source-900     [001] .....    10.000010: arc: (next_state+0x0/0x90 [vfio]) cur=2 new=6
  source-900     [001] .....    10.000110: ioctl_end: (vfs_ioctl+0x28/0x50 <- unl_ioctl) ret=0
  target-950     [000] .....    10.500000: ioctl: (unl_ioctl+0x0/0x10 [vfio]) cmd=15221
  target-950     [000] .....    10.500001: arc: (next_state+0x0/0x90 [vfio]) cur=2 new=4
  source-901     [001] .....    10.500002: read: (hisi_acc_vf_save_read+0x0/0x90 [hisi])
  source-901     [001] .....    10.500012: read_end: (vfs_read+0x28/0x50 <- save_read) ret=40
  source-901     [001] .....    10.500013: read: (hisi_acc_vf_save_read+0x0/0x90 [hisi])
  source-901     [001] .....    10.500014: read_end: (vfs_read+0x28/0x50 <- save_read) ret=-42
  target-950     [000] .....    10.500101: arc: (next_state+0x0/0x90 [vfio]) cur=1 new=4
  target-950     [000] .....    10.500151: ioctl_end: (vfs_ioctl+0x28/0x50 <- unl_ioctl) ret=-5
  target-950     [000] .....    10.600151: ioctl_end: (vfs_ioctl+0x28/0x50 <- unl_ioctl) ret=0
"""


class Arcs(unittest.TestCase):
    def test_an_ioctl_is_split_into_arcs(self):
        trace = ArcTrace("hisi_acc_vfio_pci")
        trace.text = TRACE
        arcs, data = trace.result()
        self.assertEqual(arcs, [
            {"vm": "source", "from": "RUNNING", "to": "PRE_COPY", "us": 100.0, "error": 0},
            {"vm": "target", "from": "RUNNING", "to": "STOP", "us": 100.0, "error": 0},
            {"vm": "target", "from": "STOP", "to": "RESUMING", "us": 50.0, "error": -5}])
        self.assertEqual(list(data), ["source"])
        self.assertEqual(data["source"]["read"],
                         {"calls": 2, "bytes": 40, "us": 11.0, "errors": 0})


class Messages(unittest.TestCase):
    def test_which_messages_are_faults(self):
        for level, text, working, bad in (
                (4, "WARNING: CPU: 0 PID: 1 at drivers/vfio/vfio_main.c:1", False, True),
                (6, "BUG: sleeping function called from invalid context", False, True),
                (4, "cacheinfo: Unable to detect cache hierarchy for CPU 0", False, False),
                (4, "hisi_zip 0000:00:01.0: something odd", True, True),
                (4, "hrtimer: interrupt took 12345 ns", True, False),
                (3, "hisi_vfio_pci 0000:01:00.1: QM mailbox operation timeout!", True, False),
                (3, "hisi_acc_vfio_pci 0000:01:00.1: QM mailbox operation timeout!", True, True),
                (3, "hisi_zip 0000:01:00.1: QM mailbox operation timeout!", True, True),
                (4, "vfio-pci 0000:01:00.1: resetting", True, False)):
            self.assertEqual(kmsg.bad(level, text, working), bad, text)

    def test_only_foreign_modules_may_taint(self):
        self.assertFalse(kmsg.bad_taint(1 << 12 | 1 << 13))
        self.assertTrue(kmsg.bad_taint(1 << 12 | 1 << 9))
        self.assertTrue(kmsg.bad_taint(""))


class Monitor(unittest.TestCase):
    """A monitor on a port: somebody was here before and left things unread."""

    def serve(self, listener):
        peer, _ = listener.accept()
        peer.sendall(b'half of an old answer"}\r\n{"return": "stale", "id": "old"}\r\n')
        for line in peer.makefile():
            request = json.loads(line)
            answer = {"id": request["id"]}
            if request["execute"] == "qmp_capabilities":
                answer["error"] = {"class": "CommandNotFound", "desc": "negotiated"}
            elif request["execute"] == "fail":
                answer["error"] = {"class": "GenericError", "desc": "no"}
            else:
                peer.sendall(b'{"event": "STOP"}\r\n')
                answer["return"] = request["arguments"]
            peer.sendall(json.dumps(answer).encode() + b"\r\n")
        peer.close()

    def test_answers_are_matched(self):
        with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as listener:
            path = os.path.join(directory, "qmp")
            listener.bind(path)
            listener.listen()
            thread = threading.Thread(target=self.serve, args=(listener,))
            thread.start()
            with QMP(path) as qmp:
                self.assertEqual(qmp.cmd("echo", a_b=1), {"a-b": 1})
                with self.assertRaises(QMPError):
                    qmp.cmd("fail")
                self.assertEqual([event["event"] for event in qmp.events], ["STOP"])
            thread.join()


class Guest(unittest.TestCase):
    class Machine:
        def __init__(self):
            self.lines = ["ZIPLOAD status completed=5"]

        def check(self):
            pass

        def send(self, command):
            assert command == "stop"
            self.lines += ["ZIPLOAD kmsg <4>[ 0.1] cacheinfo: odd but early",
                           "ZIPLOAD kmsg <6>[ 9.0] zipload: begins",
                           "ZIPLOAD kmsg <3>[ 9.1] hisi_zip: compress fail",
                           "ZIPLOAD verdict state=stopped completed=7 taint=4096"]

    def test_a_verdict_carries_the_kernel_messages_since_the_work_began(self):
        verdict = Load(self.Machine()).verdict()
        self.assertEqual(verdict, {"state": "stopped", "completed": 7, "taint": 4096,
                                   "faults": ["[ 9.1] hisi_zip: compress fail"]})


class Reports(unittest.TestCase):
    def test_a_report_without_checks_is_not_good(self):
        report = Report()
        self.assertFalse(report.good)
        report.none("nothing", 0)
        self.assertTrue(report.good)
        report.none("something", ["x"])
        self.assertFalse(report.good)


if __name__ == "__main__":
    unittest.main()
