#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Who may have the devices of an IOMMU group: a user, or drivers of the host.

    vfio_group_test.py [-m group|cdev] [-d DRIVER]... SCENE BDF [BDF]

    shared DEVICE SIBLING   two functions in one group; SIBLING may be a bridge that has a driver
    port DEVICE PORT        a device in the group of a port that the port driver has
    apart DEVICE OTHER      two functions in groups of their own
    pf PF                   a PF whose VFs are in its group
    contested VF OTHER      two VFs of a PF, in groups of their own
    groupless DEVICE        a device that has no group
    unsafe DEVICE           a device whose interrupts are not isolated

The devices are tried with each DRIVER (hisi_vfio_pci and vfio-pci), and by each path if none is
named by -m or $VFIO_TEST_MODE. `vfioctl doctor` has to foretell every answer. Whatever happens in a
case, afterwards the devices can be used, and work with the drivers that they had. Output is TAP.
"""

import collections
import contextlib
import json
import os
import random
import subprocess
import sys
import time
import uuid

from hisi_ctl import (DRIVER, NOBODY, PCI, WATCHDOG, Storm, bind, create_vfs, driver_of,
                      sysfs_read, sysfs_write, tap, unbind)
from vfio_open import (ABSENT, NOT_OWNER, OPENS, PATHS, VFIO_PF_WARNINGS, Cdev, Group, Refused,
                       Scene, cases, codes, device_call, diagnosis, group_of, scene_arguments,
                       try_bind, try_open)

# Of a storm: how often each outcome has to be had
TIMES = 3


def check_groups(bdf, other, number):
    groups = {group_of(bdf), group_of(other)}
    assert len(groups) == number, f"{bdf} and {other} are in {groups}"


def outlast(storms, act, wanted):
    """Acts until acts and storms had each of these outcomes, which are all that they may have."""
    mine, end = collections.Counter(), time.monotonic() + WATCHDOG
    counters = [mine] + [storm.outcomes for storm in storms]
    with contextlib.ExitStack() as stack:
        for storm in storms:
            stack.enter_context(storm)
        while any(got[outcome] < TIMES for want, got in zip(wanted, counters) for outcome in want):
            mine[act()] += 1
            assert time.monotonic() < end and all(storm.is_alive() for storm in storms), counters
    print("#", *(dict(counter) for counter in counters))
    assert [counter.keys() for counter in counters] == wanted, counters


class Shared(Scene):
    def __init__(self, driver, paths, device, sibling):
        super().__init__(device, driver, paths)
        self.sibling, self.host = sibling, driver_of(sibling)
        self.bridge = sysfs_read(f"{PCI}{sibling}/class").startswith("0x0604")
        assert self.host, f"{sibling} has no driver"
        check_groups(device, sibling, 1)

    def prepare(self):
        unbind(self.sibling)
        super().prepare()

    def restore(self):
        unbind(self.sibling)
        super().restore()
        assert try_bind(self.sibling, self.host) is None, self.host

    def host_driver(self):
        """Where a driver of the host does DMA nobody else may."""
        assert try_bind(self.sibling, self.host) is None
        self.expect(self.device, NOT_OWNER, because={"culprit": self.sibling, "driver": self.host})
        if "group" in self.paths:
            with Group(self.device) as group:
                assert not group.viable()
        # Why they share a group is in a part of the configuration that only root may read.
        for user, known in ((None, True), (NOBODY, False)):
            said, = (finding["message"] for finding in diagnosis(self.device, user=user)["findings"]
                     if finding["code"] == "not-isolated")
            assert ("only root may read" not in said) == known, said
            if not self.bridge:
                assert "conventional" not in said, said

    def harmless_drivers(self):
        """Drivers that do no DMA of the host's are not in the way, nor is none."""
        self.expect(self.device, OPENS)
        subprocess.run(["modprobe", "pci-stub"], check=True)
        # Those of VFIO take no bridges.
        for driver in ["pci-stub"] + ["vfio-pci", DRIVER] * (not self.bridge):
            bind(self.sibling, driver)
            self.expect(self.device, OPENS)

    def group_of_user(self):
        """A driver of the host does not get into the group of a user, until he has gone."""
        for path in self.paths:
            with PATHS[path](self.device) as device:
                assert try_bind(self.sibling, self.host) == "EBUSY"
                device.region(0)
            assert try_bind(self.sibling, self.host) is None
            unbind(self.sibling)

    def group_without_device(self):
        """A user's group is his while there is a device in it that is VFIO's."""
        if "group" not in self.paths or self.bridge:
            return
        for sibling, answer in ((True, "EBUSY"), (False, None)):
            if sibling:
                bind(self.sibling, self.driver)
            with Group(self.device) as group:
                group.own()
                unbind(self.device)
                assert try_bind(self.device, self.own) == answer
                if not sibling:
                    unbind(self.device)
                    bind(self.device, self.driver)
            unbind(self.sibling)
            bind(self.device, self.driver)

    def not_bound(self):
        """Others may have made the group one of VFIO's; the device is not."""
        unbind(self.device)
        self.expect(self.device, ABSENT)
        if not self.bridge:
            bind(self.sibling, self.driver)
            self.expect(self.device, ABSENT | {"group": ("VFIO_GROUP_GET_DEVICE_FD", "ENODEV")})

    def two_owners(self):
        """A group has one user, who has all of it."""
        others = [] if self.bridge else [self.sibling]
        for other in others:
            bind(other, self.driver)
        for path in self.paths:
            # A group that is open keeps users of cdevs out, and the other way round.
            busy = {"group": ("open", "EBUSY")}
            same, other_device = ("EBUSY", "EBUSY") if path == "group" else ("EINVAL", "EPERM")
            with PATHS[path](self.device) as device:
                me = {"pid": os.getpid()}
                self.expect(self.device, device_call(same) | busy, because=me)
                for other in others:
                    self.expect(other, device_call(other_device) | busy, because=me)
                    with PATHS[path](other, beside=device) as second:
                        second.region(0)

    def opened_only(self):
        """Who has opened a cdev, and has not bound it to an iommufd, has nothing yet."""
        if self.paths != list(PATHS):
            return
        others = [] if self.bridge else [self.sibling]
        for other in others:
            bind(other, self.driver)
        with contextlib.ExitStack() as stack:
            for bdf in [self.device] + others:
                stack.enter_context(Cdev(bdf))
                self.expect(self.device, OPENS)
            # Nor has he when another has it by its group.
            with PATHS["group"](self.device):
                self.expect(self.device, device_call("EBUSY") | {"group": ("open", "EBUSY")})
                found = codes(self.device)
                assert "group-in-use" in found, found
                assert not {"device-in-use", "sibling-in-use"} & found, found

    def storm(self):
        """The host and a user want the group at once: each gets it, or is told that he does not."""
        def host():
            answer = try_bind(self.sibling, self.host)
            unbind(self.sibling)
            return answer

        for path in self.paths:
            outlast([Storm(host)], lambda path=path: try_open(path, self.device),
                    [{None, NOT_OWNER[path]}, {None, "EBUSY"}])

    TESTS = (host_driver, harmless_drivers, group_of_user, group_without_device, not_bound,
             two_owners, opened_only, storm)


class Port(Scene):
    def __init__(self, driver, paths, device, port):
        super().__init__(device, driver, paths)
        assert driver_of(port) == "pcieport", driver_of(port)
        check_groups(device, port, 1)

    def port_driver(self):
        """The port driver does no DMA that would matter."""
        self.expect(self.device, OPENS)

    TESTS = (port_driver,)


class Apart(Scene):
    def __init__(self, driver, paths, device, other):
        super().__init__(device, driver, paths)
        self.other, self.host = other, driver_of(other)
        assert self.host, f"{other} has no driver"
        check_groups(device, other, 2)

    def restore(self):
        super().restore()
        unbind(self.other)
        assert try_bind(self.other, self.host) is None, self.host

    def host_driver(self):
        """What the host does with a device of another group does not matter, nor to the host."""
        self.expect(self.device, OPENS)
        for path in self.paths:
            with PATHS[path](self.device):
                unbind(self.other)
                assert try_bind(self.other, self.host) is None

    def two_owners(self):
        bind(self.other, self.driver)
        for path in self.paths:
            with PATHS[path](self.device):
                self.expect(self.other, OPENS)

    TESTS = (host_driver, two_owners)


class SharedWithPF(Scene):
    WARNINGS = VFIO_PF_WARNINGS

    def __init__(self, driver, paths, pf):
        super().__init__(pf, driver, paths)
        self.pf = pf

    def prepare(self):
        self.make_vf()

    def make_vf(self):
        self.device, = create_vfs(self.pf, 1)
        super().prepare()
        check_groups(self.device, self.pf, 1)

    def restore(self):
        sysfs_write(f"{PCI}{self.pf}/sriov_numvfs", "0")
        bind(self.pf, "vfio-pci")
        self.open(self.pf)
        unbind(self.pf)
        assert try_bind(self.pf, self.own) is None, self.own

    def host_driver(self):
        """A PF that the host drives has its VFs to itself; nor could they be migrated."""
        self.expect(self.device, NOT_OWNER, because={"culprit": self.pf, "driver": self.own})
        doctor = diagnosis(self.device)
        assert doctor["migrates"] is False
        if self.driver == DRIVER:
            reason = sysfs_read(f"{PCI}{self.device}/vfio_pci_mig/reason")
            assert reason == doctor["reason"] == "shared-group", (reason, doctor)
            assert {finding["message"] for finding in doctor["findings"]
                    if finding["code"] == "not-migratable"} == {
                        "it cannot be migrated: it is in the IOMMU group of its PF"}, doctor
            listed = subprocess.run(["vfioctl", "list", "--json"], check=True, capture_output=True)
            entry, = (entry for entry in json.loads(listed.stdout)
                      if entry["device"] == self.device)
            assert (entry["reason"], entry["state"]) == (reason, None), entry

    def one_owner(self):
        """A user may have both. They are not migrated."""
        sysfs_write(f"{PCI}{self.pf}/sriov_numvfs", "0")
        sysfs_write("/sys/module/vfio_pci/parameters/enable_sriov", "Y")
        bind(self.pf, "vfio-pci")
        self.make_vf()
        token = uuid.uuid4()
        for path in self.paths:
            busy = {"group": ("open", "EBUSY")}
            without, other = ("EBUSY", "EBUSY") if path == "group" else ("EACCES", "EPERM")
            with PATHS[path](self.pf) as pf:
                pf.set_token(token)
                self.expect(self.device, device_call(without) | busy)
                self.expect(self.device, device_call(other) | busy, token)
                with PATHS[path](self.device, token, beside=pf) as device:
                    device.region(0)
                    assert not device.migration()

    TESTS = (host_driver, one_owner)


class Contested(Scene):
    """The host, for the driver of the PF, and a user want a VF. Another VF comes and goes, too."""

    # Who unbinds a VF waits for its user to go.
    WARNINGS = "blocked until released by user"

    # What a user may be told while the VF is the host's, comes, or goes
    REFUSALS = {"open": {"ENOENT", "ENODEV", "ENXIO"},
                "VFIO_GROUP_GET_STATUS": {"ENODEV"},
                "VFIO_GROUP_SET_CONTAINER": {"ENODEV", "EPERM"},
                "VFIO_SET_IOMMU": {"EINVAL"},
                "VFIO_GROUP_GET_DEVICE_FD": {"EAGAIN", "EINVAL", "ENODEV"},
                "VFIO_DEVICE_BIND_IOMMUFD": {"EAGAIN", "ENODEV", "EPERM"}}

    def __init__(self, driver, paths, device, other):
        super().__init__(device, driver, paths)
        self.other = other
        check_groups(device, other, 2)

    def storm(self):
        """The VF is unbound while it is opened, migrated, and closed."""
        def host(bdf):
            unbind(bdf)
            answer = try_bind(bdf, self.own)
            unbind(bdf)
            bind(bdf, self.driver)
            # The user has time to come as far as he may.
            time.sleep(random.uniform(0, 0.5))
            return answer

        def user(path):
            try:
                with PATHS[path](self.device) as device:
                    if device.migration():
                        device.migrate()
                    return "used"
            except Refused as refused:
                call, error = refused.answer
                assert error in self.REFUSALS[call], refused
                return "refused"

        for path in self.paths:
            outlast([Storm(lambda: host(self.device)), Storm(lambda: host(self.other))],
                    lambda path=path: user(path), [{"used", "refused"}, {None}, {None}])

    TESTS = (storm,)


class Groupless(Scene):
    WARNINGS = "Aliasing StreamID|probe with driver .* failed with error -22$"

    def prepare(self):
        assert not os.path.exists(f"{PCI}{self.device}/iommu_group")

    restore = prepare

    def __init__(self, driver, paths, device):
        super().__init__(device, driver, paths)

    def no_driver(self):
        """Without an IOMMU that keeps it apart a device is not given to a user."""
        assert try_bind(self.device, self.driver) == "EINVAL"
        self.expect(self.device, ABSENT)

    TESTS = (no_driver,)


class Unsafe(Scene):
    WARNINGS = "interrupt"
    MODULES = {"group": "vfio_iommu_type1", "cdev": "iommufd"}

    def __init__(self, driver, paths, device):
        super().__init__(device, driver, paths)

    def allow(self, yes):
        for path in self.paths:
            sysfs_write(f"/sys/module/{self.MODULES[path]}/parameters/allow_unsafe_interrupts",
                        "Y" if yes else "N")

    def restore(self):
        self.allow(True)
        super().restore()
        self.allow(False)

    def refused(self):
        """Where a device can send any interrupt it is not given to a user..."""
        self.expect(self.device, device_call("EPERM") | {"group": ("VFIO_SET_IOMMU", "EPERM")})

    def allowed(self):
        """...who is not trusted."""
        self.allow(True)
        self.expect(self.device, OPENS)

    TESTS = (refused, allowed)


SCENES = {"shared": Shared, "port": Port, "apart": Apart, "pf": SharedWithPF,
          "contested": Contested, "groupless": Groupless, "unsafe": Unsafe}


def main():
    parser = scene_arguments(__doc__)
    parser.add_argument("scene", choices=SCENES)
    parser.add_argument("bdfs", nargs="+")
    args = parser.parse_args()
    return tap(cases(args, SCENES[args.scene], *args.bdfs))


if __name__ == "__main__":
    sys.exit(main())
