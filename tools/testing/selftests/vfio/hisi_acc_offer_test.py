#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""When hisi_vfio_pci offers migration, and what there is when it does not.

    hisi_acc_offer_test.py PF

PF is the address of a HiSilicon accelerator, which nobody may be using: it is taken from its
driver and given back. Its VFs have groups of their own; what there is when they do not:
vfio_group_test.py. Output is TAP.
"""

import errno
import fcntl
import mmap
import os
import re
import struct
import subprocess
import sys
import uuid
from contextlib import closing

from hisi_ctl import (DRIVER, PCI, Models, bind, create_vfs, driver_of, function_of, sysfs_read,
                      sysfs_write, tap)
from vfio_open import GroupDevice

# include/uapi/linux/vfio.h
DEVICE_IOEVENTFD = 0x3b74
IOEVENTFD_32 = 1 << 2
CONFIG_REGION = 7
# The mailbox command by which a VF learns of its queues
SQC_VFT = 6


def what_driver_said(bdf):
    """The message of the driver's last probe of a VF."""
    log = subprocess.run(["dmesg"], check=True, capture_output=True, text=True).stdout
    said = re.findall(rf"{DRIVER} {re.escape(bdf)}: (.*migrat.*)", log)
    return said[-1] if said else None


def test_modules():
    """Only the driver of the VF's own accelerator has to be there; libvirt finds the module."""
    def modinfo(field):
        return subprocess.run(["modinfo", "-F", field, DRIVER], check=True, capture_output=True,
                              text=True).stdout

    depends = modinfo("depends")
    assert "hisi_qm" in depends and "vfio-pci-mig" in depends.replace("_", "-"), depends
    for other in ("zip", "sec", "hpre"):
        assert other not in depends, depends
    for device in ("A251", "A256", "A259"):
        assert f"vfio_pci:v000019E5d0000{device}" in modinfo("alias"), device


def test_offered():
    """The counter-example of the tests below."""
    vf, = create_vfs(PF, 1)
    bind(vf, DRIVER)
    said = what_driver_said(vf)
    assert re.match(r"can be migrated, \d+ queues, controls in ", said), said
    with GroupDevice(vf) as device:
        assert device.migration() & 1, device.migration()


def test_controls_out_of_reach():
    """No path of the user leads to migration controls in the VF's own BAR."""
    vf, = create_vfs(PF, 1)
    bind(vf, DRIVER)
    bar = os.stat(f"{PCI}{vf}/resource2").st_size
    hidden = bar // 2 if "controls in the VF's own BAR" in what_driver_said(vf) else 0
    with GroupDevice(vf) as device:
        size, offset = device.region(2)
        assert size == bar - hidden, size
        ioeventfd = struct.pack("IIQQiI", 32, IOEVENTFD_32, offset, 0, os.eventfd(0), 0)
        paths = {"ioeventfd": lambda: fcntl.ioctl(device.fd, DEVICE_IOEVENTFD, ioeventfd)}
        if hidden:
            paths |= {
                "read": lambda: os.pread(device.fd, 4, offset + size),
                "write": lambda: os.pwrite(device.fd, bytes(4), offset + size),
                "mmap": lambda: mmap.mmap(device.fd, hidden, offset=offset + size),
                "mmap across": lambda: mmap.mmap(device.fd, bar, offset=offset),
            }
        for name, access in paths.items():
            try:
                access()
                raise AssertionError(f"{name} leads there")
            except OSError as error:
                assert error.errno == errno.EINVAL, (name, error)
        # An access that begins before the end stops there.
        assert len(os.pread(device.fd, 8, offset + size - 4)) == 4
        mmap.mmap(device.fd, size, offset=offset).close()


def test_pf_of_another_driver():
    """A VF whose PF belongs to a user is passed through, under the rules of the VF token."""
    sysfs_write(f"{PCI}{PF}/sriov_numvfs", "0")
    sysfs_write("/sys/module/vfio_pci/parameters/enable_sriov", "Y")
    own = driver_of(PF)
    bind(PF, "vfio-pci")
    try:
        vf, = create_vfs(PF, 1)
        bind(vf, DRIVER)
        said = what_driver_said(vf)
        assert said == ("passed through without migration: "
                        "its PF is not bound to the HiSilicon driver of its kind"), said

        token = uuid.uuid4()
        with GroupDevice(PF) as owner:
            owner.set_token(token)
            device = owner.enter_context(GroupDevice(vf, token))
            assert not device.migration()
            # Nothing is hidden of a VF without migration, and it works: its ids can be read.
            size, _ = device.region(2)
            assert size == os.stat(f"{PCI}{vf}/resource2").st_size, size
            _, offset = device.region(CONFIG_REGION)
            ids = struct.unpack("<HH", os.pread(device.fd, 4, offset))
            assert ids == (0x19e5, int(sysfs_read(f"{PCI}{vf}/device"), 16)), ids
    finally:
        sysfs_write(f"{PCI}{PF}/sriov_numvfs", "0")
        bind(PF, "")
        assert driver_of(PF) == own, driver_of(PF)


def test_probe_fails():
    """What goes wrong at probe leaves a VF that is passed through, with nothing hidden of it."""
    vf, = create_vfs(PF, 1)
    kind, function = function_of(vf)
    with closing(Models()) as models:
        models.set(kind, "fault", f"mailbox-fail:{function}:{SQC_VFT}")
        try:
            bind(vf, DRIVER)
        finally:
            models.set(kind, "fault", "none")
    said = what_driver_said(vf)
    assert said == ("passed through without migration: "
                    "its entry of the queue table cannot be read"), said
    assert sysfs_read(f"{PCI}{vf}/vfio_pci_mig/supported") == "0"
    assert sysfs_read(f"{PCI}{vf}/vfio_pci_mig/reason") == "queue-table"
    assert sysfs_read(f"{PCI}{vf}/vfio_pci_mig/state") == "none"
    with GroupDevice(vf) as device:
        assert not device.migration()
        size, offset = device.region(2)
        bar = os.stat(f"{PCI}{vf}/resource2").st_size
        assert size == bar, size
        mmap.mmap(device.fd, size, offset=offset).close()
    # Bound again without the fault it can be migrated.
    bind(vf, DRIVER)
    assert sysfs_read(f"{PCI}{vf}/vfio_pci_mig/supported") == "1"


def main():
    tests = [test_modules, test_offered, test_controls_out_of_reach, test_pf_of_another_driver,
             test_probe_fails]
    return tap([(test.__name__.removeprefix("test_"), test) for test in tests])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    PF = sys.argv[1]
    sys.exit(main())
