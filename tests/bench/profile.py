"""Where the worker's time goes, by cProfile: slower than the real thing, but the shares hold roughly."""

from __future__ import annotations

import pstats
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

ROWS = 30


def report(console: Console, idle: Path, busy: Path, certificates: int) -> None:
    """The functions that take longest themselves; what a start and a stop take, `idle`, is subtracted."""
    start = _entries(idle)
    rows = []
    for function, (calls, own, total) in _entries(busy).items():
        less = start.get(function, (0, 0.0, 0.0))
        rows.append((own - less[1], total - less[2], calls - less[0], _place(*function)))
    table = Table(title=f"Profile of {certificates} certificates", title_justify="left", box=box.SIMPLE)
    for heading in ("µs itself", "µs with callees", "calls"):
        table.add_column(heading, justify="right")
    table.add_column("function")
    for own, total, calls, place in sorted(rows, reverse=True)[:ROWS]:
        per = 1e6 / certificates
        table.add_row(f"{own * per:.1f}", f"{total * per:.1f}", f"{calls / certificates:.1f}", place)
    table.add_row(f"{sum(row[0] for row in rows) * 1e6 / certificates:.1f}", "", "", "all")
    console.print(table)


def _entries(results: Path) -> dict[tuple[str, int, str], tuple[int, float, float]]:
    """Calls, seconds itself and seconds with callees, by function."""
    stats = pstats.Stats(str(results)).stats.items()  # type: ignore[attr-defined]
    return {function: (calls, own, total) for function, (_, calls, own, total, _) in stats}


def _place(file: str, line: int, function: str) -> str:
    if file == "~":
        return function
    parts = Path(file).parts
    tail = parts[parts.index("site-packages") + 1 :] if "site-packages" in parts else parts[-3:]
    return f"{'/'.join(tail)}:{line} {function}"
