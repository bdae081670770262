#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""When hisi_vfio_pci offers migration, and what there is when it does not.

    hisi_acc_offer_test.py PF

PF is the address of a HiSilicon accelerator, which nobody may be using: it is taken from its
driver and given back. The case with VFs in the group of their PF plugs a second accelerator into
the emulated server and needs its QMP ($LAB_QMP), a free root port without ACS, and its id in
$LAB_PORT_WITHOUT_ACS. Output is TAP.
"""

import array
import errno
import fcntl
import glob
import mmap
import os
import re
import struct
import subprocess
import sys
import uuid

from hisi_ctl import (DRIVER, PCI, QMP, bind, create_vfs, sysfs_read, sysfs_write, tap,
                      wait_for)

# include/uapi/linux/vfio.h
SET_IOMMU, SET_CONTAINER, GET_DEVICE_FD = 0x3b66, 0x3b68, 0x3b6a
GET_REGION_INFO, DEVICE_IOEVENTFD, DEVICE_FEATURE = 0x3b6c, 0x3b74, 0x3b75
TYPE1V2_IOMMU = 3
FEATURE_GET, FEATURE_SET = 1 << 16, 1 << 17
IOEVENTFD_32 = 1 << 2
FEATURE_PCI_VF_TOKEN, FEATURE_MIGRATION = 0, 1
CONFIG_REGION = 7


def driver_of(bdf):
    return os.path.basename(os.readlink(f"{PCI}{bdf}/driver"))


def what_driver_said(bdf):
    """The message of the driver's last probe of a VF."""
    log = subprocess.run(["dmesg"], check=True, capture_output=True, text=True).stdout
    said = re.findall(rf"{DRIVER} {re.escape(bdf)}: (.*migrat.*)", log)
    return said[-1] if said else None


class Device:
    """A device opened by its group, in a type1 container of its own."""

    def __init__(self, bdf, token=None):
        group = os.path.basename(os.readlink(f"{PCI}{bdf}/iommu_group"))
        self.container = os.open("/dev/vfio/vfio", os.O_RDWR)
        self.group = os.open(f"/dev/vfio/{group}", os.O_RDWR)
        fcntl.ioctl(self.group, SET_CONTAINER, struct.pack("i", self.container))
        fcntl.ioctl(self.container, SET_IOMMU, TYPE1V2_IOMMU)
        name = f"{bdf} vf_token={token}" if token else bdf
        # A mutable argument makes ioctl() return the result, not the argument.
        self.fd = fcntl.ioctl(self.group, GET_DEVICE_FD, bytearray(name.encode() + b"\0"))

    def feature(self, flags, data):
        buffer = array.array("B", struct.pack("II", 8 + len(data), flags) + data)
        fcntl.ioctl(self.fd, DEVICE_FEATURE, buffer)
        return buffer.tobytes()[8:]

    def region(self, index):
        """Size and offset of a region."""
        info = array.array("B", struct.pack("IIIIQQ", 32, 0, index, 0, 0, 0))
        fcntl.ioctl(self.fd, GET_REGION_INFO, info)
        return struct.unpack("IIIIQQ", info.tobytes())[4:]

    def close(self):
        for fd in (self.fd, self.group, self.container):
            os.close(fd)


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
    device = Device(vf)
    try:
        flags, = struct.unpack("Q", device.feature(FEATURE_GET | FEATURE_MIGRATION, bytes(8)))
        assert flags & 1, flags
    finally:
        device.close()


def test_controls_out_of_reach():
    """No path of the user leads to migration controls in the VF's own BAR."""
    vf, = create_vfs(PF, 1)
    bind(vf, DRIVER)
    bar = os.stat(f"{PCI}{vf}/resource2").st_size
    hidden = bar // 2 if "controls in the VF's own BAR" in what_driver_said(vf) else 0
    device = Device(vf)
    try:
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
    finally:
        device.close()


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
        owner = Device(PF)
        owner.feature(FEATURE_SET | FEATURE_PCI_VF_TOKEN, token.bytes)
        device = Device(vf, token)
        try:
            try:
                device.feature(FEATURE_GET | FEATURE_MIGRATION, bytes(8))
                raise AssertionError("migration is offered")
            except OSError as error:
                assert error.errno == errno.ENOTTY, error
            # Nothing is hidden of a VF without migration, and it works: its ids can be read.
            size, _ = device.region(2)
            assert size == os.stat(f"{PCI}{vf}/resource2").st_size, size
            _, offset = device.region(CONFIG_REGION)
            ids = struct.unpack("<HH", os.pread(device.fd, 4, offset))
            assert ids == (0x19e5, int(sysfs_read(f"{PCI}{vf}/device"), 16)), ids
        finally:
            device.close()
            owner.close()
    finally:
        sysfs_write(f"{PCI}{PF}/sriov_numvfs", "0")
        bind(PF, "")
        assert driver_of(PF) == own, driver_of(PF)


def test_group_of_pf():
    """Migration is not offered where the IOMMU cannot tell VF and PF apart."""
    before = set(os.listdir(PCI))

    def new_pf():
        pfs = [bdf for bdf in set(os.listdir(PCI)) - before
               if sysfs_read(f"{PCI}{bdf}/device") == "0xa250"]
        return pfs[0] if pfs and os.path.exists(f"{PCI}{pfs[0]}/driver") else None

    with QMP(os.environ["LAB_QMP"]) as qmp:
        qmp.cmd("device_add", driver="hisi-zip", id="zip1", bus=os.environ["LAB_PORT_WITHOUT_ACS"],
                hw=os.environ["LAB_HW"])
        wait_for("the second accelerator", new_pf)
        pf = new_pf()
        vf, = create_vfs(pf, 1)
        bind(vf, DRIVER)
        said = what_driver_said(vf)
        groups = {os.readlink(f"{PCI}{bdf}/iommu_group") for bdf in (pf, vf)}
        sysfs_write(f"{PCI}{pf}/sriov_numvfs", "0")
        qmp.cmd("device_del", id="zip1")
        wait_for("the end of the second accelerator", lambda: not glob.glob(f"{PCI}{pf}"))
    assert len(groups) == 1, groups
    assert said == "passed through without migration: it is in the IOMMU group of its PF", said


def main():
    tests = [test_modules, test_offered, test_controls_out_of_reach, test_pf_of_another_driver]
    if "LAB_PORT_WITHOUT_ACS" in os.environ:
        tests.append(test_group_of_pf)
    return tap([(test.__name__.removeprefix("test_"), test) for test in tests])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    PF = sys.argv[1]
    sys.exit(main())
