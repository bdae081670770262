#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Migrates a guest that works on a virtual function of the accelerator to another QEMU.

Runs in the lab's server. The guest compresses and decompresses without pause and checks every
result; the device model counts the same jobs from below. Ends with status 0 only if not one job
was lost, repeated or spoiled and nobody complained.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

import migrate
import server
from arcs import DATA_FILE, ArcTrace
from kmsg import KernelLog, bad_taint
from qmp import QMPError
from report import Report
from vm import VM, LabError, Load, wait

# Verdict counters that must be zero.
FATAL = ("mismatches", "errors", "lost", "hung", "duplicates", "software", "refused", "inflight")
# Counters of the model that say what is, not what has been.
GAUGES = ("in-flight", "max-in-flight", "posted")
# What the kernel's own driver is known to do wrong. With the controls in the PF's window it rings
# the VF's event queues at an offset that is in the window of the next VF.
KNOWN_VIOLATIONS = {("hisi_acc_vfio_pci", "v4"): {"neighbour-window"}}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pause", action="store_true", help="stop and continue the guest instead")
    parser.add_argument("--cancel", action="store_true",
                        help="begin migrations and cancel them instead, early and late")
    parser.add_argument("--cost", action="store_true",
                        help="first count the register accesses of each arc, of all drivers")
    parser.add_argument("--jobs", type=int, default=500, help="jobs to wait for in each phase")
    parser.add_argument("--memory", type=int, default=256, help="memory of the guest in MiB")
    parser.add_argument("--cpus", type=int, default=1, help="processors of the guest")
    parser.add_argument("--tfms", type=int, default=4, help="queue pairs the guest works on")
    parser.add_argument("--depth", type=int, default=8, help="jobs in flight on each of them")
    parser.add_argument("--job-time-ns", type=int, default=40_000_000,
                        help="time that the model takes for a job; long enough to catch some "
                             "in flight, whenever the device is stopped")
    parser.add_argument("--job-slots", type=int, default=8,
                        help="jobs of a function that the model works on at once")
    return parser.parse_args()


class Demo:
    """One guest, on the first of two VFs, and what is done to it."""

    def __init__(self, args, out):
        self.args, self.out = args, out
        self.run_dir = tempfile.mkdtemp()  # for sockets, which not every file system can hold
        self.driver = os.environ["LAB_DRIVER"]
        self.report = Report(hw=os.environ["LAB_HW"], driver=self.driver,
                             release=os.uname().release, steps=[])
        self.machines = []
        self.model = server.Model()
        self.tuned = {}
        self.log = None
        self.vfs = []
        self.load = None
        self.base = {}
        self.seen = self.model.stats()["violation-kinds"]

    def say(self, text):
        print(f"* {text}", flush=True)

    # The model's view

    def tune(self, **properties):
        for name, value in properties.items():
            name = name.replace("_", "-")
            self.tuned[name] = self.model.get(name)
            self.model.set(name, value)

    def counted(self):
        """The counters of our functions since the work began."""
        functions = self.model.stats()["functions"]
        return {number: {name: value - (0 if name in GAUGES else base[name])
                         for name, value in functions[number].items() if name != "enabled"}
                for number, base in self.base.items()}

    def jobs(self):
        return sum(function["jobs"] for function in self.counted().values())

    def work(self, jobs, what):
        """Waits until so many more jobs are done."""
        goal = self.jobs() + jobs
        wait(what, lambda: self.jobs() >= goal, self.load.alive)

    def violations(self, driver):
        """Kinds and numbers of violations since the last call, but for those that are known."""
        before, self.seen = self.seen, self.model.stats()["violation-kinds"]
        new = {kind: count - before.get(kind, 0) for kind, count in self.seen.items()}
        known = KNOWN_VIOLATIONS.get((driver, self.report.facts["hw"]), set())
        return {kind: count for kind, count in new.items() if count and kind not in known}

    # What the arcs cost, with nothing but one idle guest program on the VF

    def cost(self):
        files = {driver: f"{self.out}/cost-{driver}.json" for driver in DATA_FILE}
        for driver, file in files.items():
            self.say(f"register accesses of {driver} are counted")
            server.bind(self.vfs[0], driver)
            self.model.close()  # the monitor's port has room for one
            subprocess.run(["hisi_acc_cost.py", "count", self.vfs[0], "-o", file], check=True)
            self.model = server.Model()
            self.report.none(f"cost: {driver} commits no protocol violations",
                             self.violations(driver))
        server.bind(self.vfs[0], self.driver)

        ours, reference = files
        compare = subprocess.run(["hisi_acc_cost.py", "compare", files[ours], files[reference]],
                                 check=False, text=True, stdout=subprocess.PIPE)
        facts = self.report.facts["cost"] = {"compared": compare.stdout.splitlines()}
        for driver, file in files.items():
            with open(file, encoding="ascii") as counts:
                facts[driver] = json.load(counts)
        self.report.check(f"cost: {ours} needs no more accesses than {reference}",
                          compare.returncode == 0)

    # The machines

    def machine(self, name, vf, **more):
        vm = VM(name, self.out, vf=vf, memory=self.args.memory, cpus=self.args.cpus,
                run=self.run_dir, **more)
        self.machines.append(vm)
        return vm.start()

    def boot(self):
        source = self.machine("source", self.vfs[0])
        self.load = Load(source)
        ready = self.load.ready()
        self.report.facts["guest_kernel"] = ready["kernel"]
        functions = self.model.stats()["functions"]
        self.base = {number: functions[number]
                     for number in map(server.function_of, self.vfs)}
        self.load.begin(tfms=self.args.tfms, depth=self.args.depth)
        self.work(self.args.jobs, "the guest's first jobs")
        return source

    # What can be done to a guest; each is one step of the report

    def step(self, name, action, *args):
        self.say(name)
        facts = {"step": name}
        self.report.facts["steps"].append(facts)
        trace = ArcTrace(self.driver)
        try:
            with trace:
                facts.update(action(*args))
        finally:
            facts["arcs"], facts["data"] = trace.result()
            self.report.check(f"{name}: the device took every arc it was told to",
                              facts["arcs"] and not any(arc["error"] for arc in facts["arcs"]),
                              [arc for arc in facts["arcs"] if arc["error"]])

    def enough(self):
        goal = self.jobs() + self.args.jobs
        return lambda: self.jobs() >= goal

    def pause(self, source):
        source.qmp.cmd("stop")
        stopped = self.counted()[server.function_of(source.vf)]
        self.report.none("pause: nothing was in flight while stopped", stopped["in-flight"])
        source.qmp.cmd("cont")
        self.work(self.args.jobs, "work after the pause")
        return {}

    def cancel(self, source, late):
        target = self.machine(f"cancelled-{'late' if late else 'early'}", self.vfs[1],
                              incoming=True)
        migrate.cancel(source, target, f"{self.run_dir}/migration", self.enough(), late)
        target.end()
        self.work(self.args.jobs, "work after the cancelled migration")
        return {}

    def migrate(self, source):
        target = self.machine("target", self.vfs[1], incoming=True)
        numbers = [server.function_of(vf) for vf in self.vfs]
        before = self.counted()[numbers[0]]
        self.load.alive()
        info = migrate.migrate(source, target, f"{self.run_dir}/migration", self.enough())
        self.load.vm = target
        after = self.counted()[numbers[0]]
        self.work(self.args.jobs, "work on the destination")

        saved, loaded = source.device_bytes()["saved"], target.device_bytes()["loaded"]
        self.report.facts["jobs"] = {"before": before["jobs"],
                                     "during": after["jobs"] - before["jobs"]}
        self.report.check("migration: the guest worked while it was migrated",
                          after["jobs"] > before["jobs"])
        self.report.check("migration: the destination loaded what the source saved",
                          saved and saved == loaded, f"{saved} saved, {loaded} loaded")
        return {"migration": {
            "total time (ms)": info["total-time"], "downtime (ms)": info["downtime"],
            "setup time (ms)": info["setup-time"],
            "memory transferred (bytes)": info["ram"]["transferred"],
            "device state (bytes)": saved,
            "jobs finished by pausing": after["pause-drained"] - before["pause-drained"],
            "jobs posted and left to the destination": after["posted"]}}

    # The whole

    def run(self):
        self.vfs = server.setup(2)
        self.log = KernelLog()
        if self.args.cost:
            self.cost()
        self.tune(job_time_ns=self.args.job_time_ns, job_slots=self.args.job_slots)
        self.say(f"guest boots on {self.vfs[0]}, {self.driver}, {os.environ['LAB_HW']}")
        source = self.boot()
        if self.args.pause:
            self.step("pause", self.pause, source)
        if self.args.cancel:
            self.step("cancel early", self.cancel, source, False)
            self.step("cancel late", self.cancel, source, True)
        if not (self.args.pause or self.args.cancel):
            self.step("migration", self.migrate, source)
        self.say("guest stops its work")
        self.judge(self.load.verdict())

    def judge(self, verdict):
        report, facts = self.report, self.report.facts
        counted, stats = self.counted(), self.model.stats()
        done = self.jobs()

        if "jobs" in facts:
            facts["jobs"]["after"] = counted[server.function_of(self.vfs[1])]["jobs"]
        facts["jobs"] = {**facts.get("jobs", {}), "all": done}
        facts["guest"] = {key: value for key, value in verdict.items() if key != "faults"}
        facts["model"] = {"violations": stats["violation-kinds"], "functions": counted}
        facts["kernel"] = {"server": self.log.faults(), "guest": verdict["faults"]}

        for name in FATAL:
            report.none(f"guest: no {name}", verdict[name])
        report.check("guest: stopped by itself", verdict["state"] == "stopped", verdict["state"])
        report.check("guest: every job that was submitted completed",
                     verdict["completed"] == verdict["submitted"])
        report.check("model: executed each of the guest's jobs exactly once",
                     done == verdict["completed"],
                     f"{done} executed, {verdict['completed']} completed in the guest")
        report.none("model: no failed jobs", sum(f["job-errors"] for f in counted.values()))
        report.none("model: no protocol violations", self.violations(self.driver))
        report.none("guest: no kernel warnings", verdict["faults"])
        report.none("guest: kernel not tainted", bad_taint(verdict["taint"]))
        report.none("server: no kernel warnings", facts["kernel"]["server"])
        report.none("server: kernel not tainted", bad_taint(self.log.taint()))

    def explain(self):
        """What a person needs to see after a failure."""
        for vm in self.machines:
            for path, lines in vm.tails():
                print(f"\nend of {path}")
                print("\n".join(f"  {line}" for line in lines))
        if self.log:
            print("\nend of the server's kernel log")
            print("\n".join(f"  {line}" for line in self.log.tail(40)))

    def end(self):
        for vm in reversed(self.machines):
            vm.end()
        for name, value in self.tuned.items():
            self.model.set(name, value)
        self.model.close()
        shutil.rmtree(self.run_dir)


def main():
    args = arguments()
    out = os.environ["LAB_OUT"]
    os.makedirs(out, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    demo = Demo(args, out)
    error = "interrupted"
    try:
        demo.run()
        error = None
    except (LabError, QMPError, OSError, LookupError, subprocess.SubprocessError) as failure:
        error = f"{type(failure).__name__}: {failure}"
    finally:
        demo.end()
        if error:
            demo.report.check(f"the run came to its end: {error}", False)
        demo.report.save(f"{out}/report.json")
    demo.report.show()
    if not demo.report.good:
        demo.explain()
    print(f"\n{'passed' if demo.report.good else 'FAILED'}: {demo.driver}, "
          f"{demo.report.facts['hw']}, {demo.report.facts['release']}")
    return 0 if demo.report.good else 1


if __name__ == "__main__":
    sys.exit(main())
