"""Certificates with an SCT: Dayfly with its embedded log, and Fulcio with logs beside it."""

from __future__ import annotations

from contextlib import ExitStack

from tests.bench import floor, servers, tables
from tests.bench.bench import Bench
from tests.bench.rounds import Plan, Result
from tests.bench.tables import Target

CONNECTIONS = 64
ALONE = 400
"""Requests one after the other, for the latency that a lone client sees."""
SIGNATURES = 3
"""Precertificate, SCT, certificate."""
OURS, OUR_LOG, CTFE = "(a) Dayfly, 2 workers", "(b) Fulcio, dayfly log serve", "(c) Fulcio, CTFE, PostgreSQL"
RATE_TARGETS = {OUR_LOG: 2.5, CTFE: 5.0}
FLOOR_TARGET, LATENCY_TARGET, GROWTH_TARGET = 3.0, 5.0, 0.05


def run(bench: Bench) -> None:
    plan = Plan(bench.certificates, CONNECTIONS, ALONE)
    started = {OURS: servers.dayfly(bench.world, bench.directory / "a", log="embedded", workers=2)}
    if bench.has("fulcio"):
        started[OUR_LOG] = servers.fulcio_with_our_log(bench.tools, bench.world, bench.directory / "b")
    if bench.has("fulcio", "ct_server", "trillian_log_server", "trillian_log_signer", "createtree", "postgres"):
        started[CTFE] = servers.fulcio_with_ctfe(bench.tools, bench.world, bench.directory / "c")
    with ExitStack() as running, floor.beside() as ground:
        systems = {name: running.enter_context(servers.system(start)) for name, start in started.items()}
        results = bench.measure(systems, plan)
    report(bench, ground(), results)


def report(bench: Bench, ground: floor.Floor, results: dict[str, Result]) -> None:
    least = ground.total(SIGNATURES)
    headings = ("1/s", "p50 ms", "p99 ms", "alone p50", "p99", "MiB", "load µs")
    title = f"One certificate with its SCT, {CONNECTIONS} connections and one alone; CPU and memory with the log's"
    table = tables.comparison(title, headings, ground, SIGNATURES)
    for name, result in results.items():
        table.add_row(
            name,
            f"{result.cpu:.0f}",
            f"{result.cpu / least:.2f}",
            f"{result.rate:.0f}",
            f"{result.busy.p50:.1f}",
            f"{result.busy.p99:.1f}",
            f"{result.alone.p50:.1f}",
            f"{result.alone.p99:.1f}",
            f"{result.memory[0]:.0f} → {result.memory[-1]:.0f}",
            f"{result.load_cpu:.0f}",
        )
    bench.console.print(table)
    tables.show_targets(bench.console, _targets(results, least))


def _targets(results: dict[str, Result], least: float) -> list[Target]:
    ours = results[OURS]
    targets = []
    for name, times in RATE_TARGETS.items():
        if name in results:
            faster = ours.rate / results[name].rate
            targets.append(Target(f"≥ {times} × {name[:3]} in certificates/s", f"{faster:.2f} ×", faster >= times))
    over, p50 = ours.cpu / least, ours.alone.p50
    middle = ours.memory[len(ours.memory) // 2]
    growth = ours.memory[-1] / middle - 1
    return [
        *targets,
        Target(f"≤ {FLOOR_TARGET} × the floor", f"{over:.2f} ×", over <= FLOOR_TARGET),
        Target(f"p50 ≤ {LATENCY_TARGET} ms alone", f"{p50:.1f} ms", p50 <= LATENCY_TARGET),
        Target(f"memory grows ≤ {GROWTH_TARGET:.0%} in the second half", f"{growth:.1%}", growth <= GROWTH_TARGET),
    ]
