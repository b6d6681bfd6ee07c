"""A soak: an instance under an honest load for a while, with everything happening to it that happens in production.

`python -m tests.soak` runs for SOAK_SECONDS (600) at SOAK_RATE (60) requests a second. Every certificate is verified. It
prints its figures, and ends with status 1 if an answer was wrong, memory grew or latency did.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from httpx_aiohttp import AiohttpTransport
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tests.ct.embedded.oracle import check_log
from tests.soak import report
from tests.soak.course import Course
from tests.soak.honest import Honest, Tally
from tests.soak.hostile import Hostile
from tests.soak.instance import Instance, running
from tests.soak.verification import Verifier

SECONDS = int(os.environ.get("SOAK_SECONDS", "600"))
RATE = float(os.environ.get("SOAK_RATE", "60"))
ONE_IN = 100
"""Requests of which one is hostile."""
IN_FLIGHT = 256
KNOWN = ("the store of limits cannot count", "the identity configuration")
"""How the errors begin that the course of events causes."""


@dataclass(frozen=True, slots=True)
class Soaked:
    course: Course
    memory: list[float]
    """MiB, second by second."""


async def soak(instance: Instance, progress: Progress) -> Soaked:
    log_key = load_pem_public_key((instance.directory / "ctlog.pub.pem").read_bytes())
    verifier = Verifier(instance.root.certificate, log_key)  # type: ignore[arg-type]
    async with httpx.AsyncClient(
        transport=AiohttpTransport(limits=httpx.Limits(max_connections=IN_FLIGHT)), base_url=instance.url, timeout=20
    ) as client:
        honest = Honest(instance, client, verifier, Tally(), time.monotonic())
        course = Course(honest, SECONDS)
        memory: list[float] = []
        watching = asyncio.create_task(_watch(honest, memory, progress))
        events = asyncio.create_task(course.run())
        await _load(honest, Hostile(honest))
        await events
        watching.cancel()
    return Soaked(course, memory)


async def _load(honest: Honest, hostile: Hostile) -> None:
    """At an even pace whatever the answers take, as a public service is asked."""
    under_way: set[asyncio.Task[object]] = set()
    number = 0
    while (now := time.monotonic() - honest.started) < SECONDS:
        if now * RATE < number or len(under_way) >= IN_FLIGHT:
            await asyncio.sleep(0.005)
            continue
        number += 1
        asking = hostile.attack(number // ONE_IN) if number % ONE_IN == 0 else honest.ask(number)
        task = asyncio.create_task(asking)  # type: ignore[arg-type]
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    await asyncio.gather(*under_way)


async def _watch(honest: Honest, memory: list[float], progress: Progress) -> None:
    task = progress.add_task("", total=SECONDS)
    while True:
        try:
            memory.append(honest.instance.memory())
        except (OSError, LookupError):  # of a worker that has just been killed
            memory.append(memory[-1])
        tally = honest.tally
        done = f"{len(tally.answers)} certificates, {sum(tally.refused.values())} refused, {len(tally.wrong)} wrong"
        progress.update(task, completed=time.monotonic() - honest.started, description=done)
        await asyncio.sleep(1)


def main() -> None:
    console = Console()
    console.width = max(console.width, 110)
    columns = TextColumn("soak"), BarColumn(), TimeRemainingColumn(), TextColumn("{task.description}")
    with tempfile.TemporaryDirectory(prefix="dayfly-soak-") as name:
        with running(Path(name)) as instance, Progress(*columns, console=console, transient=True) as progress:
            soaked = asyncio.run(soak(instance, progress))
        honest = soaked.course.honest
        if honest.verifier.leaf_indices - {*range(len(check_log(Path(name)).leaves))}:
            honest.tally.wrong.append("a certificate is not in the log that its SCT promises")
        records = instance.served.records()
    honest.tally.wrong += [f"the server's log has {str(record)[:300]}" for record in records if _is_bad(record)]
    sys.exit(0 if report.show(console, soaked.course, soaked.memory) else 1)


def _is_bad(record: dict[str, Any]) -> bool:
    """Whether somebody should have been woken; Redis has been away, and the guard says so for every request."""
    errors = {"error", "critical"}
    known = record.get("reason") == "TOKEN_GUARD_UNAVAILABLE" or record.get("event", "").startswith(KNOWN)
    return record.get("level") in errors and not known


if __name__ == "__main__":
    main()
