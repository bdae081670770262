#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Streams, good ones and some with one fault each, that hisi_wire_fuzz begins with and vfioctl is
tested with. Writes them into a directory.

    hisi_acc_corpus.py DIR

Layout: Documentation/userspace-api/hisi-acc-migration.rst. An input that the fuzzer has found an
error with becomes one more line here.
"""

import os
import struct
import sys

V1, V2 = 0xCDCDCDCDFEEDAACC, 0xAACCFEEDDECADEDE
RING, TABLE = 0x1234_5678_9000, 0xffff_8765_4320
MATCH, RECORD = 40, 176

# Name, format, value in the record of a VF with queues
FIELDS = [
    ("magic", "Q", V2), ("qp_num", "I", 16), ("dev_id", "I", 0xa251), ("isolation", "I", 1),
    ("qp_base", "I", 256), ("vf_state", "I", 0), ("major", "H", 1), ("minor", "H", 1),
    ("reserved0", "Q", 0),
    ("aeq_mask", "I", 0), ("eq_mask", "I", 0), ("ifc_source", "I", 0), ("ifc_mask", "I", 1),
    ("ifc_set", "I", 0), ("page_size", "I", 0),
    ("eqc_head", "I", 0x50003), ("eqc_ring", "Q", RING), ("eqc_rest", "16s", b"\1" * 16),
    ("aeqc_head", "I", 0x20002), ("aeqc_ring", "Q", RING + 1), ("aeqc_rest", "16s", b"\2" * 16),
    ("reserved1", "20s", bytes(20)), ("pad0", "I", 0),
    ("eq_addr", "Q", RING), ("aeq_addr", "Q", RING + 1), ("sqc_addr", "Q", TABLE),
    ("cqc_addr", "Q", TABLE + 32),
    # Not of the record: what the target has otherwise
    ("other_dev_id", "I", 0), ("other_qp_num", "I", 0), ("other_isolation", "I", 0),
    ("other_qp_base", "I", 0),
]
BLANK = {"ifc_mask": 0, "eqc_head": 0, "eqc_ring": 0, "eqc_rest": b"", "aeqc_head": 0,
         "aeqc_ring": 0, "aeqc_rest": b"", "eq_addr": 0, "aeq_addr": 0, "sqc_addr": 0,
         "cqc_addr": 0}


def stream(**changes):
    """A stream for a target with the same properties, as long as it needs to be."""
    values = {name: changes.pop(name, value) for name, _, value in FIELDS}
    assert not changes, f"no such field: {changes}"
    data = struct.pack("<" + "".join(form for _, form, _ in FIELDS), *values.values())
    return data if any(data[RECORD:]) else data[:RECORD]


CORPUS = {
    "ready": stream(),
    "ready-minor-0": stream(minor=0),
    "ready-v1": stream(magic=V1, major=0, minor=0, eq_addr=1, aeq_addr=2),
    "not-ready": stream(vf_state=1, **BLANK),
    "not-ready-after-precopy": stream(**BLANK),
    "not-ready-v1": stream(magic=V1, major=0, minor=0, vf_state=1, **BLANK),
    "match": stream()[:MATCH],
    "match-minor-0": stream(minor=0, vf_state=1)[:MATCH],
    "cut-short": stream()[:MATCH - 1],
    "cut-short-in-state": stream()[:RECORD - 1],
    "newer-minor": stream(minor=0xffff),
    "other-qp_base": stream(other_qp_base=16),

    # Each wrong in one thing
    "magic": stream(magic=V2 ^ 1),
    "major": stream(major=2),
    "reserved0": stream(reserved0=1 << 63),
    "vf_state": stream(vf_state=2),
    "dev_id": stream(other_dev_id=7),
    "qp_num": stream(other_qp_num=1),
    "isolation": stream(other_isolation=1),
    "reserved1": stream(reserved1=bytes(19) + b"\1"),
    "pad0": stream(pad0=1),
    "eq_addr": stream(eq_addr=RING + (1 << 32)),
    "aeq_addr": stream(aeq_addr=RING),
    "misaligned": stream(cqc_addr=TABLE + 16),
    "not-ready-with-queues": stream(vf_state=1),
}

# Some addresses of four, the rings' in both places
for name, there in [("eqc", {"eqc_ring": RING, "eq_addr": RING}),
                    ("aeqc", {"aeqc_ring": RING, "aeq_addr": RING}),
                    ("sqc", {"sqc_addr": TABLE}), ("cqc", {"cqc_addr": TABLE})]:
    CORPUS[f"only-{name}"] = stream(**{**BLANK, **there})
    CORPUS[f"no-{name}"] = stream(**dict.fromkeys(there, 0))

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    os.makedirs(sys.argv[1], exist_ok=True)
    for name, data in CORPUS.items():
        with open(os.path.join(sys.argv[1], name), "wb") as file:
            file.write(data)
