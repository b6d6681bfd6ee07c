"""Counts in a file that several processes share."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from ca.errors import ConfigurationError
from ca.limits.model import Charge, StoreUnavailable, TokenUse
from ca.limits.rate import SECOND, Rate
from ca.limits.sqlite import SQLiteStore
from ca.main import clock
from tests.dev.server import Clock

pytestmark = pytest.mark.anyio

CLIENT = Charge("client", b"client", Rate(3600 * SECOND, 100))
USE = TokenUse(b"t" * 32, b"k" * 32, 0, 60 * SECOND)

TAKE = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
from ca.limits.model import Charge
from ca.limits.rate import Rate
from ca.limits.sqlite import SQLiteStore

async def main():
    store = SQLiteStore.open(Path(sys.argv[1]), lambda: datetime.now(UTC))
    client = Charge("client", b"client", Rate(3600_000_000, 100))
    print(sum([(await store.settle([client], None)).taken for _ in range(100)]))

asyncio.run(main())
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "limits.sqlite"


def test_three_processes_take_exactly_the_burst(file: Path) -> None:
    takers = [
        subprocess.Popen([sys.executable, "-c", TAKE, str(file)], stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    assert sum(int(taker.communicate(timeout=50)[0]) for taker in takers) == 100


async def test_counts_and_tokens_survive_a_restart(file: Path) -> None:
    store = SQLiteStore.open(file, clock)
    for _ in range(100):
        await store.settle([CLIENT], None)
    await store.settle([], USE)
    await store.aclose()
    store = SQLiteStore.open(file, clock)
    assert (await store.settle([CLIENT], None)).limited == 0
    assert (await store.settle([], TokenUse(USE.token, b"o" * 32, 0, SECOND))).replayed
    await store.aclose()


async def test_a_crash_of_the_machine_leaves_the_file_whole(file: Path) -> None:
    store = SQLiteStore.open(file, clock)
    (synchronous,) = store._sql.execute("PRAGMA synchronous").fetchone()
    await store.aclose()
    assert synchronous == 1, "https://sqlite.org/pragma.html#pragma_synchronous: NORMAL, and not OFF"


async def test_the_write_ahead_log_is_brought_into_the_file_while_somebody_always_writes(file: Path) -> None:
    store = SQLiteStore.open(file, clock)
    largest = 0
    for number in range(4000):
        await store.settle([], TokenUse(number.to_bytes(32) * 8, b"k" * 32, 0, 60 * SECOND))
        await asyncio.sleep(0)
        largest = max(largest, file.with_name(f"{file.name}-wal").stat().st_size)
    await store.aclose()
    assert largest < 32 << 20
    with closing(sqlite3.connect(file)) as sql:
        assert sql.execute("SELECT count(*) FROM token").fetchone() == (4000,)
        assert sql.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_the_file_is_nobody_elses(file: Path) -> None:
    SQLiteStore.open(file, clock)
    assert file.stat().st_mode & 0o777 == 0o600


async def test_what_nobody_asks_again_is_swept_out(file: Path) -> None:
    time = Clock(clock())
    store = SQLiteStore.open(file, time)
    for number in range(2000):
        time.advance(seconds=1)
        await store.settle(
            [Charge("client", b"%d" % number, Rate(SECOND, 10))], TokenUse(os.urandom(32), b"k", 0, SECOND)
        )
    await store.aclose()
    with closing(sqlite3.connect(file)) as sql:
        for table in ("arrival", "token"):
            assert sql.execute(f"SELECT count(*) FROM {table}").fetchone()[0] < 150


@pytest.mark.parametrize("breaks", ["DROP TABLE arrival", "DROP TABLE token"])
async def test_a_store_that_is_broken_says_so_and_not_something_else(file: Path, breaks: str) -> None:
    store = SQLiteStore.open(file, clock)
    with closing(sqlite3.connect(file)) as sql:
        sql.execute(breaks)
    with pytest.raises(StoreUnavailable):
        await store.settle([CLIENT], USE)
    with pytest.raises(StoreUnavailable):
        await store.settle([CLIENT], USE)
    await store.aclose()


async def test_somebody_who_holds_the_lock_costs_a_tenth_of_a_second(file: Path) -> None:
    store = SQLiteStore.open(file, clock)
    with closing(sqlite3.connect(file, isolation_level=None)) as sql:
        sql.execute("BEGIN IMMEDIATE")
        started = clock()
        with pytest.raises(StoreUnavailable, match="locked"):
            await store.settle([CLIENT], None)
        assert (clock() - started).total_seconds() < 5
        sql.execute("ROLLBACK")
    assert (await store.settle([CLIENT], None)).taken
    await store.aclose()


async def test_a_full_disk_is_a_store_that_cannot_count(file: Path) -> None:
    store = SQLiteStore.open(file, clock)
    store._sql.execute("PRAGMA max_page_count = 6")
    many = [Charge("client", b"%d" % number, Rate(3600 * SECOND, 1)) for number in range(2000)]
    with pytest.raises(StoreUnavailable, match="full"):
        await store.settle(many, None)
    store._sql.execute("PRAGMA max_page_count = 100000")
    assert (await store.settle([CLIENT], None)).taken
    await store.aclose()


async def test_a_refused_transaction_leaves_nothing_behind(file: Path) -> None:
    store = SQLiteStore.open(file, clock)
    with closing(sqlite3.connect(file)) as sql:
        sql.execute("ALTER TABLE token RENAME TO gone")
        with pytest.raises(StoreUnavailable):
            await store.settle([CLIENT], USE)
        assert sql.execute("SELECT count(*) FROM arrival").fetchone() == (0,)
        sql.execute("ALTER TABLE gone RENAME TO token")
    assert (await store.settle([CLIENT], USE)).taken
    await store.aclose()


def test_another_programs_database_is_left_alone(file: Path) -> None:
    with closing(sqlite3.connect(file)) as sql:
        sql.execute("CREATE TABLE theirs (a)")
    before = file.read_bytes()
    with pytest.raises(ConfigurationError, match="another program's database"):
        SQLiteStore.open(file, clock)
    assert file.read_bytes() == before


def test_what_is_no_database_stops_the_start(file: Path) -> None:
    file.write_bytes(b"not a database, but long enough to be looked at" * 100)
    with pytest.raises(ConfigurationError, match="cannot hold the limits' counts"):
        SQLiteStore.open(file, clock)


def test_a_directory_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="store: sqlite:FILE"):
        SQLiteStore.open(tmp_path / "missing" / "limits.sqlite", clock)
