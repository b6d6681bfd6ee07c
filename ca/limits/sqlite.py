"""Counts in a file, for the workers of one machine; they survive a restart."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from ca.errors import ConfigurationError
from ca.limits.model import Settled, StoreUnavailable, settle_arrivals, since_1970

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from pathlib import Path

    from ca.limits.model import Charge, TokenUse

APPLICATION_ID: Final = 0x44464C4D
"""`DFLM`, for file(1) and against opening another program's file."""
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS arrival (key BLOB PRIMARY KEY, tat INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS token (
  token BLOB PRIMARY KEY, key BLOB NOT NULL, first INTEGER NOT NULL, expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"""
_BUSY_TIMEOUT: Final = 0.1
"""Seconds to wait for another worker's transaction, which takes microseconds."""
_SWEEP_EVERY: Final = 64
_SWEEP_ROWS: Final = 512
"""Twice what can be added to a table between two sweeps, so that it has at most as many rows to forget as to keep. No
index says which, since every request would pay for it: sweeps go through the keys in turn."""
_CHECKPOINT_EVERY: Final = 256
_LARGE_WAL: Final = 4096
"""Pages; 16 MiB."""
_SWEPT: Final = {"arrival": ("key", "tat"), "token": ("token", "expires")}
"""By table: its key, and when a row has served."""


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """A request that waits for its turn."""

    charges: Sequence[Charge]
    use: TokenUse | None
    settled: asyncio.Future[Settled]


class SQLiteStore:
    """A LimitStore in a file that several processes open.

    What was written is synced when the write-ahead log is brought into the file, in a thread: a crash of the machine,
    not of a process, may forget the last seconds, and leaves the file whole.
    """

    def __init__(self, sql: sqlite3.Connection, bringing: sqlite3.Connection, clock: Callable[[], datetime]) -> None:
        """Use `open`. `bringing` is for the thread."""
        self._sql = sql
        self._bringing = bringing
        self._clock = clock
        self._settled = 0
        self._swept = dict.fromkeys(_SWEPT, b"")
        self._arriving: list[_Asked] = []
        self._brought: asyncio.Future[int] | None = None

    @classmethod
    def open(cls, path: Path, clock: Callable[[], datetime]) -> Self:
        """Make the file or open it. Raises ConfigurationError."""
        try:
            path.touch(mode=0o600)
            sql = sqlite3.connect(path, timeout=5, isolation_level=None)  # others may be making it at this moment
            try:
                _prepare(path, sql)
                bringing = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
            except BaseException:
                sql.close()
                raise
        except (sqlite3.Error, OSError) as problem:
            raise ConfigurationError(
                f"{path}: cannot hold the limits' counts: {problem}; name a file that can be written with "
                "`limits: store: sqlite:FILE`, or remove a damaged one"
            ) from problem
        return cls(sql, bringing, clock)

    async def settle(self, charges: Sequence[Charge], use: TokenUse | None) -> Settled:
        # All that one turn of the event loop brings is one transaction, in the loop: a thread would cost more to ask.
        loop = asyncio.get_running_loop()
        asked = _Asked(charges, use, loop.create_future())
        if not self._arriving:
            loop.call_soon(self._settle_arriving)
        self._arriving.append(asked)
        return await asked.settled

    async def aclose(self) -> None:
        if self._brought:
            await self._brought
        self._bringing.close()
        self._sql.close()

    def _bring(self) -> None:
        """Have the write-ahead log brought into the file and synced: not in the event loop, which that holds up."""
        if self._brought and not self._brought.done():
            return
        if self._brought and self._brought.result() > _LARGE_WAL:
            # It begins anew only when all of it has been brought, and somebody always wrote meanwhile. Now nobody does,
            # and little is left.
            _checkpoint(self._sql)
        self._brought = asyncio.get_running_loop().run_in_executor(None, _checkpoint, self._bringing)

    def _settle_arriving(self) -> None:
        arriving, self._arriving = self._arriving, []
        try:
            self._sql.execute("BEGIN IMMEDIATE")
            came = [self._settle(asked.charges, asked.use) for asked in arriving]
            self._sql.execute("COMMIT")
        except sqlite3.Error as problem:
            with suppress(sqlite3.Error):
                if self._sql.in_transaction:
                    self._sql.execute("ROLLBACK")
            for asked in arriving:
                if not asked.settled.done():
                    unavailable = StoreUnavailable(f"SQLite: {problem}")
                    unavailable.__cause__ = problem
                    asked.settled.set_exception(unavailable)
            return
        for asked, settled in zip(arriving, came, strict=True):
            if not asked.settled.done():  # whoever asked may have given up
                asked.settled.set_result(settled)
        if self._settled >= _CHECKPOINT_EVERY:
            self._settled = 0
            self._bring()

    def _settle(self, charges: Sequence[Charge], use: TokenUse | None) -> Settled:
        now = since_1970(self._clock())  # now that it is our turn: a time from before it could be older than a count
        bound: tuple[bytes, int] | None = None
        if use:
            query = "SELECT key, first FROM token WHERE token = ? AND expires > ?"
            bound = self._sql.execute(query, (use.token, now)).fetchone()
            if bound and not use.repeats(bound[0], bound[1], now):
                return Settled(replayed=True)
        arrivals = [self._arrival(charge.key) for charge in charges]
        settled, nexts = settle_arrivals(charges, arrivals, now)
        if settled.taken:
            rows = [(charge.key, arrival) for charge, arrival in zip(charges, nexts, strict=True)]
            self._sql.executemany("INSERT OR REPLACE INTO arrival VALUES (?, ?)", rows)
            if use and not bound:
                row = (use.token, use.key, now, now + use.lifetime)
                self._sql.execute("INSERT OR REPLACE INTO token VALUES (?, ?, ?, ?)", row)
            self._settled += 1
            if self._settled % _SWEEP_EVERY == 0:
                self._sweep(now)
        return settled

    def _arrival(self, key: bytes) -> int | None:
        row = self._sql.execute("SELECT tat FROM arrival WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def _sweep(self, now: int) -> None:
        """What a count says that is paid for, and a token that has expired, nobody asks again."""
        for table, (key, end) in _SWEPT.items():
            rows = self._sql.execute(
                f"SELECT {key}, {end} FROM {table} WHERE {key} > ? ORDER BY {key} LIMIT {_SWEEP_ROWS}",  # noqa: S608 - names of ours
                (self._swept[table],),
            ).fetchall()
            self._swept[table] = rows[-1][0] if len(rows) == _SWEEP_ROWS else b""
            over = [(name,) for name, ends in rows if ends < now]
            self._sql.executemany(f"DELETE FROM {table} WHERE {key} = ?", over)  # noqa: S608 - names of ours


def _checkpoint(sql: sqlite3.Connection) -> int:
    """The pages of the write-ahead log, 0 where that cannot be told: whoever settles next finds out what is wrong."""
    try:
        _, pages, _ = sql.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    except sqlite3.Error:
        return 0
    return int(pages)


def _prepare(path: Path, sql: sqlite3.Connection) -> None:
    # One statement, so one moment: another worker may be making the tables.
    application, tables = sql.execute(
        "SELECT application_id, (SELECT count(*) FROM sqlite_schema) FROM pragma_application_id"
    ).fetchone()
    if application != APPLICATION_ID and (application or tables):
        raise ConfigurationError(f"{path}: is another program's database; name another file for the limits' counts")
    sql.execute("PRAGMA journal_mode = WAL")
    sql.execute("PRAGMA synchronous = NORMAL")
    sql.execute("PRAGMA wal_autocheckpoint = 0")
    if not application:
        sql.executescript(f"BEGIN IMMEDIATE; PRAGMA application_id = {APPLICATION_ID}; {_SCHEMA} COMMIT;")
    sql.execute(f"PRAGMA busy_timeout = {int(_BUSY_TIMEOUT * 1000)}")
