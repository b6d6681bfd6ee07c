"""Counts in a file, for the workers of one machine; they survive a restart."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import suppress
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
CREATE INDEX IF NOT EXISTS arrival_tat ON arrival (tat);
CREATE TABLE IF NOT EXISTS token (
  token BLOB PRIMARY KEY, key BLOB NOT NULL, first INTEGER NOT NULL, expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS token_expires ON token (expires);
"""
_BUSY_TIMEOUT: Final = 0.1
"""Seconds to wait for another worker's transaction, which takes microseconds."""
_SWEEP_EVERY: Final = 64
_SWEEP_ROWS: Final = 256
"""More than can be added between two sweeps, so the file does not grow for longer than counts and tokens live."""
_CHECKPOINT_EVERY: Final = 256
_LARGE_WAL: Final = 4096
"""Pages; 16 MiB."""


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
        # In the event loop: some 25 µs, less than a thread would cost to ask.
        try:
            self._sql.execute("BEGIN IMMEDIATE")
            settled = self._settle(charges, use)
            self._sql.execute("COMMIT")
        except sqlite3.Error as problem:
            with suppress(sqlite3.Error):
                if self._sql.in_transaction:
                    self._sql.execute("ROLLBACK")
            raise StoreUnavailable(f"SQLite: {problem}") from problem
        if settled.taken and self._settled % _CHECKPOINT_EVERY == 0:
            self._bring()
        return settled

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
        for table, key, end in (("arrival", "key", "tat"), ("token", "token", "expires")):
            self._sql.execute(
                f"DELETE FROM {table} WHERE {key} IN "  # noqa: S608 - names of ours
                f"(SELECT {key} FROM {table} WHERE {end} < ? LIMIT {_SWEEP_ROWS})",
                (now,),
            )


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
