"""CPU per certificate of one Dayfly worker and of Fulcio, Certificate Transparency off in both."""

from __future__ import annotations

from contextlib import ExitStack

from tests.bench import floor, profile, servers, tables
from tests.bench.bench import Bench
from tests.bench.rounds import Plan, Result
from tests.bench.tables import Target

FLOOR_TARGET, FULCIO_TARGET, MEMORY_TARGET = 3.5, 0.7, 120
SIGNATURES = 1


def run(bench: Bench) -> None:
    plan = Plan(bench.certificates, connections=8)
    with ExitStack() as running, floor.beside() as ground:
        ours = servers.dayfly(bench.world, bench.directory / "dayfly")
        systems = {"Dayfly, one worker": running.enter_context(servers.system(ours))}
        if bench.has("fulcio"):
            theirs = servers.fulcio(bench.tools, bench.world, bench.directory / "fulcio")
            systems["Fulcio"] = running.enter_context(servers.system(theirs))
        results = bench.measure(systems, plan)
    report(bench, ground(), results)
    if bench.profile:
        idle, busy = bench.directory / "idle.profile", bench.directory / "busy.profile"
        with servers.dayfly(bench.world, bench.directory / "idle", profile=idle):
            pass
        started = servers.dayfly(bench.world, bench.directory / "busy", profile=busy)
        with servers.system(started) as system:
            bench.measure({"Dayfly, profiled": system}, plan)
        profile.report(bench.console, idle, busy, plan.requests)


def report(bench: Bench, ground: floor.Floor, results: dict[str, Result]) -> None:
    ours, *others = results.values()
    theirs = others[0] if others else None
    least = ground.total(SIGNATURES)
    headings = ("× Fulcio", "1/s", "p50 ms", "p99 ms", "MiB", "load µs")
    table = tables.comparison("One certificate, CT off", headings, ground, SIGNATURES)
    for name, result in results.items():
        table.add_row(
            name,
            f"{result.cpu:.0f}",
            f"{result.cpu / least:.2f}",
            f"{result.cpu / theirs.cpu:.2f}" if theirs else "",
            f"{result.rate:.0f}",
            f"{result.busy.p50:.1f}",
            f"{result.busy.p99:.1f}",
            f"{result.memory[0]:.0f} → {result.memory[-1]:.0f}",
            f"{result.load_cpu:.0f}",
        )
    bench.console.print(table)
    over, memory = ours.cpu / least, max(ours.memory)
    targets = [Target(f"≤ {FLOOR_TARGET} × the floor", f"{over:.2f} ×", over <= FLOOR_TARGET)]
    if theirs:
        share = ours.cpu / theirs.cpu
        targets.append(Target(f"≤ {FULCIO_TARGET} × Fulcio's CPU", f"{share:.2f} ×", share <= FULCIO_TARGET))
    targets.append(Target(f"≤ {MEMORY_TARGET} MiB resident", f"{memory:.0f} MiB", memory <= MEMORY_TARGET))
    tables.show_targets(bench.console, targets)
