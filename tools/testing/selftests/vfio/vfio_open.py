# SPDX-License-Identifier: GPL-2.0-only
"""Opens VFIO devices as a VMM does, by the group or by the cdev, says which call is refused, and
holds `vfioctl doctor` to that."""

import argparse
import array
import contextlib
import ctypes
import errno
import fcntl
import json
import os
import re
import struct
import subprocess

from hisi_ctl import DRIVER, PCI, bind, driver_of, pf_of, sysfs_write, unbind
# Where it is: hisi_ctl has seen to that.
from kmsg import KernelLog

# include/uapi/linux/vfio.h, iommufd.h
SET_IOMMU, GROUP_GET_STATUS, SET_CONTAINER, GET_DEVICE_FD = 0x3b66, 0x3b67, 0x3b68, 0x3b6a
GET_REGION_INFO, DEVICE_FEATURE = 0x3b6c, 0x3b75
BIND_IOMMUFD, ATTACH_IOMMUFD_PT, IOAS_ALLOC = 0x3b76, 0x3b77, 0x3b81
TYPE1V2_IOMMU = 3
GROUP_VIABLE = 1 << 0
BIND_FLAG_TOKEN = 1 << 0
FEATURE_GET, FEATURE_SET = 1 << 16, 1 << 17
FEATURE_PCI_VF_TOKEN, FEATURE_MIGRATION, FEATURE_MIG_DEVICE_STATE = 0, 1, 2
STATE_STOP, STATE_RUNNING, STATE_STOP_COPY, STATE_RESUMING = 1, 2, 3, 4


class Refused(OSError):
    """The first call that fails of those that open a device."""

    def __init__(self, call, error):
        super().__init__(error.errno, f"{call}: {error.strerror}")
        self.answer = call, errno.errorcode[error.errno]


def attempt(call, function, *args):
    try:
        return function(*args)
    except OSError as error:
        raise Refused(call, error) from None


def is_vf(bdf):
    return os.path.exists(f"{PCI}{bdf}/physfn")


def try_bind(bdf, driver):
    """The errno of binding a function that has no driver, or None"""
    sysfs_write(f"{PCI}{bdf}/driver_override", driver)
    try:
        sysfs_write(f"/sys/bus/pci/drivers/{driver}/bind", bdf)
        return None
    except OSError as error:
        return errno.errorcode[error.errno]
    finally:
        sysfs_write(f"{PCI}{bdf}/driver_override", "\n")


def group_of(bdf):
    return os.path.basename(os.readlink(f"{PCI}{bdf}/iommu_group"))


class Fds(contextlib.ExitStack):
    """Closes what it opened, in reverse."""

    def keep(self, fd):
        self.callback(os.close, fd)
        return fd


class Group(Fds):
    """The group of a device."""

    def __init__(self, bdf):
        super().__init__()
        self.fd = self.keep(attempt("open", lambda: os.open(f"/dev/vfio/{group_of(bdf)}",
                                                            os.O_RDWR)))

    def viable(self):
        status = array.array("I", (8, 0))
        attempt("VFIO_GROUP_GET_STATUS", fcntl.ioctl, self.fd, GROUP_GET_STATUS, status)
        return bool(status[1] & GROUP_VIABLE)

    def own(self):
        """All of it, in a type1 container"""
        self.viable()
        container = self.keep(os.open("/dev/vfio/vfio", os.O_RDWR))
        attempt("VFIO_GROUP_SET_CONTAINER", fcntl.ioctl, self.fd, SET_CONTAINER,
                struct.pack("i", container))
        attempt("VFIO_SET_IOMMU", fcntl.ioctl, container, SET_IOMMU, TYPE1V2_IOMMU)

    def device(self, name):
        # A mutable argument makes ioctl() return the result, not the argument.
        return attempt("VFIO_GROUP_GET_DEVICE_FD", fcntl.ioctl, self.fd, GET_DEVICE_FD,
                       bytearray(name.encode() + b"\0"))


class Cdev(Fds):
    """The character device of a device."""

    def __init__(self, bdf):
        super().__init__()

        def node():
            # There is none for a moment when the device is taken away.
            for name in os.listdir(f"{PCI}{bdf}/vfio-dev"):
                return os.open(f"/dev/vfio/devices/{name}", os.O_RDWR)
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        self.fd = self.keep(attempt("open", node))

    def bind(self, iommufd, flags=0, token=0):
        """The token by its address"""
        # Kernels that have none know what is before it.
        bind = struct.pack("IIiIQ", 24 if flags else 16, flags, iommufd, 0, token)
        attempt("VFIO_DEVICE_BIND_IOMMUFD", fcntl.ioctl, self.fd, BIND_IOMMUFD,
                array.array("B", bind))

    def attach(self, ioas):
        attempt("VFIO_DEVICE_ATTACH_IOMMUFD_PT", fcntl.ioctl, self.fd, ATTACH_IOMMUFD_PT,
                array.array("I", (12, 0, ioas)))


class Device(Fds):
    """An open device. One that is opened beside another has the same owner."""

    def __init__(self, bdf, token=None, beside=None):
        super().__init__()
        self.fd = None
        with contextlib.ExitStack() as failed:
            failed.push(self)
            self.open(bdf, token, beside)
            failed.pop_all()

    def feature(self, flags, data):
        buffer = array.array("B", struct.pack("II", 8 + len(data), flags) + data)
        fcntl.ioctl(self.fd, DEVICE_FEATURE, buffer)
        return buffer.tobytes()[8:]

    def set_token(self, token):
        self.feature(FEATURE_SET | FEATURE_PCI_VF_TOKEN, token.bytes)

    def migration(self):
        """The flags of what is offered, 0 for none."""
        try:
            return struct.unpack("Q", self.feature(FEATURE_GET | FEATURE_MIGRATION, bytes(8)))[0]
        except OSError as error:
            assert error.errno == errno.ENOTTY, error
            return 0

    def set_state(self, state):
        """A state of the migration; returns its data fd, or -1."""
        answer = self.feature(FEATURE_SET | FEATURE_MIG_DEVICE_STATE, struct.pack("Ii", state, -1))
        return struct.unpack("Ii", answer)[1]

    def migrate(self):
        """Saves the device, and loads it again."""
        with open(self.set_state(STATE_STOP_COPY), "rb", buffering=0) as file:
            data = file.read()
        self.set_state(STATE_STOP)
        with open(self.set_state(STATE_RESUMING), "wb", buffering=0) as file:
            assert file.write(data) == len(data)
        self.set_state(STATE_RUNNING)

    def region(self, index):
        """Size and offset of a region."""
        info = array.array("B", struct.pack("IIIIQQ", 32, 0, index, 0, 0, 0))
        fcntl.ioctl(self.fd, GET_REGION_INFO, info)
        return struct.unpack("IIIIQQ", info.tobytes())[4:]


class GroupDevice(Device):
    """By its group"""

    def open(self, bdf, token, beside):
        if beside:
            self.group = beside.group
        else:
            self.group = self.enter_context(Group(bdf))
            self.group.own()
        self.fd = self.keep(self.group.device(f"{bdf} vf_token={token}" if token else bdf))


class CdevDevice(Device):
    """By its cdev, with an address space in an iommufd"""

    def open(self, bdf, token, beside):
        cdev = self.enter_context(Cdev(bdf))
        self.fd = cdev.fd
        if beside:
            self.iommufd, self.ioas = beside.iommufd, beside.ioas
        else:
            self.iommufd = self.keep(os.open("/dev/iommu", os.O_RDWR))
            ioas = array.array("I", (12, 0, 0))
            fcntl.ioctl(self.iommufd, IOAS_ALLOC, ioas)
            self.ioas = ioas[2]
        if token:
            uuid = ctypes.create_string_buffer(token.bytes, 16)
            cdev.bind(self.iommufd, BIND_FLAG_TOKEN, ctypes.addressof(uuid))
        else:
            cdev.bind(self.iommufd)
        cdev.attach(self.ioas)


PATHS = {"group": GroupDevice, "cdev": CdevDevice}


def device_call(error):
    """The answers, by path, where the call fails that asks for the device itself"""
    return {"group": ("VFIO_GROUP_GET_DEVICE_FD", error),
            "cdev": ("VFIO_DEVICE_BIND_IOMMUFD", error)}


def try_open(path, bdf, token=None):
    """The answer of a path: None, or the call that fails and its errno"""
    try:
        with PATHS[path](bdf, token):
            return None
    except Refused as refused:
        return refused.answer


# The kernel wants the VFs of a PF under vfio-pci to be there, too; and one that nobody has is put
# to sleep, perhaps while a reset of the PF keeps it away.
VFIO_PF_WARNINGS = ("while PF bound to driver vfio-pci|"
                    "Unable to change power state from D0 to D3hot, device inaccessible")

# None is a device that opens.
OPENS = {"group": None, "cdev": None}
ABSENT = {"group": ("open", "ENOENT"), "cdev": ("open", "ENOENT")}
NOT_OWNER = device_call("EPERM") | {"group": ("VFIO_GROUP_SET_CONTAINER", "EPERM")}
DENIED, INVALID = device_call("EACCES"), device_call("EINVAL")
UNKNOWN = "unknown"


def ask_doctor(bdf, token=None, user=None):
    return subprocess.run(["vfioctl", "doctor", bdf, "--json"] +
                          (["--token", str(token)] if token else []), user=user,
                          check=False, capture_output=True, text=True)


def diagnosis(bdf, token=None, user=None):
    """What `vfioctl doctor` says (to this user), with the answers that it foretells by path"""
    said = ask_doctor(bdf, token, user)
    assert said.returncode in (0, 1), said
    answers = {True: lambda path: None, False: lambda path: (path["call"], path["error"]),
               None: lambda path: UNKNOWN}
    result = json.loads(said.stdout)
    result["paths"] = {path["path"]: answers[path["opens"]](path) for path in result["paths"]}
    return result


def codes(bdf, token=None):
    """Of what doctor finds"""
    return {finding["code"] for finding in diagnosis(bdf, token)["findings"]}


class Scene:
    """A device to be bound to a driver of VFIO, and what is around it."""

    # What the kernel warns of when this is tried
    WARNINGS = "^$"

    def __init__(self, device, driver, paths):
        self.device, self.driver, self.paths = device, driver, paths
        # A VF could be the host's as well.
        self.own = driver_of(pf_of(device) if is_vf(device) else device)

    def prepare(self):
        bind(self.device, self.driver)

    def restore(self):
        """Whatever there was: the device can be used, and can be given back."""
        bind(self.device, self.driver)
        self.open(self.device)
        unbind(self.device)
        assert try_bind(self.device, self.own) is None, self.own

    def open(self, bdf):
        """It opens by each path."""
        for path in self.paths:
            answer = try_open(path, bdf)
            assert answer is None, f"{bdf} by {path}: {answer}"

    def expect(self, bdf, answers, token=None, because=None):
        """A user who tries each path meets these answers. The doctor knew, and why."""
        doctor = diagnosis(bdf, token)
        assert not because or any(because.items() <= finding.items()
                                  for finding in doctor["findings"]), doctor
        foretold, migrates = doctor["paths"], doctor["migrates"]
        for path, device in PATHS.items():
            expected, answer = answers[path] if path in self.paths else ABSENT[path], None
            try:
                with device(bdf, token) as opened:
                    assert migrates is None or migrates == bool(opened.migration()), migrates
            except Refused as refused:
                answer = refused.answer
            assert answer == expected, f"{bdf} by {path}: {answer} instead of {expected}"
            if foretold[path] == UNKNOWN:
                # Whether a token is the right one, that is.
                assert token and answer in (None, DENIED[path]), f"{bdf} by {path}: {answer}"
            else:
                assert foretold[path] == answer, (
                    f"{bdf} by {path}: {answer}, but the doctor foretold {foretold[path]}")

    def run(self, test):
        log = KernelLog()
        self.prepare()
        try:
            test(self)
        except BaseException:
            with contextlib.suppress(AssertionError, OSError):
                self.restore()
            raise
        self.restore()
        faults = [line for line in log.faults() if not re.search(self.WARNINGS, line)]
        assert not faults, faults


def scene_arguments(doc):
    """A parser for the arguments that tests with scenes have"""
    parser = argparse.ArgumentParser(description=doc,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", dest="mode", choices=PATHS, default=os.environ.get("VFIO_TEST_MODE"))
    parser.add_argument("-d", dest="drivers", action="append", metavar="DRIVER")
    return parser


def cases(args, scene, *bdfs):
    """The tests of a scene with each driver"""
    def case(stage, test):
        return f"{stage.driver}.{test.__name__}", lambda: stage.run(test)

    stages = [scene(driver, [args.mode] if args.mode else list(PATHS), *bdfs)
              for driver in args.drivers or (DRIVER, "vfio-pci")]
    return [case(stage, test) for stage in stages for test in stage.TESTS]
