#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What vfioctl lists, binds and unbinds, what it refuses, and that nothing has changed then.

    vfioctl_test.py VF

VF is the address of a virtual function that hisi_vfio_pci has. A network interface and a disk, two
functions of one device, are plugged into the emulated server by its QMP ($LAB_QMP), below the port
$LAB_FREE_PORT, where they share a group. Output is TAP.
"""

import contextlib
import fcntl
import glob
import json
import os
import struct
import subprocess
import sys

from hisi_ctl import (DRIVER, PCI, QMP, QMPError, driver_of, sysfs_read, sysfs_write, tap,
                      wait_for)
from vfio_open import Group

DISK_SIZE = 32 << 20
BLKRRPART = 0x125f


def sh(command):
    subprocess.run(command, shell=True, check=True, stdout=subprocess.DEVNULL)


def vfioctl(*arguments, status=0):
    """Runs it, and expects this exit status. Returns what it says, and what it complains of."""
    done = subprocess.run(["vfioctl", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == status, done
    # No failure without a word, no success with one
    assert bool(done.stderr) == bool(status), done
    return done.stdout, done.stderr


def ask(*arguments):
    return json.loads(vfioctl(*arguments, "--json")[0])


def state_of(bdf):
    return driver_of(bdf), sysfs_read(f"{PCI}{bdf}/driver_override")


def refused(*arguments, because):
    """It must not happen, for this reason, and nothing may change."""
    bdf = arguments[-1]
    before = state_of(bdf)
    said = vfioctl(*arguments, status=1)[1]
    assert because in said and bdf in said, said
    assert state_of(bdf) == before, (before, state_of(bdf))
    return said


@contextlib.contextmanager
def owned_group(bdf):
    """The group of a device belongs to this process."""
    with Group(bdf) as group:
        group.own()
        yield f"process {os.getpid()} ("


@contextlib.contextmanager
def network_namespace():
    """One, for the life of a process."""
    with subprocess.Popen(["unshare", "-n", "sleep", "100000"]) as process:
        try:
            wait_for("the container", lambda: os.readlink(f"/proc/{process.pid}/ns/net") !=
                     os.readlink("/proc/self/ns/net"))
            yield process.pid
        finally:
            process.kill()


def below(bdf, pattern):
    """The name of what a device has of this kind, or None."""
    found = glob.glob(f"{PCI}{bdf}/{pattern}")
    return os.path.basename(found[0]) if found else None


def plug():
    """Returns the addresses of the network interface and the disk."""
    port = os.environ["LAB_FREE_PORT"]
    before = set(os.listdir(PCI))
    with QMP(os.environ["LAB_QMP"]) as qmp:
        qmp.cmd("blockdev-create", **{"job-id": "create"},
                options={"driver": "file", "filename": "vfioctl-disk", "size": DISK_SIZE})
        wait_for("the disk's file", lambda: qmp.cmd("query-jobs")[0]["status"] == "concluded")
        qmp.cmd("job-dismiss", id="create")
        qmp.cmd("blockdev-add", driver="file", filename="vfioctl-disk", **{"node-name": "disk"})
        # The slot is looked at when function 0 comes.
        qmp.cmd("device_add", driver="virtio-blk-pci", id="disk", drive="disk", bus=port,
                addr="0.1")
        qmp.cmd("device_add", driver="virtio-net-pci", id="net", bus=port, addr="0.0",
                multifunction=True, romfile="")

    def plugged():
        new = sorted(set(os.listdir(PCI)) - before)
        return len(new) == 2 and below(new[0], "*/net/*") and below(new[1], "*/block/*") and new

    sh("modprobe virtio_net")
    return wait_for("the new devices", plugged)


def unplug():
    with QMP(os.environ["LAB_QMP"]) as qmp:
        qmp.cmd("device_del", id="net")

        wait_for("their end", lambda: not os.path.exists(f"{PCI}{DISK}"))

        # The server does without the disk before QEMU does.
        def deleted():
            try:
                qmp.cmd("blockdev-del", **{"node-name": "disk"})
                return True
            except QMPError:
                return False

        wait_for("the end of the disk", deleted)


def test_list():
    entry, = (entry for entry in ask("list") if entry["device"] == VF)
    pf = os.path.basename(os.readlink(f"{PCI}{VF}/physfn"))
    assert entry == {
        "device": VF, "name": entry["name"], "driver": DRIVER, "best_driver": DRIVER, "pf": pf,
        "group": int(os.path.basename(os.readlink(f"{PCI}{VF}/iommu_group"))),
        "migrates": True, "reason": None, "state": "closed", "reset_pending": False,
    }, entry
    assert "Huawei" in entry["name"], entry
    assert pf not in (entry["device"] for entry in ask("list"))

    everything = {entry["device"]: entry for entry in ask("list", "--all")}
    assert set(everything) == {bdf for bdf in os.listdir(PCI)
                               if os.path.exists(f"{PCI}{bdf}/iommu_group")}
    for bdf, entry in everything.items():
        assert entry["driver"] == driver_of(bdf), entry
    assert everything[DISK]["best_driver"] == "vfio-pci" and not everything[DISK]["migrates"]

    lines = vfioctl("list")[0].splitlines()
    assert len(lines) == len(ask("list")) + 1 and len({line.find(" no") for line in lines}), lines
    assert any(line.startswith(f"{VF} ") and DRIVER in line for line in lines), lines


def test_list_of_other_drivers():
    """What is known of migration: nothing, and that there is none."""
    for driver, migrates in (("hisi_acc_vfio_pci", None), ("vfio-pci", False)):
        vfioctl("bind", "--driver", driver, VF)
        entry, = (entry for entry in ask("list") if entry["device"] == VF)
        assert (entry["driver"], entry["migrates"]) == (driver, migrates), entry
        for unknown in ("reason", "state", "reset_pending"):
            assert entry[unknown] is None, entry
    vfioctl("bind", VF)


def test_usage():
    for arguments in ((), ("frobnicate",), ("list", "--frobnicate"), ("list", VF), ("bind",),
                      ("bind", "--driver"), ("bind", "zip"), ("unbind", f"{VF}0"), ("doctor",),
                      ("doctor", VF, VF), ("doctor", "--token", "1", VF), ("help", "frobnicate")):
        vfioctl(*arguments, status=2)
    for options, wrong in ((("-ab",), "-ab"), (("--all", "-ab"), "-ab"), (("-a",), "-a"),
                           (("--all=1",), "--all=1")):
        _, said = vfioctl("list", *options, status=2)
        assert f"list has no option {wrong};" in said, said
    for arguments in (("help",), ("help", "bind"), ("bind", "--help"), ("--version",)):
        assert vfioctl(*arguments)[0], arguments
    _, said = vfioctl("bind", "0000:ff:1f.7", status=1)
    assert "0000:ff:1f.7" in said, said


def test_output_full():
    """Who asks has to learn that not all of the answer is there."""
    for arguments in (("list", "--all"), ("doctor", VF), ("doctor", "--json", VF), ("bind", VF)):
        with open("/dev/full", "w", encoding="ascii") as full:
            done = subprocess.run(["vfioctl", *arguments], stdout=full, stderr=subprocess.PIPE,
                                  text=True, check=False)
        assert done.returncode == 1, done
        assert done.stderr == "vfioctl: the output cannot be written\n", done


def test_bind():
    """To a driver by name, to the best one, and where it is already."""
    assert ask("bind", "--driver", "vfio-pci", VF) == [
        {"device": VF, "previous": DRIVER, "driver": "vfio-pci"}]
    assert state_of(VF) == ("vfio-pci", "vfio-pci"), state_of(VF)
    # The module's name does, and so does an address without its domain.
    vfioctl("bind", "--driver", "hisi-acc-vfio-pci", VF.removeprefix("0000:"))
    assert state_of(VF) == ("hisi_acc_vfio_pci", "hisi_acc_vfio_pci"), state_of(VF)
    assert vfioctl("bind", VF)[0] == f"{VF}: {DRIVER}\n"
    assert ask("bind", VF) == [{"device": VF, "previous": DRIVER, "driver": DRIVER}]
    assert state_of(VF) == (DRIVER, DRIVER), state_of(VF)


def test_bind_loads_module():
    # modprobe would take the modules below it along.
    def unload():
        sh("rmmod hisi_acc_vfio_pci")
        assert not os.path.exists("/sys/module/hisi_acc_vfio_pci")

    unload()
    vfioctl("bind", "--driver", "hisi_acc_vfio_pci", VF)
    assert driver_of(VF) == "hisi_acc_vfio_pci"
    vfioctl("bind", VF)
    # So do the commands that it prints, with a driver of another name than its module.
    unload()
    sh(vfioctl("bind", "--driver", "hisi-acc-vfio-pci", "--dry-run", VF)[0])
    assert driver_of(VF) == "hisi_acc_vfio_pci"
    vfioctl("bind", VF)


def test_dry_run():
    """Nothing happens, and the commands are those that do it."""
    for command, expected in (("unbind", None), ("bind", DRIVER)):
        before = state_of(VF)
        commands, _ = vfioctl(command, "--dry-run", VF)
        assert state_of(VF) == before and commands, commands
        assert ask(command, "--dry-run", VF)[0]["commands"] == commands.splitlines()
        sh(commands)
        assert driver_of(VF) == expected, (commands, driver_of(VF))


def test_unbind():
    """The PF says whether the host may have its VFs."""
    for allowed, driver in (("0", None), ("1", "hisi_zip")):
        sysfs_write(f"{PCI}{VF}/physfn/sriov_drivers_autoprobe", allowed)
        assert ask("unbind", VF) == [{"device": VF, "previous": DRIVER, "driver": driver}]
        assert state_of(VF) == (driver, "(null)"), state_of(VF)
        vfioctl("unbind", VF)
        assert driver_of(VF) == driver
        vfioctl("bind", VF)
        assert driver_of(VF) == DRIVER
    sysfs_write(f"{PCI}{VF}/physfn/sriov_drivers_autoprobe", "0")


def test_bind_fails():
    """Then the device is back where it was."""
    def probes():
        log = subprocess.run(["dmesg"], check=True, capture_output=True, text=True).stdout
        return log.count(f"{DRIVER} {VF}: can be migrated")

    before = probes()
    refused("bind", "--driver", "frobnicate", VF, because="no such driver")
    assert probes() == before, "it was taken from its driver"
    refused("bind", "--driver", "virtio-pci", VF, because="is not for this device")
    vfioctl("unbind", VF)
    refused("bind", "--driver", "virtio-pci", VF, because="is not for this device")
    vfioctl("bind", VF)


def test_all_or_none():
    refused("bind", "--driver", "vfio-pci", VF, os.path.basename(os.readlink(f"{PCI}{VF}/physfn")),
            because="VFs")
    assert driver_of(VF) == DRIVER


def test_in_use():
    """By a process, which the complaint names."""
    with owned_group(VF) as process:
        refused("bind", "--driver", "vfio-pci", VF, because=process)
        refused("unbind", VF, because=process)


def test_in_use_by_cut_name():
    """The kernel cuts a process's name after 15 bytes, in the middle of a character, too."""
    def rename(name):
        with open("/proc/self/comm", "wb", buffering=0) as file:
            file.write(name)

    with open("/proc/self/comm", "rb") as file:
        own = file.read()
    rename("14-bytes-and-a\u00fc".encode())
    try:
        with owned_group(VF) as process:
            refused("unbind", VF, because=f"{process}14-bytes-and-a?) ")
    finally:
        rename(own)


def test_pf():
    pf = os.path.basename(os.readlink(f"{PCI}{VF}/physfn"))
    refused("bind", pf, because="VFs; echo 0 >")


def test_bridge():
    port = os.path.basename(os.path.dirname(os.path.realpath(f"{PCI}{DISK}")))
    for options in ((), ("--force",)):
        said = refused("bind", *options, port, because="is a bridge")
        assert said.count("\n") == 1 and "--force" not in said, said
    refused("bind", "--driver", "vfio-pci", port, because="is a bridge")


def partition(disk):
    """One, of all but the first MiB."""
    sectors = DISK_SIZE // 512 - 2048
    with open(f"/dev/{disk}", "r+b", buffering=0) as file:
        file.write(bytes(446) + struct.pack("<8xII", 2048, sectors) + bytes(48) + b"\x55\xaa")
        fcntl.ioctl(file, BLKRRPART)
    return f"/dev/{disk}1", sectors


def test_disk():
    """Mounted or swapped to, a partition of it, or what is on top of that."""
    part, sectors = partition(below(DISK, "*/block/*"))
    os.makedirs("/tmp/vfioctl", exist_ok=True)
    sh(f"mkswap {part} && swapon {part}")
    refused("bind", DISK, because=f"swapoff {part}")
    sh(f"swapoff {part}")

    sh(f"dmsetup create vfioctl --table '0 {sectors} linear {part} 0'")
    refused("bind", DISK, because="in use")
    top = below(DISK, "*/block/*/*/holders/*")
    sh(f"mke2fs /dev/{top} && mount -t ext4 /dev/{top} /tmp/vfioctl")
    refused("bind", DISK, because=f"{top} on it is mounted; umount /tmp/vfioctl")
    sh("umount /tmp/vfioctl && dmsetup remove vfioctl")

    sh(f"mount -t ext4 {part} /tmp/vfioctl")
    refused("bind", DISK, because="umount /tmp/vfioctl")
    sh("umount /tmp/vfioctl")

    fd = os.open(part, os.O_RDONLY | os.O_EXCL)
    refused("bind", DISK, because="in use")
    os.close(fd)

    vfioctl("bind", DISK)
    assert driver_of(DISK) == "vfio-pci"
    assert ask("unbind", DISK) == [{"device": DISK, "previous": "vfio-pci", "driver": "virtio-pci"}]
    assert below(DISK, "*/block/*")


def test_interface():
    """With an address, in a bridge, with the default route, in a container."""
    name = below(NET, "*/net/*")
    sh(f"ip addr add 192.0.2.1/24 dev {name} label {name}:1 && ip link set {name} up")
    refused("bind", NET, because=f"{name} is up with an address")
    sh(f"ip addr flush dev {name}")
    sh(f"ip addr add 192.0.2.1/24 dev {name} && ip link set {name} up")
    refused("bind", NET, because=f"{name} is up with an address")
    sh(f"ip addr flush dev {name} && ip addr add 2001:db8::1/64 dev {name}")
    refused("bind", NET, because=f"{name} is up with an address")
    sh(f"ip addr flush dev {name} && ip route add default dev {name}")
    refused("bind", NET, because=f"{name} has the default route")
    sh(f"ip route del default dev {name} && ip -6 route add default dev {name}")
    refused("bind", NET, because=f"{name} has the default route")
    sh(f"ip -6 route del default dev {name}")
    sh(f"modprobe bridge && brctl addbr vfioctl && brctl addif vfioctl {name}")
    refused("bind", NET, because=f"{name} is below vfioctl")
    sh("ip link del vfioctl")

    with network_namespace() as pid:
        sh(f"ip link set {name} netns {pid}")
        refused("bind", NET, because="in a container")
    # It comes back, down.
    wait_for("the end of the container", lambda: below(NET, "*/net/*"))

    vfioctl("bind", NET)
    assert driver_of(NET) == "vfio-pci"
    vfioctl("unbind", NET)
    assert driver_of(NET) == "virtio-pci"


def test_force():
    name = below(NET, "*/net/*")
    sh(f"ip addr add 192.0.2.1/24 dev {name} && ip link set {name} up")
    refused("bind", NET, because="--force")
    vfioctl("bind", "--force", NET)
    assert driver_of(NET) == "vfio-pci"
    vfioctl("unbind", NET)


def test_group_in_use():
    """Nobody but VFIO can have a device of a group that a process has: it stays where it is."""
    vfioctl("bind", NET, DISK)
    assert {driver_of(NET), driver_of(DISK)} == {"vfio-pci"}
    with owned_group(NET) as process:
        refused("unbind", DISK, because=process)
        # The kernel refuses it, and the device has to be taken back.
        refused("unbind", "--force", DISK, because=process)
    vfioctl("unbind", NET, DISK)
    assert {driver_of(NET), driver_of(DISK)} == {"virtio-pci"}


def main():
    tests = [(name.removeprefix("test_"), test) for name, test in globals().items()
             if name.startswith("test_")]
    try:
        return tap(tests)
    finally:
        unplug()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    VF = sys.argv[1]
    NET, DISK = plug()
    sys.exit(main())
