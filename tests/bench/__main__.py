"""CPU per certificate of one Dayfly worker, of the cryptography alone, and of Fulcio if it is installed.

Certificate Transparency is off in all three. Run it on a machine that has nothing else to do.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tests.bench import floor, profile, servers
from tests.bench.servers import Server
from tests.bench.world import requests, world

FLOOR_TARGET, FULCIO_TARGET, MEMORY_TARGET = 3.5, 0.7, 120
SLICES = 8
"""The servers take turns."""
WARM_UP = 500
"""Requests before the measurement: caches are filled, Python has specialised its bytecode."""


@dataclass(frozen=True, slots=True)
class Result:
    certificates: int
    cpu: float
    """Microseconds per certificate."""
    rate: float
    """Certificates per second, with the load on the same machine."""
    p50: float
    p99: float
    """Milliseconds."""
    memory: tuple[float, float]
    """Resident MiB after the warm-up and at the end."""


def main() -> None:
    options = _options()
    console = Console()
    console.width = max(console.width, 100)
    columns = TextColumn("{task.description:<18}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with (
        tempfile.TemporaryDirectory(prefix="dayfly-bench-") as name,
        Progress(*columns, console=console, transient=True) as progress,
        world(Path(name)) as made,
    ):
        directory = Path(name)
        count = options.certificates + WARM_UP
        load = list(progress.track(requests(made, count), total=count, description="making requests"))

        def run(competitors: dict[str, Server]) -> list[Result]:
            tasks = {name: progress.add_task(name, total=options.certificates) for name in competitors}
            return measure(competitors, load, options, lambda name, done: progress.update(tasks[name], completed=done))

        program = None if options.skip_fulcio else servers.find_fulcio()
        with ExitStack() as running, floor.beside() as ground:
            competitors = {"Dayfly": running.enter_context(servers.dayfly(made, directory))}
            if program:
                competitors["Fulcio"] = running.enter_context(servers.fulcio(program, made, directory))
            ours, *theirs = run(competitors)
        report(console, ground(), ours, theirs[0] if theirs else None)
        if options.profile:
            idle, busy = directory / "idle", directory / "busy"
            with servers.dayfly(made, directory, idle):
                pass
            with servers.dayfly(made, directory, busy) as server:
                (profiled,) = run({"Dayfly, profiled": server})
            profile.report(console, idle, busy, profiled.certificates + WARM_UP)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--certificates", type=int, default=8000, help="how many to measure (%(default)s)")
    parser.add_argument("--connections", type=int, default=8, help="kept-alive connections (%(default)s)")
    parser.add_argument("--seconds", type=float, default=20, help="at most, for each server (%(default)s)")
    parser.add_argument("--profile", action="store_true", help="run Dayfly once more under cProfile")
    parser.add_argument("--skip-fulcio", action="store_true", help="even if it is installed")
    return parser.parse_args()


def measure(
    competitors: dict[str, Server], load: list[bytes], options: argparse.Namespace, done: Callable[[str, int], None]
) -> list[Result]:
    """Slice by slice in turn, so that whatever slows the machine for a while slows all of them."""
    for server in competitors.values():
        drive(server.url, load[:WARM_UP], options, lambda _: None)
    measured = {name: Measured(server.memory()) for name, server in competitors.items()}
    size = -(-options.certificates // SLICES)
    for start in range(WARM_UP, len(load), size):
        for name, server in competitors.items():
            so_far = measured[name]
            before, count = server.cpu(), so_far.answers
            answers = drive(
                server.url,
                load[start : start + size],
                options,
                lambda progress, name=name, count=count: done(name, count + progress),
            )
            so_far.add(answers, server.cpu() - before)
    return [so_far.result(competitors[name].memory()) for name, so_far in measured.items()]


@dataclass
class Measured:
    """The sum of the slices of one server."""

    memory: float
    answers: int = 0
    cpu: float = 0.0
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)

    def add(self, answers: dict, cpu: float) -> None:
        self.answers += answers["answers"]
        self.seconds += answers["seconds"]
        self.latencies += answers["latencies"]
        self.cpu += cpu

    def result(self, memory: float) -> Result:
        percentiles = statistics.quantiles(self.latencies, n=100)
        return Result(
            certificates=self.answers,
            cpu=self.cpu / self.answers * 1e6,
            rate=self.answers / self.seconds,
            p50=percentiles[49],
            p99=percentiles[98],
            memory=(self.memory, memory),
        )


def drive(url: str, load: list[bytes], options: argparse.Namespace, done: Callable[[int], None]) -> dict:
    """Runs the load in a process of its own. `done` is told the answers so far."""
    command = [sys.executable, "-m", "tests.bench.load", url, str(options.connections), str(options.seconds)]
    with tempfile.TemporaryFile() as requests_file:
        requests_file.write(b"\n".join(load))
        requests_file.seek(0)
        with subprocess.Popen(command, stdin=requests_file, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            last = "{}"
            for last in process.stdout:
                if last.strip().isdigit():
                    done(int(last))
    if process.returncode != 0:
        sys.exit(f"the load stopped with status {process.returncode}")
    return json.loads(last)


def report(console: Console, ground: floor.Floor, ours: Result, theirs: Result | None) -> None:
    table = Table(title="One certificate, CT off", title_justify="left", box=box.SIMPLE)
    table.add_column("", no_wrap=True)
    for heading in ("µs CPU", "× floor", "× Fulcio", "1/s", "p50 ms", "p99 ms", "RSS MiB"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_row("RS256 verification", f"{ground.rs256_verify:.0f}")
    table.add_row("P-256 verification", f"{ground.p256_verify:.0f}")
    table.add_row("P-256 signature", f"{ground.p256_sign:.0f}", end_section=True)
    table.add_row("floor", f"{ground.total:.0f}", "1.00", end_section=True)
    table.add_row("Dayfly, one worker", *_cells(ours, ground, theirs))
    if theirs:
        table.add_row("Fulcio", *_cells(theirs, ground, theirs))
    console.print(table)
    if not servers.find_fulcio():
        console.print("Fulcio is not installed: go install github.com/sigstore/fulcio@v1.8.8", style="dim")
    _verdict(console, f"≤ {FLOOR_TARGET} × the floor", ours.cpu / ground.total <= FLOOR_TARGET)
    if theirs:
        _verdict(console, f"≤ {FULCIO_TARGET} × Fulcio's CPU", ours.cpu / theirs.cpu <= FULCIO_TARGET)
    _verdict(console, f"≤ {MEMORY_TARGET} MiB resident", max(ours.memory) <= MEMORY_TARGET)


def _cells(result: Result, ground: floor.Floor, theirs: Result | None) -> list[str]:
    return [
        f"{result.cpu:.0f}",
        f"{result.cpu / ground.total:.2f}",
        f"{result.cpu / theirs.cpu:.2f}" if theirs else "",
        f"{result.rate:.0f}",
        f"{result.p50:.1f}",
        f"{result.p99:.1f}",
        f"{result.memory[0]:.0f} → {result.memory[1]:.0f}",
    ]


def _verdict(console: Console, target: str, met: bool) -> None:
    console.print(f"[green]met[/]    {target}" if met else f"[red]missed[/] {target}")


if __name__ == "__main__":
    main()
