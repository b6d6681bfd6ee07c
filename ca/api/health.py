"""`/healthz` as Fulcio has it, `/livez`, and a `/readyz` that tells the truth."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from starlette.responses import Response

from ca.api import answers
from ca.errors import DayflyError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request

    from ca.ct.model import Log
    from ca.keys.model import CAKeys

LOG_CHECK_INTERVAL = timedelta(seconds=5)
"""The log is asked at most this often, however many probes come in."""


class Health:
    """Readiness: the CA key is usable, its chain valid now, and a log answers."""

    def __init__(
        self,
        keys: CAKeys | None,
        logs: Mapping[str, Log],
        clock: Callable[[], datetime],
        degraded: Callable[[], Mapping[str, str]] = dict,
        draining: Callable[[], bool] = bool,
    ) -> None:
        """`keys` are None of a log alone. `logs` by name, in the order of preference; none where CT is switched off.

        `degraded`: further checks by name, `ok` or what is wrong; certificates are issued all the same.
        `draining`: whether the server is about to stop, and load balancers should send nothing more.
        """
        self._keys = keys
        self._logs = logs
        self._clock = clock
        self._degraded = degraded
        self._draining = draining
        self._log_states: dict[str, str] = {}
        self._log_asked: datetime | None = None
        self._asking = asyncio.Lock()

    async def healthz(self, _request: Request) -> Response:
        return Response(b'{"status":"SERVING"}\n', media_type="application/json")

    async def livez(self, _request: Request) -> Response:
        return answers.JSON({"status": "alive"})

    async def readyz(self, _request: Request) -> Response:
        ready, checks, logs = await self._readiness(self._clock())
        checks |= self._degraded()
        if self._draining():
            ready, checks["shutdown"] = False, "the server is about to stop"
        several = {"logs": logs} if len(logs) > 1 else {}
        return answers.JSON({"ready": ready, "checks": checks, **several}, 200 if ready else 503)

    async def can_issue(self) -> bool:
        """What `/readyz` says, in one word."""
        ready, _, _ = await self._readiness(self._clock())
        return ready and not self._draining()

    async def _readiness(self, now: datetime) -> tuple[bool, dict[str, str], Mapping[str, str]]:
        """Whether a certificate can be issued, the checks that say so, and how each log is."""
        logs = await self._log_answers(now)
        checks = {**self._key_state(now), "log": _summary(logs)}
        ready = checks.get("caKey", "ok") == "ok" and checks["log"] in {"ok", "switched off"}
        return ready, checks, logs

    def _key_state(self, now: datetime) -> Mapping[str, str]:
        if self._keys is None:
            return {}
        try:
            self._keys.current(now)
        except DayflyError as problem:
            return {"caKey": problem.public_message}
        return {"caKey": "ok"}

    async def _log_answers(self, now: datetime) -> Mapping[str, str]:
        async with self._asking:
            if self._log_asked is None or abs(now - self._log_asked) >= LOG_CHECK_INTERVAL:
                states = await asyncio.gather(*(_state(log, now) for log in self._logs.values()))
                self._log_states = dict(zip(self._logs, states, strict=True))
                self._log_asked = now
        return self._log_states


async def _state(log: Log, now: datetime) -> str:
    try:
        await log.check(now)
    except DayflyError as problem:
        return problem.public_message
    return "ok"


def _summary(logs: Mapping[str, str]) -> str:
    """One log that takes entries is enough; where there is none, what is wrong with the first."""
    if not logs:
        return "switched off"
    return "ok" if "ok" in logs.values() else next(iter(logs.values()))
