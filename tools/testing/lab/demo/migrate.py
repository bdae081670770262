# SPDX-License-Identifier: GPL-2.0-only
"""Moves a guest from one QEMU to another, or begins to and thinks better of it."""

from vm import LabError, wait

# With no dirty tracking for the device all of the guest's memory counts as dirty for ever. So the
# first limit can never be met, which keeps the guest running until enough has happened; then it
# is told that any downtime will do. Nothing here depends on how fast the machine is.
NEVER_MS, ANY_MS = 1, 2_000_000
UNLIMITED, SLOW = 1 << 50, 1 << 20
CAPABILITIES = {"return-path": True, "switchover-ack": True, "events": True}


def _capabilities(vm, **more):
    vm.cmd("migrate-set-capabilities", capabilities=[
        {"capability": name.replace("_", "-"), "state": state}
        for name, state in {**CAPABILITIES, **more}.items()])


def _begin(source, target, uri, pause):
    _capabilities(source, pause_before_switchover=pause)
    _capabilities(target)
    source.cmd("migrate-set-parameters", downtime_limit=NEVER_MS, max_bandwidth=UNLIMITED)
    target.cmd("migrate-incoming", uri=uri)
    source.cmd("migrate", uri=uri)


def info(vm):
    return vm.cmd("query-migrate")


def _reach(vm, goals, *others):
    """Waits until the migration has one of the statuses; any other end is a failure."""
    def reached():
        now = info(vm)
        if now["status"] in goals:
            return now
        if now["status"] in ("failed", "cancelled", "completed"):
            raise LabError(f"migration {now['status']} instead of {' or '.join(goals)}: "
                           f"{now.get('error-desc', 'no reason given')}")
        return None

    def alive():
        for machine in (vm, *others):
            machine.check()
    return wait(f"the migration to be {' or '.join(goals)}", reached, alive)


def _linger(source, target, enough):
    """Lets the guest go on until all of its memory went over once and enough() is true."""
    def once():
        return _reach(source, ["active"], target)["ram"]["dirty-sync-count"] >= 2

    def done():
        return _reach(source, ["active"], target) and enough()
    wait("the guest's memory to go over", once)
    # That it goes over again and again meanwhile is of no use, and takes the guest's time.
    source.cmd("migrate-set-parameters", max_bandwidth=SLOW)
    wait("work during the migration", done)
    source.cmd("migrate-set-parameters", max_bandwidth=UNLIMITED)


def migrate(source, target, uri, enough):
    """Moves the guest. enough() says when it has worked enough while its memory goes over."""
    _begin(source, target, uri, pause=False)
    _linger(source, target, enough)
    source.cmd("migrate-set-parameters", downtime_limit=ANY_MS)
    result = _reach(source, ["completed"])
    wait("the guest to run on the destination", target.running, target.check)
    return result


def cancel(source, target, uri, enough, late):
    """Begins a migration and cancels it: late means after the guest and its device were stopped."""
    _begin(source, target, uri, pause=late)
    _linger(source, target, enough)
    if late:
        source.cmd("migrate-set-parameters", downtime_limit=ANY_MS)
        _reach(source, ["pre-switchover"], target)
    source.cmd("migrate_cancel")
    # QEMU 10.0 closes the channel before it notes why, and may take its own doing for a failure.
    result = _reach(source, ["cancelled", "failed"])
    wait("the guest to run on the source again", source.running, source.check)
    return result
