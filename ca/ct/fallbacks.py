"""Several logs where one promise is needed: the first log, and others in case it does not answer."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

import structlog

from ca.errors import DayflyError, LogUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from ca.ct.guarded import GuardedLog
    from ca.ct.model import Precertificate
    from ca.ct.rfc6962 import SCT

IN_FLIGHT: Final = 2
"""Logs that are asked at once, at most."""
BUDGET: Final = 10.0
"""Seconds for all of them: room for a fallback's own budget after the usual delay. Far below the server's grace at
shutdown, so that no request dies between its SCT and its answer."""


class LogWithFallbacks:
    """A `Log` of several: the first verified SCT wins, and it is the only one.

    The next log is asked when the ones before have not answered within the delay, and at once when one has failed. A
    log that lost is left to finish, not cancelled: its breaker learns whether it is slow or dead, its connection
    lives on, and a second log with the precertificate harms nobody.
    """

    def __init__(self, logs: Sequence[GuardedLog], delay: float) -> None:
        """`logs` in the order of preference; `delay` in seconds. Owns the logs from here on."""
        self._logs = tuple(logs)
        self._delay = delay
        self._late: set[asyncio.Task[SCT]] = set()
        self._logger = structlog.get_logger("ct")

    async def add_pre_chain(self, precertificate: Precertificate, now: datetime) -> SCT:
        """As `Log.add_pre_chain`. Cancelled, it cancels the submissions as well: nobody wants their SCTs."""
        upcoming = deque(self._logs)
        running: dict[asyncio.Task[SCT], GuardedLog] = {}
        problems: list[DayflyError] = []
        try:
            async with asyncio.timeout(BUDGET):
                while upcoming or running:
                    if upcoming and len(running) < IN_FLIGHT:
                        log = upcoming.popleft()
                        running[asyncio.create_task(log.add_pre_chain(precertificate, now))] = log
                    delay = self._delay if upcoming and len(running) < IN_FLIGHT else None
                    done, _ = await asyncio.wait(running, timeout=delay, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        log = running.pop(task)
                        if (problem := task.exception()) is None:
                            return task.result()
                        problems.append(self._failure(log, problem))
        except TimeoutError as problem:
            _cancel(running)
            raise LogUnavailable("no log answered in time", retry_after=1) from problem
        except BaseException:
            _cancel(running)
            raise
        finally:
            self._leave(running)
        raise _verdict(problems)

    async def check(self, now: datetime) -> None:
        """As `Log.check`: one that takes entries is enough."""
        answers = await asyncio.gather(*(log.check(now) for log in self._logs), return_exceptions=True)
        problems = [answer for answer in answers if answer is not None]
        if len(problems) == len(answers):
            raise problems[0]

    async def aclose(self) -> None:
        """Those that lost are not waited for: their requests have had their answers."""
        late = list(self._late)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        for log in self._logs:
            await log.aclose()

    def _failure(self, log: GuardedLog, problem: BaseException) -> DayflyError:
        """The operator learns of it here: where another log promises, no error says so."""
        if not isinstance(problem, DayflyError):
            raise problem
        self._logger.warning("log failed", log=log.name, problem=str(problem), cause=str(problem.__cause__ or ""))
        return problem

    def _leave(self, running: Mapping[asyncio.Task[SCT], GuardedLog]) -> None:
        for task in running:
            self._late.add(task)
            task.add_done_callback(self._arrived)

    def _arrived(self, task: asyncio.Task[SCT]) -> None:
        self._late.discard(task)
        if not task.cancelled():
            task.exception()  # seen: the guard has recorded it


def _cancel(running: Iterable[asyncio.Task[SCT]]) -> None:
    for task in running:
        task.cancel()


def _verdict(problems: Sequence[DayflyError]) -> DayflyError:
    """What the client is told where every log has failed: to come back, if that may help with any of them."""
    passing = [problem for problem in problems if isinstance(problem, LogUnavailable)]
    return min(passing, key=lambda problem: problem.retry_after or 0) if passing else problems[0]
