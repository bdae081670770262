#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The VF token: what the user of a PF under vfio-pci and those of its VFs have to agree upon.

    vfio_token_test.py [-m group|cdev] [-d DRIVER]... [--fail-nth] PF

PF supports SR-IOV, has its VFs in groups of their own, and nobody may be using it: it is taken from
its driver and given back. The VFs are tried with each DRIVER (hisi_vfio_pci and vfio-pci), and by
each path if none is named by -m or $VFIO_TEST_MODE. `vfioctl doctor` has to foretell every answer.
--fail-nth: only what becomes of an open that runs out of memory; this takes a kernel with fault
injection. Output is TAP.
"""

import ctypes
import os
import sys
import uuid

from hisi_ctl import PCI, bind, create_vfs, sysfs_write, tap, unbind
from vfio_open import (BIND_FLAG_TOKEN, DENIED, INVALID, OPENS, PATHS, VFIO_PF_WARNINGS, Cdev,
                       Group, Refused, Scene, ask_doctor, cases, codes, group_of,
                       scene_arguments, try_open)

TOKEN, OTHER = uuid.uuid4(), uuid.uuid4()
# No open has as many allocations.
MAX_NTH = 4000


def refused(error, call, *args):
    """The call fails like that."""
    try:
        call(*args)
    except Refused as answer:
        assert answer.answer[1] == error, f"{args}: {answer}"
        return
    raise AssertionError(f"{args}: not refused")


class FailNth:
    """Makes the nth allocation of this thread's system calls fail."""

    DEBUGFS = "/sys/kernel/debug/"
    # Allocations that may sleep, too, and without a word in the log
    SETTINGS = {"failslab/ignore-gfp-wait": "N", "fail_page_alloc/ignore-gfp-wait": "N",
                "fail_page_alloc/min-order": "0", "failslab/verbose": "0",
                "fail_page_alloc/verbose": "0", "fail_usercopy/verbose": "0"}

    def __init__(self):
        for name, value in self.SETTINGS.items():
            sysfs_write(self.DEBUGFS + name, value)
        self.fd = os.open("/proc/thread-self/fail-nth", os.O_RDWR)

    def set(self, nth):
        # What is left of an earlier one may hit this very call, and is used up by that.
        for _ in range(2):
            try:
                os.pwrite(self.fd, b"%d" % nth, 0)
                return
            except OSError:
                pass

    def call(self, nth, function, *args):
        """What the call returned, or its error; and whether there was an nth allocation"""
        self.set(nth)
        try:
            result = function(*args)
        except OSError as error:
            result = error
        try:
            injected = int(os.pread(self.fd, 16, 0)) == 0
        except OSError:
            injected = True
        self.set(0)
        return result, injected


class Token(Scene):
    """A PF under vfio-pci, and two of its VFs"""

    WARNINGS = VFIO_PF_WARNINGS

    def __init__(self, driver, paths, pf):
        super().__init__(pf, driver, paths)
        self.pf = pf

    def prepare(self):
        sysfs_write("/sys/module/vfio_pci/parameters/enable_sriov", "Y")
        self.give_pf("vfio-pci")

    def give_pf(self, driver):
        sysfs_write(f"{PCI}{self.pf}/sriov_numvfs", "0")
        bind(self.pf, driver)
        self.vf, self.second = create_vfs(self.pf, 2)
        for vf in (self.vf, self.second):
            bind(vf, self.driver)
            assert group_of(vf) != group_of(self.pf), f"{vf} and {self.pf} are in one group"

    def restore(self):
        self.open(self.pf)
        self.give_pf(self.own)
        for vf in (self.vf, self.second):
            self.open(vf)

    def none_wrong_right(self):
        # Nobody knows the first one.
        self.expect(self.vf, DENIED, because={"code": "token-missing", "culprit": self.pf})
        self.expect(self.vf, DENIED, TOKEN)
        for path in self.paths:
            with PATHS[path](self.pf) as pf:
                pf.set_token(TOKEN)
                self.expect(self.vf, DENIED)
                self.expect(self.vf, DENIED, OTHER)
                self.expect(self.vf, OPENS, TOKEN)

    def set_by_opening(self):
        """While no VF is in use, a token that the PF is opened with is the new one."""
        for token in (TOKEN, OTHER):
            self.expect(self.pf, OPENS, token)
            self.expect(self.vf, OPENS, token)
        self.expect(self.vf, DENIED, TOKEN)

    def superfluous(self):
        """Where the host has the PF there is none."""
        self.give_pf(self.own)
        self.expect(self.vf, INVALID, TOKEN, because={"code": "token-superfluous"})
        self.expect(self.vf, OPENS)
        self.give_pf("vfio-pci")

    def malformed(self):
        """What is not said as it should be is refused; so the next one is taken who does."""
        self.expect(self.pf, OPENS, TOKEN)
        text = str(TOKEN)
        for token in (text[:-1], f"{text[:-1]}g", text.replace("-", ""), f"{text}0"):
            assert ask_doctor(self.vf, token).returncode == 2, token
        if "group" in self.paths:
            with Group(self.vf) as group:
                group.own()
                token = f"vf_token={text}"
                for options in (token[:-1], f"{token[:-1]}g", token.replace("-", ""), f"{token}0",
                                f"{token} {token}", f"{token} {token[:-1]}", f"{token} vf_token=",
                                "vf_token=", f"{token} option=1", f"option {token}", f"\t{token}",
                                token.upper(), text):
                    refused("EINVAL", group.device, f"{self.vf} {options}")
                for name in ("", self.vf[:-1], f"{self.vf}0", f"{self.vf},{token}", self.pf, token):
                    refused("ENODEV", group.device, name)
                os.close(group.device(f"{self.vf}  {token}  "))
        if "cdev" in self.paths:
            with Cdev(self.vf) as cdev:
                iommufd = cdev.keep(os.open("/dev/iommu", os.O_RDWR))
                token = ctypes.create_string_buffer(TOKEN.bytes, 16)
                address = ctypes.addressof(token)
                refused("EFAULT", cdev.bind, iommufd, BIND_FLAG_TOKEN, 0)
                refused("EINVAL", cdev.bind, iommufd, BIND_FLAG_TOKEN | 2, address)
                # Only the flag makes it one.
                refused("EACCES", cdev.bind, iommufd, 0, address)
                cdev.bind(iommufd, BIND_FLAG_TOKEN, address)

    def pf_replaced(self):
        """While a VF is in use, who takes over the PF has to know the token."""
        for path in self.paths:
            with PATHS[path](self.pf) as pf:
                pf.set_token(TOKEN)
                vf = PATHS[path](self.vf, TOKEN)
            with vf:
                self.expect(self.pf, DENIED, because={"code": "token-missing", "culprit": self.vf})
                self.expect(self.pf, DENIED, OTHER)
                self.expect(self.pf, OPENS, TOKEN)
            self.expect(self.pf, OPENS)

    def unbound(self):
        """Who wants to open what has no driver of VFIO yet is told what it takes afterwards."""
        unbind(self.vf)
        found = codes(self.vf, TOKEN)
        assert found >= {"not-bound", "token-unverified"}, found
        assert "token-superfluous" not in found, found
        found = codes(self.vf)
        assert found >= {"not-bound", "token-missing"}, found
        # Its VFs would go with it, without a lock that the kernel's debugging wants for that.
        sysfs_write(f"{PCI}{self.pf}/sriov_numvfs", "0")
        unbind(self.pf)
        found = codes(self.pf, TOKEN)
        assert "not-bound" in found and "token-superfluous" not in found, found
        self.give_pf("vfio-pci")

    def opened_only(self):
        """A VF whose cdev is open and not bound is not in use."""
        if "cdev" in self.paths:
            with Cdev(self.vf):
                self.expect(self.pf, OPENS)

    def changed(self):
        """A new token is for those who come now; who is there stays."""
        for path in self.paths:
            with PATHS[path](self.pf) as pf:
                pf.set_token(TOKEN)
                with PATHS[path](self.vf, TOKEN) as vf:
                    pf.set_token(OTHER)
                    vf.region(0)
                    self.expect(self.second, DENIED, TOKEN)
                    self.expect(self.second, OPENS, OTHER)
                self.expect(self.vf, DENIED, TOKEN)
                self.expect(self.vf, OPENS, OTHER)

    def unused(self):
        """Nobody uses a VF: the PF opens without the token, and takes another one."""
        self.expect(self.pf, OPENS)
        token = uuid.uuid4()
        self.expect(self.pf, OPENS, token)
        self.expect(self.vf, OPENS, token)

    def failed_opens(self):
        """Who was refused does not count as a user."""
        for path in self.paths:
            with PATHS[path](self.pf, TOKEN):
                for _ in range(10):
                    assert try_open(path, self.vf, OTHER) == DENIED[path]
                    assert try_open(path, self.vf, TOKEN) is None
            self.unused()

    TESTS = (none_wrong_right, set_by_opening, superfluous, malformed, pf_replaced, unbound,
             opened_only, changed, failed_opens)


class TokenFailNth(Token):
    # The kernel cannot do without the memory for that.
    WARNINGS = f"{Token.WARNINGS}|can't reserve"

    def out_of_memory(self):
        """Whose open failed half-way does not count as a user."""
        faults = FailNth()
        token = ctypes.create_string_buffer(TOKEN.bytes, 16)
        self.expect(self.pf, OPENS, TOKEN)
        for path in self.paths:
            injected, nth = True, 0
            while injected:
                nth += 1
                assert nth < MAX_NTH, nth
                if path == "group":
                    with Group(self.vf) as group:
                        group.own()
                        result, injected = faults.call(nth, group.device,
                                                       f"{self.vf} vf_token={TOKEN}")
                        if not isinstance(result, OSError):
                            os.close(result)
                else:
                    with Cdev(self.vf) as cdev:
                        iommufd = cdev.keep(os.open("/dev/iommu", os.O_RDWR))
                        result, injected = faults.call(nth, cdev.bind, iommufd, BIND_FLAG_TOKEN,
                                                       ctypes.addressof(token))
                assert injected or not isinstance(result, OSError), result
                with PATHS[path](self.pf):
                    pass
            print(f"# {path}: {nth - 1} injected")
            assert nth > 1
        self.unused()

    TESTS = (out_of_memory,)


def main():
    parser = scene_arguments(__doc__)
    parser.add_argument("--fail-nth", action="store_true")
    parser.add_argument("pf")
    args = parser.parse_args()
    return tap(cases(args, TokenFailNth if args.fail_nth else Token, args.pf))


if __name__ == "__main__":
    sys.exit(main())
