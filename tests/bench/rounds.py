"""Systems under the same load, in turns, so that whatever slows the machine for a while slows all of them."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.bench.servers import System

ROUNDS = 8
WARM_UP = 500
"""Requests before the measurement: caches are filled, Python has specialised its bytecode."""
SETTLE = 0.3
"""Seconds after each turn, for what a system does behind its answers: Trillian sequences every 0.1 s."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What each system is asked for; no request twice."""

    certificates: int
    """By all connections together."""
    connections: int
    """Kept alive, one request at a time on each."""
    alone: int = 0
    """By one connection, besides."""
    seconds: float = 20
    """That a turn takes at most."""

    @property
    def requests(self) -> int:
        return WARM_UP + self.certificates + self.alone


@dataclass(slots=True)
class Latencies:
    """In milliseconds."""

    all: list[float] = field(default_factory=list)

    @property
    def p50(self) -> float:
        return statistics.median(self.all)

    @property
    def p99(self) -> float:
        return statistics.quantiles(self.all, n=100)[98]


@dataclass(slots=True)
class Result:
    """The sum of one system's turns. What belongs to one connection alone says so, all else to all connections."""

    memory: list[float]
    """MiB after the warm-up and after each round."""
    certificates: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    load_cpu_seconds: float = 0.0
    busy: Latencies = field(default_factory=Latencies)
    alone: Latencies = field(default_factory=Latencies)

    @property
    def rate(self) -> float:
        """Certificates per second, with the load on the same machine."""
        return self.certificates / self.seconds

    @property
    def cpu(self) -> float:
        """Microseconds per certificate."""
        return self.cpu_seconds / self.certificates * 1e6

    @property
    def load_cpu(self) -> float:
        """Microseconds per certificate that the load itself took."""
        return self.load_cpu_seconds / self.certificates * 1e6


def measure(
    systems: Mapping[str, System], requests: list[bytes], plan: Plan, done: Callable[[str, int], None]
) -> dict[str, Result]:
    """By the systems' names. `requests` are those of the plan; `done` is told a name and its certificates so far."""
    for system in systems.values():
        _drive(system, requests[:WARM_UP], plan.connections, plan)
    results = {name: Result([system.memory()]) for name, system in systems.items()}
    busy = _parts(requests[WARM_UP : WARM_UP + plan.certificates])
    alone = _parts(requests[WARM_UP + plan.certificates : plan.requests])
    for many, few in zip(busy, alone, strict=True):
        for name, system in systems.items():
            _turn(system, results[name], many, few, plan)
            done(name, results[name].certificates)
    return results


def _turn(system: System, result: Result, many: list[bytes], few: list[bytes], plan: Plan) -> None:
    before = system.cpu()
    answers = _drive(system, many, plan.connections, plan)
    time.sleep(SETTLE)
    result.cpu_seconds += system.cpu() - before
    result.certificates += len(answers["latencies"])
    result.seconds += answers["seconds"]
    result.load_cpu_seconds += answers["cpu"]
    result.busy.all += answers["latencies"]
    if few:
        result.alone.all += _drive(system, few, 1, plan)["latencies"]
    result.memory.append(system.memory())


def _drive(system: System, requests: list[bytes], connections: int, plan: Plan) -> dict:
    """Runs the load in a process of its own."""
    with tempfile.TemporaryFile() as requests_file:
        requests_file.write(b"\n".join(requests))
        requests_file.seek(0)
        command = [sys.executable, "-m", "tests.bench.load", system.url, str(connections), str(plan.seconds)]
        load = subprocess.run(command, stdin=requests_file, stdout=subprocess.PIPE, text=True, check=False)
    if load.returncode != 0:
        sys.exit(f"the load stopped with status {load.returncode}")
    return json.loads(load.stdout)


def _parts(requests: list[bytes]) -> list[list[bytes]]:
    """One for each round."""
    size = -(-len(requests) // ROUNDS)
    return [requests[size * number : size * (number + 1)] for number in range(ROUNDS)]
