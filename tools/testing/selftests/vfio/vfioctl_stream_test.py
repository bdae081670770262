#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What vfioctl says of streams: of those that the fuzzer of the wire format begins with, and of some
that are none.

    vfioctl_stream_test.py [-m group|cdev] [--vfioctl PROGRAM] [BDF]

BDF is a VF of a HiSilicon accelerator under hisi_vfio_pci that nobody uses. Each stream, made to fit,
is written to it too, and the driver has to fail in the same call with the same errno, and to give the
same reason in the kernel's log. Output is TAP.
"""

import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import time

from hisi_acc_corpus import CORPUS, FIELDS, MATCH, RECORD
from hisi_ctl import DRIVER, Ctl, arguments, tap

ACCEPTED, INCOMPLETE, REFUSED = "accepted", "incomplete", "refused"
QUEUES = "it has queues to load"
BLANK = "no guest driver used the VF; the target must not be in use"
RESERVED = "reserved words are not zero"
CONTRADICT = "event queue addresses contradict their contexts"
MISSING = "some queue addresses are missing"


def all_streams(fit):
    """Those of the corpus, made to fit, and some that are none."""
    streams = {name: fit(data) for name, data in CORPUS.items()}
    ready = streams["ready"]
    return {
        **streams,
        "empty": b"",
        "one-byte": b"\xde",
        "text": b"This is not a record, whatever it is, and long enough for the match part.\n",
        "zeros": bytes(RECORD),
        "ones": b"\xff" * RECORD,
        "byte-more": ready + b"\0",
        "two-records": ready * 2,
        "two-of-which-the-first-is-bad": streams["pad0"] + ready,
        "other-endian": b"".join(ready[at:at + 8][::-1] for at in range(0, RECORD, 8)),
    }


# Verdict, errno, reason
EXPECTED = {
    "ready": (ACCEPTED, None, QUEUES),
    "ready-minor-0": (ACCEPTED, None, QUEUES),
    "ready-v1": (ACCEPTED, None, QUEUES),
    "not-ready": (ACCEPTED, None, BLANK),
    "not-ready-after-precopy": (ACCEPTED, None, BLANK),
    "not-ready-v1": (ACCEPTED, None, BLANK),
    "match": (INCOMPLETE, "EINVAL", "it is the match part only, as it is read in PRE_COPY"),
    "match-minor-0": (ACCEPTED, None, BLANK),
    "cut-short": (INCOMPLETE, "EINVAL", "it ends in the match part"),
    "cut-short-in-state": (INCOMPLETE, "EINVAL", "it ends in the state part"),
    "newer-minor": (ACCEPTED, None, QUEUES),
    "other-qp_base": (ACCEPTED, None, QUEUES),
    "magic": (REFUSED, "EINVAL", "unknown magic number"),
    "major": (REFUSED, "EOPNOTSUPP", "unknown major version"),
    "reserved0": (REFUSED, "EINVAL", RESERVED),
    "vf_state": (REFUSED, "EINVAL", "unknown VF state"),
    "dev_id": (ACCEPTED, None, QUEUES),
    "qp_num": (ACCEPTED, None, QUEUES),
    "isolation": (ACCEPTED, None, QUEUES),
    "reserved1": (REFUSED, "EINVAL", RESERVED),
    "pad0": (REFUSED, "EINVAL", RESERVED),
    "eq_addr": (REFUSED, "EINVAL", CONTRADICT),
    "aeq_addr": (REFUSED, "EINVAL", CONTRADICT),
    "misaligned": (REFUSED, "EINVAL", "a table of queue contexts is misaligned"),
    "not-ready-with-queues": (REFUSED, "EINVAL", "queues of a VF that was not ready"),
    **{f"{which}-{what}": (REFUSED, "EINVAL", MISSING)
       for which in ("only", "no") for what in ("eqc", "aeqc", "sqc", "cqc")},
    "empty": (INCOMPLETE, "EINVAL", "there are no bytes"),
    "one-byte": (INCOMPLETE, "EINVAL", "it ends in the match part"),
    "text": (REFUSED, "EINVAL", "unknown magic number"),
    "zeros": (REFUSED, "EINVAL", "unknown magic number"),
    "ones": (REFUSED, "EINVAL", "unknown magic number"),
    "byte-more": (REFUSED, "ENOSPC", "bytes follow the record"),
    "two-records": (REFUSED, "ENOSPC", "another record follows"),
    "two-of-which-the-first-is-bad": (REFUSED, "EINVAL", RESERVED),
    "other-endian": (REFUSED, "EINVAL", "unknown magic number"),
}
# What a target that is known decides
ON_DEVICE = {
    "dev_id": (REFUSED, "EXDEV", "saved from another kind of device"),
    "qp_num": (REFUSED, "EXDEV", "saved from a VF with another number of queues"),
    "isolation": (REFUSED, "EXDEV", "saved from a device with another queue isolation"),
}
# Which vfioctl is told with --device
KNOWN_OF_DEVICE = ("dev_id",)


def vfioctl(*args, **kwargs):
    return subprocess.run([ARGS.vfioctl, "stream", *args], capture_output=True, check=False,
                          **kwargs)


def check_verdict(data, expected, *options):
    """Exit status, words and JSON, of a file and of the standard input."""
    verdict, error, reason = expected
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        run = vfioctl("--json", *options, file.name)
        said = vfioctl(*options, file.name)
    assert run.returncode == said.returncode == (verdict != ACCEPTED), (run, said)
    assert not run.stderr and not said.stderr, (run.stderr, said.stderr)
    assert vfioctl("--json", *options, "-", input=data).stdout == run.stdout

    result = json.loads(run.stdout)
    call = {ACCEPTED: None, INCOMPLETE: "RESUMING -> STOP", REFUSED: "write()"}[verdict]
    assert (result["verdict"], result["reason"]) == (verdict, reason), result
    assert (result.get("call"), result.get("error")) == (call, error), result
    last = said.stdout.decode().splitlines()[-1]
    assert last == f"{verdict}: {reason}" + (f" ({call} fails with {error})" if error else ""), last
    return result


def check_decoding(data, fields):
    """What is decoded is the whole of the record, byte for byte, under the names of its document."""
    assert b"".join(int(field["value"], 16).to_bytes(field["bytes"], "little")
                    for field in fields) == data
    at = 0
    for field in fields:
        assert field["offset"] == at, field
        at += field["bytes"]
    values = dict(zip((name for name, _, _ in FIELDS),
                      struct.unpack("<" + "".join(form for _, form, _ in FIELDS),
                                    data + bytes(16))))
    for field in fields:
        if field["name"] in values:
            assert int(field["value"], 16) == values[field["name"]], field


def test_decoding():
    data = CORPUS["ready"]
    run = vfioctl("--json", "-", input=data)
    check_decoding(data, json.loads(run.stdout)["fields"])
    meant = {field["name"]: field["meaning"] for field in json.loads(run.stdout)["fields"]}
    assert meant["magic"] == "V2" and meant["dev_id"].startswith("ZIP"), meant
    assert meant["eqc[0]"] == "consumer 3, producer 5", meant
    assert meant["page_size"] == "4 KiB" and meant["vf_state"] == "ready", meant


def test_match_part_is_decoded():
    """A record that ends in a word is decoded up to that."""
    for length, fields in ((MATCH, MATCH), (MATCH + 7, MATCH + 4), (0, 0)):
        data = CORPUS["ready"][:length]
        result = json.loads(vfioctl("--json", "-", input=data).stdout)
        assert sum(field["bytes"] for field in result["fields"]) == fields, result


def test_no_file():
    for args, status in ((["/nonexistent"], 1), (["/"], 1), ([], 2), (["-", "-"], 2)):
        run = vfioctl(*args, input=b"")
        assert run.returncode == status and not run.stdout, run
        assert run.stderr.startswith(b"vfioctl: ") and run.stderr.count(b"\n") == 1, run


def test_wrong_letters():
    """Of several letters in one argument the first is wrong, whatever is before it."""
    for args in (["-ab", "-"], ["--json", "-ab", "-"], ["-a", "-ab"], ["--device=0:0.0", "-ab"]):
        run = vfioctl(*args, input=b"")
        wrong = next(arg for arg in args if arg.startswith(("-a",))).encode()
        assert run.returncode == 2 and b"stream has no option " + wrong + b";" in run.stderr, run


def test_output_full():
    """Whatever was asked: it was not answered if that cannot be written."""
    data = CORPUS["ready"]
    for args in (["stream", "-"], ["stream", "--json", "-"], ["stream", "--help"], ["help"],
                 ["--version"]):
        with open("/dev/full", "wb") as full:
            run = subprocess.run([ARGS.vfioctl, *args], input=data, stdout=full, check=False,
                                 stderr=subprocess.PIPE)
        assert run.returncode == 1, run
        assert run.stderr == b"vfioctl: the output cannot be written\n", run


class Target:
    """A VF that streams are written to."""

    def __init__(self, bdf, mode):
        self.bdf = bdf
        self.ctl = Ctl(bdf, mode, program="vfio_mig_ctl")
        with tempfile.TemporaryDirectory() as directory:
            saved = os.path.join(directory, "saved")
            for command in ("set STOP_COPY", f"read {saved}", "reset"):
                self.ctl.cmd(command)
            with open(saved, "rb") as file:
                self.own = file.read()

    def fit(self, data):
        """The stream of a corpus as this VF, or one that differs as it says, would have saved it."""
        if len(data) < MATCH:
            return data
        # Not of the record: what to make of qp_num, dev_id and isolation
        dev_id, qp_num, isolation = struct.unpack("<III", data[RECORD:RECORD + 12].ljust(12, b"\0"))
        own = struct.unpack_from("<III", self.own, 8)
        match = struct.pack("<III", own[0] ^ qp_num, own[1] ^ dev_id, own[2] ^ isolation)
        return data[:8] + match + data[20:RECORD]

    def reasons(self):
        log = subprocess.run(["dmesg"], check=True, capture_output=True, text=True).stdout
        return re.findall(rf"{DRIVER} {re.escape(self.bdf)}: saved state refused: (.*)", log)

    def load(self, data):
        """The call that fails first, with which errno, and what the driver gives as the reason."""
        before = len(self.reasons())
        self.ctl.cmd("set RESUMING")
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            answers = [("write()", self.ctl.ask(f"write {file.name}")),
                       ("RESUMING -> STOP", self.ctl.ask("set STOP"))]
        self.ctl.cmd("reset")
        failed = [(call, answer.split()[1]) for call, answer in answers if answer.startswith("err")]
        new = self.reasons()[before:]
        return *(failed[0] if failed else (None, None)), new[-1] if new else None

    def test(self, name, data):
        expected = ON_DEVICE.get(name, EXPECTED[name])
        # Here the driver looks at the log, and only so many messages come in five seconds.
        time.sleep(0.6)
        call, error, reason = self.load(data)
        unknown = name in ON_DEVICE and name not in KNOWN_OF_DEVICE
        told = check_verdict(data, EXPECTED[name] if unknown else expected, "--device", self.bdf)
        assert error == expected[1], (call, error, reason)
        if not unknown:
            assert call == told.get("call"), (call, error, reason)
        # The core has no words for too few or too many bytes.
        by_driver = expected[0] == REFUSED and error != "ENOSPC"
        assert reason == (expected[2] if by_driver else None), (call, error, reason)


def main():
    streams = all_streams(lambda data: data[:RECORD])
    assert streams.keys() == EXPECTED.keys(), streams.keys() ^ EXPECTED.keys()
    tests = [(name, lambda name=name: check_verdict(streams[name], EXPECTED[name]))
             for name in streams]
    tests += [(test.__name__.removeprefix("test_"), test)
              for test in (test_decoding, test_match_part_is_decoded, test_no_file,
                           test_wrong_letters, test_output_full)]
    if not ARGS.bdf:
        return tap(tests)

    target = Target(ARGS.bdf, ARGS.mode)
    fitting = all_streams(target.fit)
    tests += [(f"{name}, loaded", lambda name=name: target.test(name, fitting[name]))
              for name in fitting]
    status = tap(tests)
    target.ctl.close()
    return status


if __name__ == "__main__":
    PARSER = arguments(__doc__, nargs="?")
    PARSER.add_argument("--vfioctl", default="vfioctl")
    ARGS = PARSER.parse_args()
    sys.exit(main())
