"""`/healthz` as Fulcio has it, `/livez`, and a `/readyz` that tells the truth."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from starlette.responses import Response

from ca.api import answers
from ca.errors import DayflyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from ca.ct.model import Log
    from ca.keys.model import CAKeys

LOG_CHECK_INTERVAL = timedelta(seconds=5)
"""The log is asked at most this often, however many probes come in."""


class Health:
    """Readiness: the CA key is usable, its chain valid now, and the log answers."""

    def __init__(self, keys: CAKeys, log: Log | None, clock: Callable[[], datetime]) -> None:
        self._keys = keys
        self._log = log
        self._clock = clock
        self._log_state = "not asked yet"
        self._log_asked: datetime | None = None
        self._asking = asyncio.Lock()

    async def healthz(self, _request: Request) -> Response:
        return Response(b'{"status":"SERVING"}\n', media_type="application/json")

    async def livez(self, _request: Request) -> Response:
        return answers.JSON({"status": "alive"})

    async def readyz(self, _request: Request) -> Response:
        now = self._clock()
        checks = {"caKey": self._key_state(now), "log": await self._log_answers(now)}
        ready = checks["caKey"] == "ok" and checks["log"] in {"ok", "switched off"}
        return answers.JSON({"ready": ready, "checks": checks}, 200 if ready else 503)

    def _key_state(self, now: datetime) -> str:
        try:
            self._keys.current(now)
        except DayflyError as problem:
            return problem.public_message
        return "ok"

    async def _log_answers(self, now: datetime) -> str:
        if self._log is None:
            return "switched off"
        async with self._asking:
            if self._log_asked is None or abs(now - self._log_asked) >= LOG_CHECK_INTERVAL:
                try:
                    await self._log.check(now)
                except DayflyError as problem:
                    self._log_state = problem.public_message
                else:
                    self._log_state = "ok"
                self._log_asked = now
        return self._log_state
