"""The figures of a soak, and whether they are good."""

from __future__ import annotations

import statistics

from rich import box
from rich.console import Console
from rich.table import Table

from tests.bench.tables import Target, show_targets
from tests.soak.course import Course
from tests.soak.honest import Timed

SLICE = 5
"""Seconds of which each has a 99th percentile; a part's is the median of its slices', which one hiccup does not move."""
PARTS = 5
"""That the time is cut into, for the comparison of latencies: the second with the last."""
GROWTH, ROOM = 0.08, 8.0
"""What memory may grow by between a fifth of the time and the end: a share, and MiB for caches that fill."""
SLOWER, NO_MATTER = 2.0, 250.0
"""How many times longer than early on the 99th percentile may be in the end, and milliseconds that are always well."""


def show(console: Console, course: Course, memory: list[float]) -> bool:
    """Whether all is well."""
    tally = course.honest.tally
    console.print(_latencies(course))
    console.print(_events(course))
    hostile = ", ".join(f"{name} {count}" for name, count in sorted(tally.refused.items()))
    console.print(f"Hostile: {hostile}.")
    console.print(f"Honest requests sent again, their connection broken: {tally.sent_again}.")
    console.print(f"Told to come back in a second, and then served: {tally.put_off}.")
    for reason, count in tally.excused.items():
        console.print(f"Refused while Redis was away: {count} with {reason}.")
    for wrong in tally.wrong[:20]:
        console.print(f"wrong: {wrong}", style="red", markup=False)
    targets = [_right(course), _memory(memory), _stable(course)]
    show_targets(console, targets)
    return all(target.met for target in targets)


def _right(course: Course) -> Target:
    tally = course.honest.tally
    met = not tally.wrong and len(tally.answers) > course.seconds and bool(tally.refused)
    verified = f"{len(tally.wrong)} wrong, {len(tally.answers)} certificates verified"
    return Target("no wrong answer", verified, met)


def _memory(memory: list[float]) -> Target:
    some = max(3, len(memory) // 20)
    fifth = len(memory) // 5
    early, late = statistics.median(memory[fifth : fifth + some]), statistics.median(memory[-some:])
    met = late <= early * (1 + GROWTH) + ROOM
    return Target(f"memory grows ≤ {GROWTH:.0%} + {ROOM:.0f} MiB", f"{early:.0f} → {late:.0f} MiB", met)


def _stable(course: Course) -> Target:
    early, late = (_typical_p99(course, part) for part in (1, PARTS - 1))
    met = late <= max(SLOWER * early, NO_MATTER)
    words = f"p99 stable: ≤ {SLOWER:.0f} ×, or {NO_MATTER:.0f} ms"
    return Target(words, f"{early:.1f} → {late:.1f} ms", met)


def _within(course: Course, begin: float, end: float) -> list[Timed]:
    return [timed for timed in course.honest.tally.answers if begin <= timed.at < end]


def _typical_p99(course: Course, part: int) -> float:
    """Of the answers in a part while nothing happened; of all where something always did."""
    length = course.seconds / PARTS
    answers = _within(course, part * length, (part + 1) * length)
    quiet = [timed for timed in answers if not any(begin <= timed.at <= end for begin, end in course.disturbed)]
    chosen = quiet if len(quiet) >= 100 else answers
    slices: dict[int, list[float]] = {}
    for timed in chosen:
        slices.setdefault(int(timed.at // SLICE), []).append(timed.milliseconds)
    return statistics.median(map(_p99, slices.values())) if slices else float("inf")


def _p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[98] if len(values) > 1 else float("inf")


def _latencies(course: Course) -> Table:
    table = Table(title="Answers to honest requests", title_justify="left", box=box.SIMPLE)
    for heading in ("seconds", "certificates", "p50 ms", "p99 ms", "undisturbed", "longest"):
        table.add_column(heading, justify="right")
    for part in range(PARTS):
        begin, end = (course.seconds * number / PARTS for number in (part, part + 1))
        milliseconds = [timed.milliseconds for timed in _within(course, begin, end)] or [0.0]
        table.add_row(
            f"{begin:.0f} to {end:.0f}",
            f"{len(milliseconds)}",
            f"{statistics.median(milliseconds):.1f}",
            f"{_p99(milliseconds):.1f}",
            f"{_typical_p99(course, part):.1f}",
            f"{max(milliseconds):.0f}",
        )
    return table


def _events(course: Course) -> Table:
    table = Table(title="What happened", title_justify="left", box=box.SIMPLE)
    table.add_column("at s", justify="right")
    table.add_column("")
    table.add_column("in effect after s", justify="right")
    for name, at, took in course.effects:
        table.add_row(f"{at:.0f}", name, f"{took:.1f}")
    return table
