"""What both comparisons show alike."""

from __future__ import annotations

from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table

from tests.bench.floor import Floor


@dataclass(frozen=True, slots=True)
class Target:
    """What is to reach: the words, what was measured, and whether that is enough."""

    words: str
    measured: str
    met: bool


def comparison(title: str, headings: tuple[str, ...], ground: Floor, signatures: int) -> Table:
    """A table whose first rows are the floor: µs of CPU, multiples of the floor, then as in `headings`."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE)
    table.add_column("", no_wrap=True)
    for heading in ("µs CPU", "× floor", *headings):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_row("RS256 verification", f"{ground.rs256_verify:.0f}")
    table.add_row("P-256 verification", f"{ground.p256_verify:.0f}")
    times = f" × {signatures}" if signatures > 1 else ""
    table.add_row(f"P-256 signature{times}", f"{ground.p256_sign * signatures:.0f}", end_section=True)
    table.add_row("floor", f"{ground.total(signatures):.0f}", "1.00", end_section=True)
    return table


def show_targets(console: Console, targets: list[Target]) -> None:
    table = Table(box=box.SIMPLE)
    for heading in ("target", "measured", ""):
        table.add_column(heading, no_wrap=True)
    for target in targets:
        table.add_row(target.words, target.measured, "[green]met[/]" if target.met else "[red]missed[/]")
    console.print(table)
