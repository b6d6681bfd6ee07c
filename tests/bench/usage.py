"""What processes use, by proc(5): those named and all below them, PostgreSQL's and uvicorn's workers included."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def cpu(roots: Iterable[int]) -> float:
    """Seconds of CPU so far, all threads, user and system, with those of children that have ended."""
    return sum(sum(map(int, _stat(pid)[11:15])) for pid in _trees(roots)) / TICK


def memory(roots: Iterable[int]) -> float:
    """Resident MiB now; a page that several processes share counts once, in parts (Pss)."""
    return sum(_kibibytes(pid, "Pss") for pid in _trees(roots)) / 1024


def children(pid: int) -> set[int]:
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return {int(child) for children in lists for child in children.read_text().split()}


def _trees(roots: Iterable[int]) -> Iterator[int]:
    for pid in roots:
        yield pid
        yield from _trees(children(pid))


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _kibibytes(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise LookupError(field)
