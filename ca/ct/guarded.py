"""A log elsewhere with what surrounds it: its term, its breaker, its figures."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from ca.ct.breaker import Breaker
from ca.errors import DayflyError, LogFrozen, LogRefused, LogUnavailable, SCTInvalid

if TYPE_CHECKING:
    from datetime import datetime

    from ca.ct.model import Log, Precertificate
    from ca.ct.rfc6962 import SCT
    from ca.telemetry import Metrics

_TIME: Final = "%FT%T%z"


@dataclass(frozen=True, slots=True)
class Term:
    """The certificates that a log takes, by the end of their validity: a shard of a log has such bounds.

    As the logs have it (`not_after_start`, `not_after_limit`): from `start` on, and before `limit`.
    """

    start: datetime | None = None
    limit: datetime | None = None

    def covers(self, not_after: datetime) -> bool:
        return (self.start is None or self.start <= not_after) and (self.limit is None or not_after < self.limit)

    def __str__(self) -> str:
        start = f" from {self.start:{_TIME}}" if self.start else ""
        return f"{start}, before {self.limit:{_TIME}}" if self.limit else start


class GuardedLog:
    """A `Log` that is left alone while it fails, and is not offered what lies outside its term.

    A refusal counts as an answer: it may be the precertificate's fault, and no client shall be able to switch a log
    off for the others. A promise that does not verify counts as a failure, as silence does.
    """

    def __init__(self, name: str, log: Log, metrics: Metrics, term: Term = Term()) -> None:
        """`name` stands for the log in records, metrics and readiness. Owns `log` from here on."""
        self.name = name
        self._log = log
        self._term = term
        self._breaker = Breaker()
        self._logger = structlog.get_logger("ct")
        self._seconds = {
            outcome: metrics.ct_submission_seconds.labels(name, outcome)
            for outcome in ("promised", "unavailable", "refused", "invalid")
        }
        self._skipped = metrics.ct_skipped.labels(name)
        self._open = metrics.ct_breaker_open.labels(name)

    async def add_pre_chain(self, precertificate: Precertificate, now: datetime) -> SCT:
        """As `Log.add_pre_chain`; at once LogUnavailable while the breaker is open, LogRefused outside the term."""
        if not self._term.covers(end := precertificate.not_after):
            self._skipped.inc()
            raise LogRefused(f"the log takes certificates that end{self._term}; this one ends at {end:{_TIME}}")
        clock = asyncio.get_running_loop().time
        started = clock()
        if not self._breaker.admits(started):
            self._skipped.inc()
            raise self._left_alone(started)
        try:
            sct = await self._log.add_pre_chain(precertificate, now)
        except DayflyError as problem:
            self._learn(problem, started, clock())
            raise
        except BaseException:
            self._breaker.gave_up()
            raise
        self._learn(None, started, clock())
        return sct

    async def check(self, now: datetime) -> None:
        """As `Log.check`."""
        if not self._term.covers(now):
            raise LogUnavailable(f"the log takes certificates that end{self._term}; configure its successor")
        moment = asyncio.get_running_loop().time()
        if self._breaker.state(moment) == "open":
            raise self._left_alone(moment)
        await self._log.check(now)

    async def aclose(self) -> None:
        await self._log.aclose()

    def _left_alone(self, moment: float) -> LogUnavailable:
        return LogUnavailable(
            "the log failed too often and is left alone for a while", retry_after=self._breaker.retry_after(moment)
        )

    def _learn(self, problem: DayflyError | None, started: float, ended: float) -> None:
        before = self._breaker.state(ended)
        match problem:
            case LogUnavailable():
                outcome = "unavailable"
                self._breaker.failed(ended, problem.retry_after or 0)
            case SCTInvalid():
                outcome = "invalid"
                self._breaker.failed(ended)
            case LogRefused() | LogFrozen():
                outcome = "refused"
                self._breaker.succeeded()
            case _:
                outcome = "promised"
                self._breaker.succeeded()
        self._seconds[outcome].observe(ended - started)
        after = self._breaker.state(ended)
        if after != before:
            self._open.set(after == "open")
            self._tell(after, problem, ended)

    def _tell(self, state: str, problem: DayflyError | None, moment: float) -> None:
        if state == "open":
            seconds = self._breaker.retry_after(moment)
            cause = str(problem.__cause__ or "") if problem else ""
            self._logger.error("log is left alone", log=self.name, seconds=seconds, problem=str(problem), cause=cause)
        else:
            self._logger.info("log answers again", log=self.name)
