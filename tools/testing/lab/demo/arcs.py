# SPDX-License-Identifier: GPL-2.0-only
"""Times every step that a migratable device takes, in the kernel, whatever its driver is.

Every variant driver asks vfio_mig_get_next_state() before each arc of the way to the state that
the ioctl names. So an arc lasts from that call to the next one, or to the end of the ioctl. Device
state that is loaded or produced outside of arcs shows in the driver's own read and write.
"""

import errno
import os
import re
import subprocess

STATES = ("ERROR", "STOP", "RUNNING", "STOP_COPY", "RESUMING", "RUNNING_P2P", "PRE_COPY",
          "PRE_COPY_P2P")
VFIO_DEVICE_FEATURE = 0x3b75  # _IO(';', 117)

# What a driver's data file calls read and write.
DATA_FILE = {
    "hisi_vfio_pci": ("vfio_pci_mig_fop_read", "vfio_pci_mig_fop_write"),
    "hisi_acc_vfio_pci": ("hisi_acc_vf_save_read", "hisi_acc_vf_resume_write"),
}

ROOT = "/sys/kernel/tracing"
GROUP = "lab_arcs"
LINE = re.compile(r"\s*(?P<name>.+)-(?P<thread>\d+)\s+\[\d+\]\s+\S+\s+(?P<time>[\d.]+): "
                  r"(?P<event>\w+): \(.*?\)(?P<arguments>.*)")


def _write(path, text, flag=os.O_TRUNC):
    # No open(): it looks for the end of what it appends to, and these files have none.
    try:
        fd = os.open(path, os.O_WRONLY | flag)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror} for '{text.strip()}'", path) from error


class ArcTrace:
    """Records from begin() to end(); the drivers have to be loaded before."""

    def __init__(self, driver):
        read, write = DATA_FILE[driver]
        # In kernels of any version, arguments by position: no debug information is needed.
        self.probes = {
            "ioctl": ("p", "vfio_device_fops_unl_ioctl", "cmd=$arg2:u32"),
            "ioctl_end": ("r", "vfio_device_fops_unl_ioctl", "ret=$retval:s64"),
            # A vfio_device begins with its device, that with its kobject, and that with its name.
            "arc": ("p", "vfio_mig_get_next_state",
                    "cur=$arg2:u32 new=$arg3:u32 device=+0(+0(+0($arg1))):string"),
            "read": ("p", read, ""),
            "read_end": ("r", read, "ret=$retval:s64"),
            "write": ("p", write, ""),
            "write_end": ("r", write, "ret=$retval:s64"),
        }
        self.instance = f"{ROOT}/instances/{GROUP}"
        self.text = ""

    def begin(self):
        if not os.path.exists(f"{ROOT}/kprobe_events"):
            subprocess.run(["mount", "-t", "tracefs", "tracefs", ROOT], check=True)
        self._remove()
        for event, (kind, function, arguments) in self.probes.items():
            _write(f"{ROOT}/kprobe_events", f"{kind}:{GROUP}/{event} {function} {arguments}\n",
                   os.O_APPEND)
        os.mkdir(self.instance)
        _write(f"{self.instance}/trace_clock", "mono")
        _write(f"{self.instance}/buffer_size_kb", "4096")
        _write(f"{self.instance}/events/{GROUP}/ioctl/filter", f"cmd == {VFIO_DEVICE_FEATURE}")
        _write(f"{self.instance}/events/{GROUP}/enable", "1")

    def end(self):
        _write(f"{self.instance}/events/{GROUP}/enable", "0")
        with open(f"{self.instance}/trace", encoding="utf-8", errors="replace") as file:
            self.text = file.read()
        self._remove()

    def _remove(self):
        if os.path.isdir(self.instance):
            _write(f"{self.instance}/events/{GROUP}/enable", "0")
            os.rmdir(self.instance)
        with open(f"{ROOT}/kprobe_events", encoding="ascii") as file:
            left = re.findall(rf"{GROUP}/(\w+)", file.read())
        for event in left:
            _write(f"{ROOT}/kprobe_events", f"-:{GROUP}/{event}\n", os.O_APPEND)

    def result(self):
        """The arcs in order of time, and what each process moved through data files."""
        arcs, moved, threads = [], {}, {}
        for match in filter(None, map(LINE.match, self.text.splitlines())):
            event, now = match["event"], float(match["time"]) * 1e6
            values = {k: int(v) for k, v in re.findall(r"(\w+)=(-?\d+)", match["arguments"])}
            key = (match["name"], match["thread"])
            if event == "arc":
                self._close(threads.pop(key, None), now, STATES[values["cur"]], 0)
                device = re.search(r'device="(.*?)"', match["arguments"])[1]
                threads[key] = {"vm": match["name"], "device": device, "start": now,
                                "from": STATES[values["cur"]], "to": STATES[values["new"]]}
                arcs.append(threads[key])
            elif event in ("ioctl", "ioctl_end"):
                arc = threads.pop(key, None)
                self._close(arc, now, arc and arc["to"], min(0, values.get("ret", 0)))
            elif event in ("read", "write"):
                threads[key + (event,)] = now
            else:
                event = event.partition("_")[0]
                total = moved.setdefault(match["name"], {}).setdefault(
                    event, {"calls": 0, "bytes": 0, "us": 0.0, "errors": 0})
                total["calls"] += 1
                total["bytes"] += max(0, values["ret"])
                # A read that says "nothing more yet" is no error.
                total["errors"] += values["ret"] < 0 and values["ret"] != -errno.ENOMSG
                total["us"] += now - threads.pop(key + (event,), now)
        return arcs, moved

    @staticmethod
    def _close(arc, now, state, error):
        if arc:
            arc.update(to=state, us=round(now - arc["start"], 1), error=error)


def pauses(arcs):
    """How the devices of a machine were paused when it stopped, or None if they were not. "together":
    all of them had entered a P2P state before one left it to be stopped."""
    begins = [arc for arc in arcs if arc["from"] in ("RUNNING", "PRE_COPY")
              and arc["to"].endswith("_P2P")]
    ends = [arc for arc in arcs if arc["from"].endswith("_P2P")
            and arc["to"] in ("STOP", "STOP_COPY")]
    if not begins or not ends:
        return None
    begin = {arc["device"]: arc["start"] for arc in begins}
    end = {arc["device"]: arc["start"] + arc["us"] for arc in ends}
    return {"together": begin.keys() == end.keys() and
                        max(begin.values()) < min(arc["start"] for arc in ends),
            "all": round(max(end.values()) - min(begin.values()), 1),
            "each": {device: round(end[device] - begin[device], 1)
                     for device in end if device in begin}}
