"""`dayfly log verify` and `dayfly log export`: what goes through all of a log, and shows how far it has come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from ca.cli.shards import named
from ca.ct.embedded import export as exporter
from ca.ct.embedded import verify as verifier
from ca.ct.embedded.keys import load_keys

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ca.ct.embedded.directory import LogDirectory
    from ca.ct.embedded.verify import Progress

LONG: Final = 10_000
"""Entries from which on somebody waits."""


def verify(logs: LogDirectory, origin: str | None, out: Console) -> None:
    """Check the log of that name, or all of them. Raises ConfigurationError with the first damage."""
    shards = [named(logs, origin)] if origin else [named(logs, None), *logs.shards()[:-1]]
    for shard in sorted(shards, key=lambda shard: shard.created):
        steps = verifier.verify(shard.database, load_keys(shard.directory), logs.marker(shard.origin))
        total = _walk(steps, shard.origin)
        out.print(f"{shard.origin}: good, {total} entries", markup=False)


def export(logs: LogDirectory, origin: str | None, directory: Path, out: Console) -> None:
    """Write the log's files into `directory`. Raises ConfigurationError."""
    shard = named(logs, origin)
    total = _walk(exporter.export(shard.database, load_keys(shard.directory), directory), shard.origin)
    out.print(f"{shard.origin}: {total} entries in {directory}", markup=False)


def _walk(steps: Iterator[Progress], origin: str) -> int:
    """Go to the end; the number of entries. A bar is for people who wait: on a terminal, at a long log."""
    terminal = Console(stderr=True)
    columns = (TextColumn(origin, markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    total = 0
    with Bar(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as bar:
        task = bar.add_task("", visible=False)
        for step in steps:
            total = step.total
            bar.update(task, completed=step.done, total=step.total, visible=step.total >= LONG)
    return total
