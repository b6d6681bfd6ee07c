"""What an entry costs the embedded log, and what its readers cost, from a thousand entries to a million.

The entries have the sizes of certificates, not their content, which the log does not read. One process does nothing but
sequence: its CPU time, system calls included, is the log's own; so are the bytes that it writes.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from rich import box
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ca.ct.embedded.directory import LogDirectory
from ca.ct.embedded.engine import _CHECKPOINT_BATCHES, _CHECKPOINT_ENTRIES
from ca.ct.embedded.keys import load_keys
from ca.ct.embedded.marker import Marker
from ca.ct.embedded.reader import Reader
from ca.ct.embedded.sequencer import Sequencer
from ca.ct.embedded.startup import start
from ca.ct.model import Submission
from ca.ct.static_ct import TilePath
from tests.bench.bench import Bench

SIZES = 1_000, 10_000, 100_000, 300_000, 1_000_000
BATCHES = {256: 48, 16: 256, 1: 512}
"""Entries of a commit, and how many such commits are measured at each size."""
LOADED_BY = 512
IMAGE = Path(__file__).parents[2] / "docs" / "images" / "log-cost.svg"
ORIGIN = "log.example.com/bench"
CHAIN = (b"issuing" * 60, b"root" * 100)


@dataclass(frozen=True, slots=True)
class Cost:
    cpu: float
    """Microseconds per entry."""
    written: float
    """Bytes per entry, to the write-ahead log and from there to the file."""
    p50: float
    p99: float
    """Milliseconds of a commit."""


def run(bench: Bench) -> None:
    directory = bench.directory / "log-cost"
    directory.mkdir()
    LogDirectory(directory).create(ORIGIN, _now())
    columns = TextColumn("{task.description:<28}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    costs: dict[tuple[int, int], Cost] = {}
    reads: dict[int, dict[str, float]] = {}
    with Progress(*columns, console=bench.console, transient=True) as progress:
        task = progress.add_task("entries", total=SIZES[-1])
        log = _Log(directory, lambda size: progress.update(task, completed=size))
        for size in SIZES:
            log.fill(size)
            costs |= {(size, batch): log.measure(batch, commits) for batch, commits in BATCHES.items()}
            reads[size] = log.measure_reads()
    bench.console.print(_cost_table(costs), _read_table(reads))
    draw(costs, IMAGE)


class _Log:
    """A log that grows, with the housekeeping that its engine does."""

    def __init__(self, directory: Path, grown: Callable[[int], None]) -> None:
        self._directory = directory
        self._grown = grown
        self._sequencer: Sequencer = start(
            directory / "ctlog.sqlite", load_keys(directory), Marker.of(directory / "ctlog-seen", ORIGIN), _now
        )
        self._size = 0
        self._uncheckpointed = [0, 0]

    def fill(self, size: int) -> None:
        while self._size < size:
            self._commit(self._next(min(LOADED_BY, size - self._size)))

    def measure(self, batch: int, commits: int) -> Cost:
        cpu, latencies, written = 0.0, [], _written()
        for _ in range(commits):
            submissions = self._next(batch)
            began = time.process_time()
            latencies.append(self._commit(submissions))
            cpu += time.process_time() - began
        entries = batch * commits
        latencies.sort()
        return Cost(
            cpu / entries * 1e6,
            (_written() - written) / entries,
            latencies[len(latencies) // 2] * 1e3,
            latencies[len(latencies) * 99 // 100] * 1e3,
        )

    def measure_reads(self) -> dict[str, float]:
        """Microseconds of CPU per request, by what is asked for, spread over the whole log."""
        key = load_keys(self._directory).log_key.public_key()
        with closing(Reader.open(self._directory / "ctlog.sqlite", key)) as reader:
            size = self._size
            spread = [number * 7919 % (size - 256) for number in range(300)]
            tiles = [at // 256 for at in spread]
            hashes = {at: self._sequencer.store.hashes(at, at + 1)[0][1] for at in (*spread, *range(size - 300, size))}
            return {
                "checkpoint": _each(spread, lambda _: reader.checkpoint()),
                "hash tile": _each(tiles, lambda tile: reader.tile(TilePath("hash", 0, tile, 256))),
                "data tile": _each(tiles, lambda tile: reader.tile(TilePath("data", 0, tile, 256))),
                "get-entries, 256": _each(spread, lambda at: reader.entries(at, at + 255)),
                "get-proof-by-hash, any": _each(spread, lambda at: reader.proof_by_hash(hashes[at], size)),
                "get-proof-by-hash, newest": _each(
                    range(size - 300, size), lambda at: reader.proof_by_hash(hashes[at], size)
                ),
                "get-proof-by-hash, unknown": _each(spread, lambda at: reader._store.index_of(_hash(b"no", at))),
            }

    def _next(self, count: int) -> list[Submission]:
        return [_submission(number) for number in range(self._size, self._size + count)]

    def _commit(self, submissions: list[Submission]) -> float:
        began = time.perf_counter()
        self._sequencer.sequence(submissions)
        took = time.perf_counter() - began
        self._size += len(submissions)
        self._uncheckpointed[0] += len(submissions)
        self._uncheckpointed[1] += 1
        if self._uncheckpointed[0] >= _CHECKPOINT_ENTRIES or self._uncheckpointed[1] >= _CHECKPOINT_BATCHES:
            self._uncheckpointed = [0, 0]
            self._sequencer.store.checkpoint_wal("PASSIVE")
        self._grown(self._size)
        return took


def draw(costs: dict[tuple[int, int], Cost], image: Path) -> None:
    """The same numbers give the same bytes."""
    with mpl.rc_context({"svg.hashsalt": "dayfly", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(8, 3.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        for axes, title, value in (
            (left, "CPU per entry, µs", lambda cost: cost.cpu),
            (right, "bytes written per entry", lambda cost: cost.written),
        ):
            for batch in BATCHES:
                values = [value(costs[size, batch]) for size in SIZES]
                axes.plot(SIZES, values, marker="o", markersize=3, label=f"{batch} in a commit")
            axes.set(title=title, xlabel="entries in the log", xscale="log", yscale="log")
            axes.grid(visible=True, which="both", alpha=0.2)
        left.legend()
        image.parent.mkdir(exist_ok=True)
        figure.savefig(image, metadata={"Date": None})


def _cost_table(costs: dict[tuple[int, int], Cost]) -> Table:
    table = Table(title="An entry of the embedded log", title_justify="left", box=box.SIMPLE)
    for heading in ("entries in the log", *(f"{batch}: {what}" for batch in BATCHES for what in ("µs", "B", "p99 ms"))):
        table.add_column(heading, justify="right")
    for size in SIZES:
        cells = [costs[size, batch] for batch in BATCHES]
        table.add_row(
            f"{size:,}", *(text for c in cells for text in (f"{c.cpu:.0f}", f"{c.written:,.0f}", f"{c.p99:.1f}"))
        )
    return table


def _read_table(reads: dict[int, dict[str, float]]) -> Table:
    table = Table(title="µs of CPU for what is read", title_justify="left", box=box.SIMPLE)
    table.add_column("")
    for size in SIZES:
        table.add_column(f"{size:,}", justify="right")
    for name in reads[SIZES[0]]:
        table.add_row(name, *(f"{reads[size][name]:.0f}" for size in SIZES))
    return table


def _each(places: range | list[int], read: Callable[[int], object]) -> float:
    began = time.process_time()
    for place in places:
        read(place)
    return (time.process_time() - began) / len(places) * 1e6


def _submission(number: int) -> Submission:
    tbs = hashlib.shake_128(b"%d" % number).digest(560)
    return Submission(
        is_precert=True, certificate=tbs, issuer_key_hash=bytes(32), precertificate=tbs + bytes(120), chain=CHAIN
    )


def _hash(salt: bytes, number: int) -> bytes:
    return hashlib.sha256(b"%b %d" % (salt, number)).digest()


def _written() -> int:
    """Bytes that this process has handed to write(2) so far, proc(5)."""
    lines = Path(f"/proc/{os.getpid()}/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["wchar"])


def _now() -> datetime:
    return datetime.now(UTC)
