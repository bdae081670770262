#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Tests of what the demo relies on to tell good from bad; they need no server."""

import contextlib
import io
import json
import os
import socket
import tempfile
import threading
import unittest

import demo
import kmsg
from arcs import ArcTrace, pauses
from qmp import QMP, QMPError
from report import Report
from vm import LabError, Load

TRACE = """\
# tracer: nop
  source-900     [001] .....    10.000000: ioctl: (unl_ioctl+0x0/0x10 [vfio]) cmd=15221
  source-900     [001] .....    10.000010: arc: (next_state+0x0/0x90 [vfio]) cur=2 new=6 device="0000:01:00.1"
  source-900     [001] .....    10.000110: ioctl_end: (vfs_ioctl+0x28/0x50 <- unl_ioctl) ret=0
  target-950     [000] .....    10.500000: ioctl: (unl_ioctl+0x0/0x10 [vfio]) cmd=15221
  target-950     [000] .....    10.500001: arc: (next_state+0x0/0x90 [vfio]) cur=2 new=4 device="0000:01:00.2"
  source-901     [001] .....    10.500002: read: (hisi_acc_vf_save_read+0x0/0x90 [hisi])
  source-901     [001] .....    10.500012: read_end: (vfs_read+0x28/0x50 <- save_read) ret=40
  source-901     [001] .....    10.500013: read: (hisi_acc_vf_save_read+0x0/0x90 [hisi])
  source-901     [001] .....    10.500014: read_end: (vfs_read+0x28/0x50 <- save_read) ret=-42
  target-950     [000] .....    10.500101: arc: (next_state+0x0/0x90 [vfio]) cur=1 new=4 device="0000:01:00.2"
  target-950     [000] .....    10.500151: ioctl_end: (vfs_ioctl+0x28/0x50 <- unl_ioctl) ret=-5
  target-950     [000] .....    10.600151: ioctl_end: (vfs_ioctl+0x28/0x50 <- unl_ioctl) ret=0
"""


class Arcs(unittest.TestCase):
    def test_an_ioctl_is_split_into_arcs(self):
        trace = ArcTrace("hisi_acc_vfio_pci")
        trace.text = TRACE
        arcs, data = trace.result()
        names = ("vm", "device", "start", "from", "to", "us", "error")
        self.assertEqual(arcs, [dict(zip(names, arc)) for arc in (
            ("source", "0000:01:00.1", 10000010.0, "RUNNING", "PRE_COPY", 100.0, 0),
            ("target", "0000:01:00.2", 10500001.0, "RUNNING", "STOP", 100.0, 0),
            ("target", "0000:01:00.2", 10500101.0, "STOP", "RESUMING", 50.0, -5))])
        self.assertEqual(list(data), ["source"])
        self.assertEqual(data["source"]["read"],
                         {"calls": 2, "bytes": 40, "us": 11.0, "errors": 0})


class Pauses(unittest.TestCase):
    """Two devices, of which each takes an arc that begins its pause and one that ends it."""

    @staticmethod
    def arcs(*order):
        state = {"begin": ("PRE_COPY", "PRE_COPY_P2P"), "end": ("PRE_COPY_P2P", "STOP_COPY"),
                 "precopy": ("RUNNING", "PRE_COPY"), "resume": ("STOP", "RUNNING_P2P")}
        return [{"device": device, "from": state[what][0], "to": state[what][1],
                 "start": 100.0 * number, "us": 10.0}
                for number, (device, what) in enumerate(order)]

    def test_all_begin_before_one_is_waited_for(self):
        result = pauses(self.arcs("a precopy".split(), "b precopy".split(), "a begin".split(),
                                  "b begin".split(), "a end".split(), "b end".split(),
                                  "a resume".split()))
        self.assertEqual(result, {"together": True, "all": 310.0,
                                  "each": {"a": 210.0, "b": 210.0}})

    def test_one_after_the_other_is_not_together(self):
        for order in (("a begin", "a end", "b begin", "b end"), ("a begin", "a end", "b end"),
                      ("a begin", "b begin", "a end")):
            arcs = self.arcs(*map(str.split, order))
            self.assertFalse(pauses(arcs)["together"], order)

    def test_what_was_not_paused_says_nothing(self):
        self.assertIsNone(pauses(self.arcs("a precopy".split(), "a resume".split())))


class Arguments(unittest.TestCase):
    def parse(self, driver, *words):
        return demo.arguments(driver, words).vfs

    def test_a_workload_has_a_function(self):
        self.assertEqual(self.parse("hisi_vfio_pci", "--workload", "dm-crypt"), ["sec"])
        self.assertEqual(self.parse("hisi_vfio_pci", "--workload", "pubkey"), ["hpre"])

    def test_functions_are_kinds_in_order(self):
        self.assertEqual(self.parse("hisi_vfio_pci", "--vfs", "zip,sec,zip"), ["zip", "sec", "zip"])
        self.assertEqual(self.parse("hisi_acc_vfio_pci", "--vfs", "sec"), ["sec"])

    def test_without_a_wish_there_are_as_many_kinds_as_the_driver_can_move(self):
        self.assertEqual(self.parse("hisi_vfio_pci"), ["zip", "sec", "hpre"])
        self.assertEqual(self.parse("hisi_acc_vfio_pci"), ["zip"])

    def test_what_cannot_be_is_refused(self):
        for driver, vfs, why in (("hisi_vfio_pci", "zip,", "'' is none of"),
                                 ("hisi_vfio_pci", "zip,rde", "'rde' is none of"),
                                 ("hisi_vfio_pci", "zip --workload dm-crypt", "one function of"),
                                 ("hisi_acc_vfio_pci", "zip,zip", "has no P2P states")):
            said = io.StringIO()
            with self.assertRaises(SystemExit), contextlib.redirect_stderr(said):
                self.parse(driver, "--vfs", *vfs.split())
            self.assertIn(why, said.getvalue())


class Soak(unittest.TestCase):
    def test_noise_is_no_growth_and_a_leak_is(self):
        noise = [48580, 48732, 48700, 48344, 48496, 48504, 49900, 48400] * 3
        self.assertLess(abs(demo.Demo.growth(noise)), demo.GROWTH / 2)
        page_per_arc = 4 * 7
        leak = [value + page_per_arc * number for number, value in enumerate(noise)]
        self.assertGreater(demo.Demo.growth(leak), demo.GROWTH)
        self.assertEqual(demo.Demo.growth([5]), 0)


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
                (3, "hisi_sec2 0000:00:02.0: flag[3], icv[2]", True, False),
                (3, "hisi_sec2 0000:00:02.0: flag[3], icv[0]", True, True),
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


class Machine:
    """A guest's console."""

    def __init__(self, *lines, answer=()):
        self.lines, self.answer, self.sent = list(lines), answer, []

    def check(self):
        pass

    def console(self, start):
        return self.lines[start:]

    def send(self, command):
        self.sent.append(command)
        self.lines += self.answer


class Guest(unittest.TestCase):
    def test_a_verdict_carries_the_kernel_messages_since_the_work_began(self):
        machine = Machine("LOAD zip status completed=5", "LOAD sec verdict completed=1", answer=(
            "LOAD guest kmsg <4>[ 0.1] cacheinfo: odd but early",
            "LOAD guest kmsg <6>[ 9.0] accload: begins",
            "LOAD guest kmsg <3>[ 9.1] hisi_zip: compress fail",
            "LOAD zip verdict state=stopped completed=7",
            "LOAD sec verdict state=stopped completed=8",
            "LOAD guest verdict taint=4096"))
        verdicts, work, guest = Load(machine, {"zip": 1, "sec": 2}).verdict()
        self.assertEqual(machine.sent, ["stop"])
        self.assertEqual(verdicts, {"zip": {"state": "stopped", "completed": 7},
                                    "sec": {"state": "stopped", "completed": 8}})
        self.assertIsNone(work)
        self.assertEqual(guest, {"taint": 4096, "faults": ["[ 9.1] hisi_zip: compress fail"]})

    def test_a_workload_has_an_accelerator_for_itself_and_goes_on_counting(self):
        source = Machine("LOAD dm-crypt status state=running rounds=3 wrong=0 jobs=70")
        load = Load(source, {"zip": 1, "sec": 1}, demo.WORKLOADS["dm-crypt"])
        load.begin(tfms=16, depth=2)
        self.assertEqual(source.sent, ["start zip tfms=16 depth=2", "work dm-crypt"])
        self.assertEqual(load.progress(), (3, 70))
        target = Machine(answer=("LOAD dm-crypt verdict state=stopped rounds=5 wrong=1 jobs=99",
                                 "LOAD guest verdict taint=0"))
        load.follow(target)
        self.assertEqual(load.progress(), (3, 70))
        _, work, _ = load.verdict()
        self.assertEqual(work, {"state": "stopped", "rounds": 5, "wrong": 1, "jobs": 99})

    def test_a_guest_is_ready_with_all_its_functions(self):
        machine = Machine("LOAD zip ready devices=2", "LOAD guest ready kernel=7.3.4")
        self.assertEqual(Load(machine, {"zip": 2}).ready(), {"kernel": "7.3.4"})
        for kinds in {"zip": 1}, {"zip": 2, "sec": 1}:
            with self.assertRaises(LabError):
                Load(machine, kinds).ready()

    def test_each_kind_works_on_the_queues_of_all_its_functions(self):
        machine = Machine()
        Load(machine, {"zip": 2, "hpre": 1}).begin(tfms=16, depth=2)
        self.assertEqual(machine.sent, ["start zip tfms=32 depth=2", "start hpre tfms=16 depth=2"])

    def test_what_hangs_or_fails_ends_the_wait(self):
        Load(Machine("LOAD zip status hung=0"), {"zip": 1}).alive()
        for line in ("LOAD zip status hung=1", "LOAD sec failed: no", "LOAD dm-crypt failed: no",
                     "Kernel panic - not syncing"):
            with self.assertRaises(LabError):
                Load(Machine(line), {"zip": 1}).alive()


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
