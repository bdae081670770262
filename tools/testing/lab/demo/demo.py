#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Migrates a guest that works on virtual functions of accelerators to another QEMU.

Runs in the lab's server. The guest works without pause (it compresses and decompresses, encrypts
and decrypts, agrees upon secrets) and checks every result; the device models count the same jobs
from below. Ends with status 0 only if not one job was lost, repeated or spoiled and nobody
complained.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
from collections import Counter, namedtuple
from statistics import median

import migrate
import server
from arcs import DATA_FILE, pauses
from host import hosts
from kmsg import bad_taint
from network import Echo
from qmp import QMPError
from report import Report
from vm import LabError, Load, wait

# Verdict counters that must be zero.
FATAL = ("mismatches", "errors", "lost", "hung", "duplicates", "software", "refused", "inflight")
# Counters of the model that say what is, not what has been.
GAUGES = ("in-flight", "max-in-flight", "posted")
# More kernel memory with each migration than the noise of a working system (KiB), and less than a page for each arc of
# one, of which there are seven
GROWTH = 24
# What the guest can do with an accelerator; guest/workloads/ says what that is. The time of a job
# goes by how many of them the workload has out at once.
Workload = namedtuple("Workload", "name kind job_time_ns")
WORKLOADS = {workload.name: workload for workload in (
    Workload("dm-crypt", "sec", 40_000_000),
    Workload("af-alg", "sec", 40_000_000),
    Workload("zswap", "zip", 2_000_000),
)}
# What it does anyway with an accelerator of this kind that no workload has: RSA, DH and ECDH
WITHOUT_USER = {"pubkey": "hpre"}
# Where the target's QEMU waits for the guest
PORT = 7005
# Drivers whose devices QEMU migrates only one at a time
WITHOUT_P2P = ("hisi_acc_vfio_pci",)


def kinds(text):
    """Kinds of accelerators, in the order of the guest's functions."""
    names = text.split(",")
    for name in names:
        if name not in server.KINDS:
            raise argparse.ArgumentTypeError(f"'{name}' is none of {', '.join(server.KINDS)}")
    return names


def arguments(driver, argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vfs", type=kinds, metavar="KIND,...",
                        help="the functions that the guest has, as zip,zip (without a workload: all "
                             "kinds, if the driver can); those that the workload does not use "
                             "work for the guest's kernel")
    parser.add_argument("--workload", choices=[*WORKLOADS, *WITHOUT_USER],
                        help="what the guest's users do with a function of their own")
    parser.add_argument("--pause", action="store_true", help="stop and continue the guest instead")
    parser.add_argument("--cancel", action="store_true",
                        help="begin migrations and cancel them instead, early and late")
    parser.add_argument("--rounds", type=int, default=0,
                        help="migrate to and fro so many times instead")
    parser.add_argument("--cost", action="store_true",
                        help="first count the register accesses of each arc, of all drivers")
    parser.add_argument("--jobs", type=int, default=500,
                        help="jobs to wait for in each phase, shared by the functions")
    parser.add_argument("--workload-rounds", type=int, default=2,
                        help="rounds of the workload to wait for in each phase")
    parser.add_argument("--memory", type=int, default=256, help="memory of the guest in MiB")
    parser.add_argument("--cpus", type=int, default=1, help="processors of the guest")
    parser.add_argument("--tfms", type=int, default=16,
                        help="queue pairs of each function; the guest works on all of them")
    parser.add_argument("--depth", type=int, default=2, help="jobs in flight on each of them")
    parser.add_argument("--job-time-ns", type=int,
                        help="time that the model takes for a job; by default long enough to catch "
                             "some in flight, whenever the device is stopped")
    parser.add_argument("--job-slots", type=int, default=8,
                        help="jobs of a function that the model works on at once")
    args = parser.parse_args(argv)
    name, args.workload = args.workload, WORKLOADS.get(args.workload)
    kind = args.workload.kind if args.workload else WITHOUT_USER.get(name)
    if not args.vfs:
        args.vfs = [kind] if kind else ["zip"] if driver in WITHOUT_P2P else list(server.KINDS)
    if name and args.vfs.count(kind) != 1:
        parser.error(f"{name} works on one function of kind {kind}")
    args.job_time_ns = args.job_time_ns or getattr(args.workload, "job_time_ns", 40_000_000)
    if len(args.vfs) > 1 and driver in WITHOUT_P2P:
        parser.error(f"{driver} has no P2P states, without which QEMU migrates no guest with more "
                     "than one function; give it one, or take another driver")
    return args


# A virtual function: which of the hosts it is on, its kind and address, its number in the device model
Function = namedtuple("Function", "host kind bdf number")


class Demo:
    """One guest, on half of the functions, and what is done to it: it moves to the other half.

    That is on the same server, or with two of them on the other one.
    """

    def __init__(self, args, driver, out):
        self.args, self.out = args, out
        self.driver = driver
        self.report = Report(hw=os.environ["LAB_HW"], driver=self.driver, vfs=args.vfs,
                             release=os.uname().release, steps=[])
        if args.workload:
            self.report.facts["workload"] = {"name": args.workload.name}
        self.machines = []
        self.kinds, self.workload = Counter(args.vfs), args.workload
        self.places = [f"vf{number} {kind}" for number, kind in enumerate(args.vfs)]
        self.hosts = hosts()
        self.network = Echo() if len(self.hosts) > 1 else None
        self.tuned = []
        self.sources, self.targets = [], []  # functions
        self.load = None
        self.base = {}
        self.seen = self.violation_counts()

    def say(self, text):
        print(f"* {text}", flush=True)

    # The models' view

    def tune(self, **properties):
        for host in self.hosts:
            for kind in self.kinds:
                for name, value in properties.items():
                    name = name.replace("_", "-")
                    self.tuned.append((host, kind, name, host.get(kind, name)))
                    host.set(kind, name, value)

    def counters(self):
        """All counters of our functions."""
        stats = [{kind: host.stats(kind)["functions"] for kind in self.kinds}
                 for host in self.hosts]
        return {function: stats[function.host][function.kind][function.number]
                for function in self.sources + self.targets}

    def counted(self):
        """The counters of our functions since the work began."""
        return {function: {name: value - (0 if name in GAUGES else self.base[function][name])
                           for name, value in counters.items() if name != "enabled"}
                for function, counters in self.counters().items()}

    def jobs(self):
        """The jobs that were done, in the order of the guest's functions."""
        counted = self.counted()
        return [sum(counted[function]["jobs"] for function in place)
                for place in zip(self.sources, self.targets)]

    def placed(self, values):
        return dict(zip(self.places, values))

    def enough(self):
        """Says when each of the guest's functions has done its share from now on, and the workload
        its rounds."""
        share = -(-self.args.jobs // len(self.args.vfs))
        goals = [done + share for done in self.jobs()]
        if not self.workload:
            return lambda: all(done >= goal for done, goal in zip(self.jobs(), goals))
        goals[self.args.vfs.index(self.workload.kind)] = 0
        rounds = self.load.progress().rounds + self.args.workload_rounds
        return lambda: (self.load.progress().rounds >= rounds and
                        all(done >= goal for done, goal in zip(self.jobs(), goals)))

    def work(self, what):
        wait(what, self.enough(), self.load.alive)

    def violation_counts(self):
        return sum((Counter(host.stats(kind)["violation-kinds"])
                    for host in self.hosts for kind in self.kinds), Counter())

    def violations(self, driver):
        """Kinds and numbers of violations since the last call, but for those that are known."""
        before, self.seen = self.seen, self.violation_counts()
        known = server.KNOWN_VIOLATIONS.get((driver, self.report.facts["hw"]), set())
        return {kind: count for kind, count in (self.seen - before).items() if kind not in known}

    # What the arcs cost, with nothing but one idle guest program on the VF

    def cost(self):
        vf = self.sources[0].bdf
        files = {driver: f"{self.out}/cost-{driver}.json" for driver in DATA_FILE}
        for driver, file in files.items():
            self.say(f"register accesses of {driver} are counted")
            server.bind(vf, driver)
            self.hosts[0].close()  # the monitor's port has room for one
            subprocess.run(["hisi_acc_cost.py", "count", vf, "-o", file], check=True)
            self.hosts[0].open()
            self.report.none(f"cost: {driver} commits no protocol violations",
                             self.violations(driver))
        server.bind(vf, self.driver)

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

    def machine(self, name, functions, **more):
        host = self.hosts[functions[0].host]
        vm = host.machine(name, self.out, vfs=[function.bdf for function in functions],
                          memory=self.args.memory, cpus=self.args.cpus,
                          network=bool(self.network),
                          initrd=f"initrd-{self.workload.name}.img" if self.workload
                          else "initrd.img", **more)
        self.machines.append(vm)
        vm.start()
        return vm

    def boot(self):
        source = self.machine("source", self.sources)
        self.load = Load(source, self.kinds, self.workload)
        ready = self.load.ready()
        self.report.facts["guest_kernel"] = ready["kernel"]
        self.tune(job_time_ns=self.args.job_time_ns, job_slots=self.args.job_slots)
        self.base = self.counters()
        self.load.begin(tfms=self.args.tfms, depth=self.args.depth)
        if self.network:
            self.load.talk(self.network.address)
        self.work("the guest's first jobs")
        return source

    # What can be done to a guest; each is one step of the report

    def step(self, name, action, *args):
        self.say(name)
        facts = {"step": name}
        self.report.facts["steps"].append(facts)
        for host in self.hosts:
            host.start_trace(self.driver)
        try:
            facts.update(action(*args))
        finally:
            facts["arcs"], facts["data"] = [], {}
            for host in self.hosts:
                arcs, data = host.end_trace()
                facts["arcs"] += arcs
                facts["data"].update(data)
            facts["pauses"] = pauses([arc for arc in facts["arcs"] if arc["vm"] == "source"])
            self.report.check(f"{name}: the device took every arc it was told to",
                              facts["arcs"] and not any(arc["error"] for arc in facts["arcs"]),
                              [arc for arc in facts["arcs"] if arc["error"]])

    def paused_together(self):
        """Of the step that was the last: the guest's devices are peers, and none may do DMA any more
        when one is stopped."""
        facts = self.report.facts["steps"][-1]
        if len(self.args.vfs) > 1:
            self.report.check(f"{facts['step']}: all devices were in a P2P state before one was stopped",
                              facts["pauses"] and facts["pauses"]["together"], facts["pauses"])

    def pause(self, source):
        source.cmd("stop")
        stopped = self.counted()
        self.report.none("pause: nothing was in flight while stopped",
                         sum(stopped[function]["in-flight"] for function in self.sources))
        source.cmd("cont")
        self.work("work after the pause")
        return {}

    def cancel(self, source, late):
        target = self.machine(f"cancelled-{'late' if late else 'early'}", self.targets,
                              incoming=True)
        migrate.cancel(source, target, self.uri(), self.enough(), late)
        target.end()
        self.work("work after the cancelled migration")
        return {}

    def uri(self):
        return f"tcp:{self.hosts[self.targets[0].host].address}:{PORT}"

    def move(self, source, name):
        """Moves the guest to a new machine with that name; returns this and what QEMU says."""
        target = self.machine(name, self.targets, incoming=True)
        self.load.alive()
        info = migrate.migrate(source, target, self.uri(), self.enough())
        self.load.follow(target)
        return target, info

    def soak(self, source):
        """Moves the guest to and fro; the server's kernel may not need more and more for that."""
        facts = self.report.facts["soak"] = []
        for number in range(1, self.args.rounds + 1):
            target, info = self.move(source, f"round-{number}")
            self.work("work on the destination")
            saved, loaded = source.device_bytes("saved"), target.device_bytes("loaded")
            source.end()
            self.machines.remove(source)
            source, self.sources, self.targets = target, self.targets, self.sources
            facts.append({"round": number, "total (ms)": info["total-time"],
                          "downtime (ms)": info["downtime"], "jobs": sum(self.jobs()),
                          "kernel memory (KiB)": sum(host.memory() for host in self.hosts)})
            if not all(saved) or saved != loaded:
                raise LabError(f"round {number}: {saved} saved, {loaded} loaded")
            self.say(", ".join(f"{name} {value}" for name, value in facts[-1].items()))
        growth = self.growth([fact["kernel memory (KiB)"] for fact in facts])
        self.report.check("soak: the servers' kernels need no more memory at the end",
                          growth <= GROWTH, f"{growth:.1f} KiB more with each round")

    @staticmethod
    def growth(values):
        """How much more it is with each value: Theil and Sen's slope, to which single outliers are
        nothing. The first values are of a kernel that has not seen all of it."""
        values = values[len(values) // 4:]
        return median([0] + [(later - earlier) / (distance + 1)
                             for number, earlier in enumerate(values)
                             for distance, later in enumerate(values[number + 1:])])

    def migrate(self, source):
        before, begin = self.counted(), self.load.progress()
        target, info = self.move(source, "target")
        after = self.counted()
        self.work("work on the destination")
        if self.workload:
            self.moved(begin, self.load.left)
        if self.network:
            self.network.more("the guest to be heard from its new server", self.load.alive)

        self.report.facts["jobs"] = {
            "before": self.placed(before[function]["jobs"] for function in self.sources),
            "during": self.placed(after[function]["jobs"] - before[function]["jobs"]
                                  for function in self.sources)}
        self.report.check("migration: each function worked while the guest was migrated",
                          all(self.report.facts["jobs"]["during"].values()))
        saved, loaded = source.device_bytes("saved"), target.device_bytes("loaded")
        self.report.check("migration: the destination loaded what the source saved",
                          all(saved) and saved == loaded, f"{saved} saved, {loaded} loaded")
        return {"migration": {
            "total time (ms)": info["total-time"], "downtime (ms)": info["downtime"],
            "setup time (ms)": info["setup-time"],
            "memory transferred (bytes)": info["ram"]["transferred"],
            "device state (bytes)": sum(saved)},
            "devices": [{
                "device": place, "from": source_function.bdf, "to": target_function.bdf,
                "state (bytes)": size,
                "finished by pausing": (after[source_function]["pause-drained"] -
                                        before[source_function]["pause-drained"]),
                "left to the destination": after[source_function]["posted"]}
                for place, source_function, target_function, size in
                zip(self.places, self.sources, self.targets, saved)]}

    def moved(self, begin, left):
        """What the workload had done when the migration began, and when it left the source."""
        done = {"before": begin.rounds, "during": left.rounds - begin.rounds,
                "after": self.load.progress().rounds - left.rounds}
        self.report.facts["rounds"] = done
        for phase, rounds in done.items():
            self.report.check(f"workload: it got on {phase} the migration", rounds > 0)
        function = self.sources[self.args.vfs.index(self.workload.kind)]
        jobs = self.counted()[function]["jobs"]
        self.report.check("workload: the accelerator it left did the work until then",
                          jobs >= left.jobs > 0, f"{jobs} jobs, {left.jobs} needed")

    # The whole

    def run(self):
        # A guest's driver fills one function with queues before it takes the next of the kind.
        there = len(self.hosts) - 1
        wanted = {kind: count * (1 if there else 2) for kind, count in self.kinds.items()}
        free = [{kind: [Function(number, kind, *vf) for vf in vfs] for kind, vfs in
                 host.setup(wanted, 2 * self.args.tfms).items()}
                for number, host in enumerate(self.hosts)]
        self.sources = [free[0][kind].pop(0) for kind in self.args.vfs]
        self.targets = [free[there][kind].pop(0) for kind in self.args.vfs]
        if self.args.cost:
            self.cost()
        self.say(f"guest boots on {', '.join(function.bdf for function in self.sources)}, "
                 f"{self.driver}, {os.environ['LAB_HW']}")
        source = self.boot()
        if self.args.pause:
            self.step("pause", self.pause, source)
            self.paused_together()
        if self.args.cancel:
            self.step("cancel early", self.cancel, source, False)
            self.step("cancel late", self.cancel, source, True)
            self.paused_together()
        if self.args.rounds:
            self.say("migrations to and fro")
            self.soak(source)
        if not (self.args.pause or self.args.cancel or self.args.rounds):
            self.step("migration", self.migrate, source)
            self.paused_together()
        self.say("guest stops its work")
        self.judge(*self.load.verdict())

    def judge(self, verdicts, work, guest):
        report, facts = self.report, self.report.facts
        counted, jobs = self.counted(), self.jobs()

        if "jobs" in facts:
            facts["jobs"]["after"] = self.placed(counted[function]["jobs"]
                                                 for function in self.targets)
        facts["jobs"] = {**facts.get("jobs", {}), "all": self.placed(jobs)}
        facts["guest"] = verdicts
        facts["model"] = {
            "violations": self.violation_counts(),
            "functions": {f"{function.kind} {'peer ' * function.host}{function.number}": counters
                          for function, counters in counted.items()}}
        facts["kernel"] = {"server": sum((host.faults() for host in self.hosts), []),
                           "guest": guest["faults"]}

        for kind, verdict in verdicts.items():
            for name in FATAL:
                report.none(f"guest: no {name} ({kind})", verdict[name])
            report.check(f"guest: stopped by itself ({kind})", verdict["state"] == "stopped",
                         verdict["state"])
            report.check(f"guest: every job that was submitted completed ({kind})",
                         verdict["completed"] == verdict["submitted"])
            done = sum(f["jobs"] for function, f in counted.items() if function.kind == kind)
            report.check(f"model: executed each of the guest's jobs exactly once ({kind})",
                         done == verdict["completed"],
                         f"{done} executed, {verdict['completed']} completed in the guest")
        if work:
            self.judge_workload(work, jobs)
        report.none("model: no failed jobs", sum(f["job-errors"] for f in counted.values()))
        report.none("model: no protocol violations", self.violations(self.driver))
        report.none("guest: no kernel warnings", guest["faults"])
        report.none("guest: kernel not tainted", bad_taint(guest["taint"]))
        report.none("server: no kernel warnings", facts["kernel"]["server"])
        for host in self.hosts:
            report.none("server: kernel not tainted", bad_taint(host.taint()))
        if self.network:
            self.judge_network(guest)

    def judge_workload(self, work, jobs):
        """Its jobs were counted where they come from. None may be missing, as one that software did
        would be."""
        report, name = self.report, self.workload.name
        report.facts["workload"].update(work)
        report.check(f"{name}: stopped by itself", work["state"] == "stopped", work["state"])
        report.none(f"{name}: every result was right", work["wrong"])
        done = jobs[self.args.vfs.index(self.workload.kind)]
        report.check(f"{name}: the accelerator did all of it and nothing else",
                     done == work["jobs"] > 0, f"{done} jobs done, {work['jobs']} needed")

    def judge_network(self, guest):
        """The guest talks to its first server all the time: each word has to come back once."""
        words = self.network.end()
        self.report.facts["network"] = {
            "words answered": words, "connections": self.network.connections,
            "words that came back": guest["net_rounds"], "wrong": guest["net_wrong"]}
        self.report.check("network: the guest kept its connection",
                          self.network.connections == 1 and guest["net_state"] == "stopped",
                          f"{self.network.connections} connections, {guest['net_state']}")
        self.report.none("network: no word came back wrong", guest["net_wrong"])
        self.report.check("network: every word was answered and came back",
                          words == guest["net_rounds"] > 0,
                          f"{words} answered, {guest['net_rounds']} came back")

    def explain(self):
        """What a person needs to see after a failure."""
        for vm in self.machines:
            for path, lines in vm.tails().items():
                print(f"\nend of {path}")
                print("\n".join(f"  {line}" for line in lines))
        for host in self.hosts:
            print(f"\nend of the kernel log of {host.address}")
            print("\n".join(f"  {line}" for line in host.tail(40)))

    def end(self):
        for vm in reversed(self.machines):
            vm.end()
        for host, *setting in self.tuned:
            host.set(*setting)
        for host in self.hosts:
            host.close()


def main():
    driver = os.environ["LAB_DRIVER"]
    args = arguments(driver)
    out = os.environ["LAB_OUT"]
    os.makedirs(out, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    demo = Demo(args, driver, out)
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
