"""Where the worker's time goes, by cProfile: slower than the real thing, but the shares hold roughly."""

from __future__ import annotations

import pstats
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

ROWS = 30


def report(console: Console, results: Path, certificates: int) -> None:
    """The functions that take longest themselves; start and waiting for the network are left out."""
    entries = pstats.Stats(str(results)).stats.items()  # type: ignore[attr-defined]
    rows = [
        (own, total, calls, _place(*function))
        for function, (_, calls, own, total, _) in entries
        if calls >= certificates / 2
    ]
    table = Table(title=f"Profile of {certificates} certificates", title_justify="left", box=box.SIMPLE)
    for heading in ("µs itself", "µs with callees", "calls"):
        table.add_column(heading, justify="right")
    table.add_column("function")
    for own, total, calls, place in sorted(rows, reverse=True)[:ROWS]:
        per = 1e6 / certificates
        table.add_row(f"{own * per:.1f}", f"{total * per:.1f}", f"{calls / certificates:.1f}", place)
    console.print(table)


def _place(file: str, line: int, function: str) -> str:
    if file == "~":
        return function
    parts = Path(file).parts
    tail = parts[parts.index("site-packages") + 1 :] if "site-packages" in parts else parts[-3:]
    return f"{'/'.join(tail)}:{line} {function}"
