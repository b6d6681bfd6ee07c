"""What limits and the token guard cost a certificate, by where they count: one Dayfly worker each, CT off."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace

import yaml
from rich import box
from rich.table import Table

from tests.bench import servers, tables, usage
from tests.bench.bench import Bench
from tests.bench.rounds import Plan, Result
from tests.bench.tables import Target
from tests.bench.world import World
from tests.redis_server import PROGRAM, redis_server

BESIDE, OFF, MEMORY, SQLITE, REDIS = "the other work tree", "off", "in-process", "SQLite", "Redis on loopback"
SWITCHED_OFF = {f"DAYFLY_LIMITS_{limit}": "off" for limit in ("CLIENT", "FAILURES", "IDENTITY")}
ALONE = 1200
"""Requests one after the other, for the latency that a lone client sees."""
MEMORY_TARGET, REDIS_TARGET = 0.08, 150
"""A share of the CPU without them, and µs beyond it."""


def run(bench: Bench) -> None:
    plan = Plan(bench.certificates, connections=8, alone=ALONE)
    guarded = _guarded(bench.world)
    with ExitStack() as running:
        stores = {MEMORY: "memory", SQLITE: "sqlite"}
        redis_pids: list[int] = []
        if PROGRAM:
            redis = running.enter_context(redis_server(bench.directory))
            stores[REDIS] = redis.url
            redis_pids = [redis.process.pid] if redis.process else []
        started = {OFF: servers.dayfly(bench.world, bench.directory / "off", limits=SWITCHED_OFF)}
        for name, store in stores.items():
            limits = servers.LIMITS | {"DAYFLY_LIMITS_STORE": store}
            started[name] = servers.dayfly(guarded, bench.directory / store.partition(":")[0], limits=limits)
        if bench.beside:
            started[BESIDE] = servers.dayfly(bench.world, bench.directory / "beside", limits={}, tree=bench.beside)
        systems = {name: running.enter_context(servers.system(start)) for name, start in started.items()}
        results = bench.measure(systems, plan)
        of_redis = usage.cpu(redis_pids) / plan.requests * 1e6 if redis_pids else None
    report(bench, results, of_redis)


def _guarded(world: World) -> World:
    """The same issuers, and a token of theirs brings certificates for one key alone."""
    config = yaml.safe_load(world.identity_config.read_text())
    for entry in config["oidc-issuers"].values():
        entry["token-guard"] = "per-key"
    path = world.identity_config.with_name("guarded.yaml")
    path.write_text(yaml.safe_dump(config))
    return replace(world, identity_config=path)


def report(bench: Bench, results: Mapping[str, Result], of_redis: float | None) -> None:
    table = Table(title="Limits and token guard, by store; one worker, CT off", title_justify="left", box=box.SIMPLE)
    table.add_column("", no_wrap=True)
    for heading in ("µs CPU", "more µs", "more", "1/s", "alone p50 ms", "p99", "MiB"):
        table.add_column(heading, justify="right", no_wrap=True)
    without = results[OFF]
    for name, result in results.items():
        table.add_row(
            name,
            f"{result.cpu:.0f}",
            f"{result.cpu - without.cpu:+.0f}",
            f"{result.cpu / without.cpu - 1:+.1%}",
            f"{result.rate:.0f}",
            f"{result.alone.p50:.2f}",
            f"{result.alone.p99:.2f}",
            f"{result.memory[0]:.0f} → {result.memory[-1]:.0f}",
        )
    bench.console.print(table)
    if of_redis is not None:
        bench.console.print(f"Redis itself took {of_redis:.0f} µs of CPU per request.")
    share = results[MEMORY].cpu / without.cpu - 1
    words = f"in-process ≤ {MEMORY_TARGET:.0%} more CPU"
    targets = [Target(words, f"{share:+.1%}", share <= MEMORY_TARGET)]
    if REDIS in results:
        cpu = results[REDIS].cpu - without.cpu
        targets.append(Target(f"Redis ≤ {REDIS_TARGET} µs more CPU", f"{cpu:+.0f} µs", cpu <= REDIS_TARGET))
    tables.show_targets(bench.console, targets)
