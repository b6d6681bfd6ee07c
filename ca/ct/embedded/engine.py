"""The embedded log as the CA and the log's own endpoints use it: submissions in, promises out.

Many wait at once, one thread sequences. Whatever has come in while a batch was being synced is the next batch: the sync
is the batching window, and there is no timer.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog
from prometheus_client import CollectorRegistry

from ca.ct.embedded.sequencer import ClockBehind, Frozen, Sequenced, Sequencer
from ca.ct.embedded.store import Damaged
from ca.ct.model import MAX_CERTIFICATE, MAX_CHAIN, Submission
from ca.ct.verify import verify
from ca.errors import DayflyError, InternalError, LogFrozen, LogRefused, LogUnavailable
from ca.telemetry import CTLogMetrics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from ca.ct.embedded.host import HostLock
    from ca.ct.embedded.marker import Marker
    from ca.ct.model import Precertificate
    from ca.ct.rfc6962 import SCT

RETRY_AFTER: Final = 1
"""Seconds: a full queue of this size is worked off in less."""
RETRY_AFTER_TROUBLE: Final = 10

_CHECKPOINT_ENTRIES: Final = 1000
_CHECKPOINT_BATCHES: Final = 250
"""After so many the write-ahead log is brought into the file: some megabytes."""
_LARGE_WAL: Final = 16_000
"""Pages. From here on other processes wait until the write-ahead log can begin anew."""
_CLOSE_PATIENCE: Final = 10.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What one process takes on."""

    pending: int = 4096
    """Submissions that may wait at once; more are told to come back."""
    batch: int = 1024
    """Entries of one transaction."""
    deadline: float = 8.0
    """Seconds that a caller waits."""
    marker_interval: float = 10.0
    """Seconds between two records of the last checkpoint seen, at least."""


DEFAULT_LIMITS = Limits()


@dataclass(slots=True, eq=False)
class _Waiting:
    """A caller, and what it waits for: a place for a submission, or the end of a job."""

    work: Submission | Callable[[], None]
    loop: asyncio.AbstractEventLoop
    place: asyncio.Future[Sequenced | None]


_Outcome = tuple[_Waiting, Sequenced | DayflyError | None]


def end_process() -> None:
    """At once and without clean-up: after a sync that failed, nothing that this process believes is certain."""
    os._exit(74)  # EX_IOERR of sysexits.h


class EmbeddedLog:
    """A `Log` in this process. Every promise is for an entry that is in the tree, committed and synced.

    A caller that stops waiting may find its entry logged all the same; it gets the same SCT when it asks again.
    """

    def __init__(
        self,
        sequencer: Sequencer,
        marker: Marker,
        host_lock: HostLock,
        *,
        limits: Limits = DEFAULT_LIMITS,
        metrics: CTLogMetrics | None = None,
        die: Callable[[], None] = end_process,
    ) -> None:
        """Takes over the sequencer and the lock until `aclose`. `die` is called where no entry can be safe any more."""
        self._sequencer = sequencer
        self._marker = marker
        self._host_lock = host_lock
        self._limits = limits
        self._metrics = metrics or CTLogMetrics(CollectorRegistry())
        self._die = die
        self._logger = structlog.get_logger("ct")
        self._work = threading.Condition()
        self._arriving: list[_Waiting] = []
        self._pending: deque[_Waiting] = deque()
        self._closing = False
        self._stopped = ""
        """Why the log takes nothing any more: the file is damaged, or the disk failed."""
        self._uncheckpointed = [0, 0]
        self._unmarked = False
        self._marked_at = time.monotonic()
        self._show_tree()
        self._thread = threading.Thread(target=self._run, name="ctlog", daemon=True)
        self._thread.start()

    @property
    def log_id(self) -> bytes:
        return self._sequencer.log_id

    @property
    def origin(self) -> str:
        return self._sequencer.origin

    async def add_pre_chain(self, precertificate: Precertificate, now: datetime) -> SCT:
        """As `Log.add_pre_chain`. Raises LogUnavailable, LogRefused, LogFrozen or SCTInvalid.

        Our own SCT is verified like anybody's: it has to be over this precertificate, and a signature that a fault
        spoiled must not get out, since a deterministic one beside a good one over the same leaf gives the key away.
        """
        sct = await self.add(
            Submission(
                is_precert=True,
                certificate=precertificate.clean_tbs,
                issuer_key_hash=precertificate.issuer_key_hash,
                precertificate=precertificate.der,
                chain=precertificate.chain,
            )
        )
        verify(sct, precertificate, self._sequencer.public_key, now)
        return sct

    async def add(self, submission: Submission) -> SCT:
        """The promise for `submission`, which the caller has validated.

        Raises LogUnavailable, LogRefused for what is too large to store, LogFrozen.
        """
        longest = max(len(submission.certificate), len(submission.precertificate), *map(len, submission.chain))
        if longest > MAX_CERTIFICATE or len(submission.chain) > MAX_CHAIN:
            self._metrics.refusals.labels("too large").inc()
            raise LogRefused(
                f"a certificate of {longest} bytes under a chain of {len(submission.chain)}; the log takes "
                f"{MAX_CERTIFICATE} bytes each and a chain of {MAX_CHAIN}"
            )
        place = await self._wait(submission)
        assert place is not None
        return self._sequencer.sct(place)

    async def check(self, now: datetime) -> None:  # noqa: ARG002 - as above
        """As `Log.check`: that the sequencer is alive, may write, and has a clock that it can use.

        Raises LogUnavailable or LogFrozen.
        """
        await self._wait(self._sequencer.probe)

    async def freeze(self) -> None:
        """Sign the last checkpoint; from then on every `add` of every process raises LogFrozen.

        Raises LogUnavailable.
        """
        await self._wait(self._freeze)

    async def aclose(self) -> None:
        """Let what waits finish, remember the last checkpoint, let go of the file."""
        with self._work:
            self._closing = True
        self._hand_over()
        await asyncio.to_thread(self._thread.join, _CLOSE_PATIENCE)

    # ---- the callers' side ----------------------------------------------------------------------------------

    async def _wait(self, work: Submission | Callable[[], None]) -> Sequenced | None:
        loop = asyncio.get_running_loop()
        waiting = _Waiting(work, loop, loop.create_future())
        with self._work:
            if self._stopped or self._closing:
                self._metrics.refusals.labels("stopped").inc()
                raise _has_stopped(self._stopped or "the server ends")
            if len(self._pending) + len(self._arriving) >= self._limits.pending:
                self._metrics.refusals.labels("queue full").inc()
                raise LogUnavailable(
                    f"{self._limits.pending} submissions wait for the log already", retry_after=RETRY_AFTER
                )
            if not self._arriving:
                loop.call_soon(self._hand_over)
            self._arriving.append(waiting)
        try:
            async with asyncio.timeout(self._limits.deadline):
                return await waiting.place
        except TimeoutError as problem:
            self._metrics.refusals.labels("deadline").inc()
            raise LogUnavailable("the log did not commit in time", retry_after=RETRY_AFTER_TROUBLE) from problem

    def _hand_over(self) -> None:
        """All that one turn of the event loop brought, at once: else the thread takes the first, and syncs it alone."""
        with self._work:
            self._pending += self._arriving
            self._arriving.clear()
            self._work.notify()

    # ---- the sequencer's thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        while (batch := self._take()) is not None:
            if batch:
                self._answer(self._outcomes(batch))
                self._pace()
            self._keep_house(idle=not batch)
        self._let_go()

    def _take(self) -> list[_Waiting] | None:
        """The next batch; empty where nothing came for a while, None at the end.

        A job is a batch of its own. Callers that have given up do not get an entry.
        """
        with self._work:
            if not self._pending and not self._closing:
                self._work.wait(self._limits.marker_interval)
            if not self._pending:
                return None if self._closing else []
            self._metrics.queue.set(len(self._pending))
            batch: list[_Waiting] = []
            while self._pending and len(batch) < self._limits.batch:
                if not isinstance(self._pending[0].work, Submission) and batch:
                    break
                waiting = self._pending.popleft()
                if waiting.place.cancelled():
                    continue
                batch.append(waiting)
                if not isinstance(waiting.work, Submission):
                    break
            return batch

    def _outcomes(self, batch: list[_Waiting]) -> list[_Outcome]:
        """What each of the batch gets: all their places, or all the same error."""
        try:
            return list(zip(batch, self._do(batch), strict=True))
        except Exception as problem:  # noqa: BLE001 - whatever it is, those who wait are told
            cause, error = self._trouble(problem)
            self._metrics.refusals.labels(cause).inc(len(batch))
            return [(waiting, error) for waiting in batch]

    def _do(self, batch: Sequence[_Waiting]) -> Sequence[Sequenced | None]:
        if self._stopped:
            raise Damaged("the log stopped before")
        started = time.perf_counter()
        submissions = [waiting.work for waiting in batch if isinstance(waiting.work, Submission)]
        self._uncheckpointed[1] += 1  # jobs commit too
        if not submissions:
            for waiting in batch:
                assert not isinstance(waiting.work, Submission)
                waiting.work()
            return [None] * len(batch)
        places = self._sequencer.sequence(submissions)
        self._metrics.commit_seconds.observe(time.perf_counter() - started)
        self._metrics.batch_entries.observe(len(places))
        self._show_tree()
        self._unmarked = True
        self._uncheckpointed[0] += len(places)
        return places

    def _show_tree(self) -> None:
        self._metrics.size.set(self._sequencer.size)
        self._metrics.checkpoint_time.set(self._sequencer.timestamp / 1000)

    def _trouble(self, problem: Exception) -> tuple[str, DayflyError]:
        """The cause in a word or two, and what the callers are told; the rest goes to the server's log."""
        match problem:
            case Frozen():
                return "frozen", LogFrozen("it has its last checkpoint; its successor takes certificates now")
            case ClockBehind():
                self._logger.error("log takes nothing: clock set back", cause=str(problem))
                return "clock", LogUnavailable("the log's clock was set back", retry_after=RETRY_AFTER_TROUBLE)
            case sqlite3.Error() if _code(problem) == sqlite3.SQLITE_IOERR:
                self._fail("its disk failed", "log's disk failed: ending the process", problem, then=self._die)
            case sqlite3.Error() if _code(problem) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
                self._fail("its file is damaged", "log is damaged: takes nothing until it is repaired", problem)
            case sqlite3.Error() if _code(problem) == sqlite3.SQLITE_FULL:
                self._logger.error(
                    "log's disk is full: make room", file=str(self._sequencer.store.path), code=_name(problem)
                )
                return "disk full", LogUnavailable(
                    "the log could not commit: its disk is full", retry_after=RETRY_AFTER_TROUBLE
                )
            case sqlite3.Error():
                self._logger.error("log could not commit", cause=str(problem), code=_name(problem))
                return "not committed", LogUnavailable("the log could not commit", retry_after=RETRY_AFTER_TROUBLE)
            case Damaged():
                if not self._stopped:
                    self._fail("its file is damaged", "log is damaged: takes nothing until it is repaired", problem)
            case _:
                self._logger.error("log could not sequence", exc_info=problem)
                return "internal", InternalError()
        return "stopped", _has_stopped(self._stopped)

    def _fail(self, why: str, event: str, problem: Exception, *, then: Callable[[], None] | None = None) -> None:
        self._logger.critical(event, file=str(self._sequencer.store.path), cause=str(problem), code=_name(problem))
        if then is not None:
            then()  # before anybody hears that the log has stopped, and ends the process in another way
        self._stopped = why

    def _answer(self, outcomes: list[_Outcome]) -> None:
        """One wake-up of the event loop for all."""
        by_loop: defaultdict[asyncio.AbstractEventLoop, list[_Outcome]] = defaultdict(list)
        for outcome in outcomes:
            by_loop[outcome[0].loop].append(outcome)
        for loop, own in by_loop.items():
            try:
                loop.call_soon_threadsafe(_resolve, own)
            except RuntimeError:  # the loop is closed: nobody waits any more
                continue

    def _pace(self) -> None:
        """Tree heads are a millisecond apart or more (RFC 6962 §3.5): fewer, larger batches where they run ahead."""
        ahead = self._sequencer.ahead()
        if ahead > 1:
            time.sleep(min(ahead, 10) / 1000)

    def _keep_house(self, *, idle: bool) -> None:
        """What need not be done before callers have their answers."""
        if self._stopped:
            return
        entries, batches = self._uncheckpointed
        if entries >= _CHECKPOINT_ENTRIES or batches >= _CHECKPOINT_BATCHES or (idle and batches):
            self._checkpoint_wal()
        if self._unmarked and (idle or time.monotonic() - self._marked_at >= self._limits.marker_interval):
            self._mark()

    def _checkpoint_wal(self) -> None:
        self._uncheckpointed = [0, 0]
        try:
            if self._sequencer.store.checkpoint_wal("PASSIVE") > _LARGE_WAL:
                self._sequencer.store.checkpoint_wal("RESTART")
        except sqlite3.Error as problem:
            self._trouble(problem)

    def _mark(self) -> None:
        self._marked_at = time.monotonic()
        try:
            self._marker.advance(self._sequencer.store.head().checkpoint)
            self._unmarked = False
        except (OSError, sqlite3.Error) as problem:
            self._logger.warning(
                "last checkpoint seen cannot be recorded", file=str(self._marker.path), cause=str(problem)
            )

    def _freeze(self) -> None:
        self._sequencer.freeze()
        self._mark()

    def _let_go(self) -> None:
        if not self._stopped:
            self._mark()
        self._sequencer.store.close()
        self._host_lock.release()


def _resolve(outcomes: list[_Outcome]) -> None:
    for waiting, result in outcomes:
        if waiting.place.done():  # its caller has given up
            continue
        if isinstance(result, DayflyError):
            waiting.place.set_exception(result)
        else:
            waiting.place.set_result(result)


def _has_stopped(why: str) -> LogUnavailable:
    return LogUnavailable(f"the log has stopped: {why}; its operator finds more in the server's log")


def _code(problem: sqlite3.Error) -> int:
    """The primary result code; -1 where SQLite itself gave none (https://sqlite.org/rescode.html)."""
    return getattr(problem, "sqlite_errorcode", -1) & 0xFF


def _name(problem: Exception) -> str:
    return str(getattr(problem, "sqlite_errorname", type(problem).__name__))
