"""What happens during a soak, when, and how each event is known to have taken effect."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.soak.honest import KINDS, Honest
from tests.soak.instance import WORKERS, Instance

LAP = 120
"""Seconds after which everything but the killed worker happens again; a new key may be fetched once a minute."""
PATIENCE = 30.0
"""Seconds for an event to take effect on a busy machine."""
REDIS_AWAY = 2.0
AFTERWARDS = 3.0
"""Seconds after an event that still count as disturbed."""
CALM = 12
"""Probes in a row that have to agree: enough to have met both workers."""


class NoEffectError(AssertionError):
    pass


@dataclass
class Course:
    honest: Honest
    seconds: int
    effects: list[tuple[str, float, float]] = field(default_factory=list)
    """Events in order: what, at which second, and seconds until it was seen to work."""
    disturbed: list[tuple[float, float]] = field(default_factory=list)
    """Seconds from and to, in which latencies say nothing of a quiet server."""

    @property
    def instance(self) -> Instance:
        return self.honest.instance

    def events(self) -> list[tuple[float, str, Callable[[], Awaitable[None]]]]:
        """Second, name, and what to do."""
        laps = max(1, self.seconds // LAP)
        length = self.seconds / laps
        first = [(0.08 * min(self.seconds, LAP), "worker killed", self._kill)]
        repeated = [
            (0.28, "keys of an issuer rotated", self._rotate(KINDS[0])),
            (0.34, "CA pair reloaded", self._replace_ca),
            (0.42, "keys of an issuer rotated", self._rotate(KINDS[1])),
            (0.48, "issuer switched on", self._switch(on=True)),
            (0.54, "Redis restarted", self._restart_redis),
            (0.66, "broken configuration kept out", self._break_configuration),
            (0.70, "issuer switched off", self._switch(on=False)),
            (0.76, "keys of an issuer rotated", self._rotate(KINDS[2])),
        ]
        return first + [((lap + share) * length, name, do) for lap in range(laps) for share, name, do in repeated]

    async def run(self) -> None:
        for at, name, do in self.events():
            await asyncio.sleep(max(0.0, at - self._now()))
            begun = self._now()
            with self._disturbing():
                try:
                    async with asyncio.timeout(PATIENCE):
                        await do()
                except TimeoutError:
                    self.honest.tally.wrong.append(f"{begun:.0f} s: {name}: no effect within {PATIENCE:.0f} s")
            self.effects.append((name, begun, self._now() - begun))

    def _now(self) -> float:
        return time.monotonic() - self.honest.started

    @contextmanager
    def _disturbing(self) -> Iterator[None]:
        begun = self._now()
        yield
        self.disturbed.append((begun, self._now() + AFTERWARDS))

    async def _kill(self) -> None:
        killed = self.instance.kill_a_worker()
        while killed in (now := self.instance.workers()) or len(now) < WORKERS:
            await asyncio.sleep(0.1)
        await self._answers_like(KINDS[0], "")

    def _rotate(self, kind: str) -> Callable[[], Awaitable[None]]:
        async def rotate() -> None:
            await asyncio.to_thread(self.instance.rotate, kind)
            for _ in range(CALM):
                # The honest load does not accept one refusal either.
                if reason := await self.honest.probe(kind):
                    self.honest.tally.wrong.append(f"a new key of {kind} was refused: {reason}")

        return rotate

    async def _replace_ca(self) -> None:
        serial = self.instance.replace_ca()
        seen = 0
        while seen < CALM:
            await asyncio.sleep(0.05)
            seen = seen + 1 if self.honest.verifier.newest_issuing == serial else 0

    def _switch(self, *, on: bool) -> Callable[[], Awaitable[None]]:
        async def switch() -> None:
            self.instance.configure(seasonal=on)
            await self._answers_like("seasonal", "" if on else "ISSUER_DISABLED")

        return switch

    async def _break_configuration(self) -> None:
        self.instance.configure(seasonal=True, broken=True)
        while (await self._readiness())["identityConfig"] == "ok":
            await asyncio.sleep(0.1)
        await self._answers_like("seasonal", "")

    async def _readiness(self) -> dict[str, str]:
        answer = await self.honest.client.get("/readyz")
        checks: dict[str, str] = answer.json()["checks"]
        return checks

    async def _restart_redis(self) -> None:
        self.honest.guard_is_gone = True
        self.instance.redis.stop()
        await asyncio.sleep(REDIS_AWAY)
        await self._answers_like(KINDS[0], "")  # limits fail open
        await asyncio.to_thread(self.instance.redis.start)
        await self._answers_like("spiffe", "")
        self.honest.guard_is_gone = False

    async def _answers_like(self, kind: str, reason: str) -> None:
        """Wait until many answers in a row are of that reason."""
        seen = 0
        while seen < CALM:
            seen = seen + 1 if await self.honest.probe(kind) == reason else 0
            if not seen:
                await asyncio.sleep(0.1)
