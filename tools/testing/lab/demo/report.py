# SPDX-License-Identifier: GPL-2.0-only
"""Prints what a run found and says whether it was good."""

import json


class Report:
    """Facts by name (they become JSON), and the checks that decide."""

    def __init__(self, **facts):
        self.facts = facts
        self.checks = []

    def check(self, name, good, detail=""):
        self.checks.append({"name": name, "good": bool(good), "detail": str(detail)})

    def none(self, name, count):
        """A check that is good when a number is zero or a list is empty."""
        self.check(name, not count, count)

    @property
    def good(self):
        return bool(self.checks) and all(check["good"] for check in self.checks)

    def save(self, path):
        with open(path, "w", encoding="utf-8") as file:
            json.dump({**self.facts, "checks": self.checks, "passed": self.good}, file, indent=1)
            file.write("\n")

    def show(self):
        for name, printer in SECTIONS:
            if self.facts.get(name):
                printer(self.facts[name])
        print("\nchecks")
        for check in self.checks:
            detail = f"  ({check['detail']})" if check["detail"] and not check["good"] else ""
            print(f"  {'ok    ' if check['good'] else 'FAILED'} {check['name']}{detail}")


def table(title, rows, header):
    """Columns as wide as they need; words to the left, numbers to the right."""
    cells = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    print(f"\n{title}")
    for number, row in enumerate(cells):
        out = []
        for i, cell in enumerate(row):
            right = rows and isinstance(rows[0][i], (int, float))
            out.append(cell.rjust(widths[i]) if right else cell.ljust(widths[i]))
        print("  " + "  ".join(out).rstrip())
        if not number:
            print("  " + "  ".join("-" * width for width in widths))


def jobs(facts):
    table("jobs of each function, as the device model counted them",
          [(phase, *done.values(), sum(done.values())) for phase, done in facts.items()],
          ("phase", *facts["all"], "all"))


def guest(facts):
    table("the guest's own account",
          [(key, *(verdict[key] for verdict in facts.values()))
           for key in next(iter(facts.values()))], ("what", *facts))


def rounds(facts):
    table("rounds of the workload", list(facts.items()), ("phase", "rounds"))


def workload(facts):
    table("the workload's own account", list(facts.items()), ("what", "value"))


def steps(facts):
    for step in facts:
        if "migration" in step:
            table(f"{step['step']}, as QEMU reports it",
                  list(step["migration"].items()), ("what", "value"))
            table(f"{step['step']}: devices", [list(device.values()) for device in step["devices"]],
                  list(step["devices"][0]))
        table(f"{step['step']}: time of each arc",
              [(arc["vm"], arc["device"], f"{arc['from']} -> {arc['to']}", arc["us"],
                f"error {arc['error']}" if arc["error"] else "") for arc in step["arcs"]],
              ("machine", "device", "arc", "us", ""))
        if step["pauses"]:
            each = step["pauses"]["each"]
            table(f"{step['step']}: from the begin of a pause to a stopped device",
                  [*each.items(), ("the sum of these", round(sum(each.values()), 1)),
                   ("all of them", step["pauses"]["all"])], ("device", "us"))
        if step["data"]:
            table(f"{step['step']}: device state through the data file",
                  [(vm, call, total["calls"], total["bytes"], round(total["us"], 1),
                    total["errors"]) for vm, calls in step["data"].items()
                   for call, total in calls.items()],
                  ("machine", "call", "calls", "bytes", "us", "errors"))


def soak(facts):
    table("migrations to and fro", [list(fact.values()) for fact in facts], list(facts[0]))


def model(facts):
    functions = facts["functions"]
    counters = sorted(name for name in next(iter(functions.values()))
                      if any(function.get(name) for function in functions.values()))
    table("what the device model counted since the work began",
          [(name, *(function.get(name, 0) for function in functions.values()))
           for name in counters],
          ("counter", *functions))
    if facts["violations"]:
        table("protocol violations since the server booted, of all drivers",
              list(facts["violations"].items()), ("kind", "count"))


def cost(facts):
    ours, reference = (driver for driver in facts if driver != "compared")
    print(f"\nregister accesses of each arc, {ours} / {reference}")
    for line in facts["compared"]:
        print(f"  {line}")


def network(facts):
    table("the guest's conversation with its first server", list(facts.items()), ("what", "value"))


def kernels(facts):
    for where, lines in facts.items():
        if lines:
            print(f"\nkernel messages of the {where}")
            for line in lines:
                print(f"  {line}")


SECTIONS = (("jobs", jobs), ("rounds", rounds), ("guest", guest), ("workload", workload),
            ("steps", steps), ("soak", soak), ("model", model),
            ("cost", cost), ("network", network), ("kernel", kernels))
