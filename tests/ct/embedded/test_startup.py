"""What a log refuses to start with, why it says so, and that nothing is lost by it."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ca.ct.embedded.directory import LogDirectory
from ca.ct.embedded.keys import LOG_KEY, LOG_PUBLIC_KEY, NOTE_KEY
from ca.errors import ConfigurationError
from tests.ct.embedded.builders import NOW, ORIGIN, World, submission
from tests.ct.embedded.oracle import check_log


@pytest.fixture
def used(world: World) -> World:
    """A log with 300 entries, closed, whose last checkpoint was recorded."""
    sequencer = world.sequencer()
    sequencer.sequence([submission(number) for number in range(300)])
    world.marker.advance(sequencer.store.head().checkpoint)
    sequencer.store.close()
    return world


def refusal(world: World) -> str:
    with pytest.raises(ConfigurationError) as caught:
        world.sequencer()
    return caught.value.detail


def change(database: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(database)) as sql:
        assert sql.execute(statement, values).rowcount == 1
        sql.commit()


def flipped(database: Path, table: str, column: str, where: str, at: int) -> None:
    with closing(sqlite3.connect(database)) as sql:
        (value,) = sql.execute(f"SELECT {column} FROM {table} WHERE {where}").fetchone()
        damaged = value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :]
        sql.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (damaged,))
        sql.commit()


def test_a_log_in_order_starts_where_it_stopped(used: World) -> None:
    before = check_log(used.path)
    assert used.sequencer().sequence([submission(300)])[0].leaf_index == 300
    check_log(used.path, before)


def test_a_log_that_was_not_recorded_last_starts(used: World) -> None:
    """Its end came before the last checkpoint was recorded: newer than what was seen is in order."""
    sequencer = used.sequencer()
    sequencer.sequence([submission(number) for number in range(300, 600)])
    sequencer.store.close()
    assert used.sequencer().sequence([submission(600)])[0].leaf_index == 600


def test_what_a_process_that_died_left_is_written_again_before_it_counts(used: World, tmp_path: Path) -> None:
    """What is only in the write-ahead log may be in a cache alone, after a sync that failed."""
    running = used.sequencer()
    running.sequence([submission(300)])
    died = World(tmp_path / "died", clock=used.clock)
    shutil.copytree(used.path, died.path)
    log = died.path / "ctlog.sqlite-wal"
    assert log.stat().st_size > 0
    assert died.sequencer().store.last_index() == 300
    assert log.stat().st_size == 0
    check_log(died.path)


def test_a_missing_database_is_no_new_log(used: World) -> None:
    used.database.unlink()
    assert f"{used.database}: is missing, but the log was seen before" in refusal(used)
    with pytest.raises(ConfigurationError, match="is missing, but a log was seen before"):
        used.logs.current()
    with pytest.raises(ConfigurationError, match="was seen before; a log must not begin again"):
        used.logs.create(ORIGIN, NOW)
    assert not used.database.exists()


def test_a_missing_database_that_was_never_seen_is_not_made(used: World) -> None:
    used.database.unlink()
    used.marker.path.unlink()
    assert "is missing" in refusal(used)
    assert not used.database.exists()
    with pytest.raises(ConfigurationError, match=NOTE_KEY):  # the keys have had a log
        used.logs.create("log.example.com/another", NOW)


def test_an_old_copy_is_refused(used: World, tmp_path: Path) -> None:
    copy = tmp_path / "backup"
    shutil.copy(used.database, copy)
    sequencer = used.sequencer()
    sequencer.sequence([submission(number) for number in range(300, 310)])
    used.marker.advance(sequencer.store.head().checkpoint)
    sequencer.store.close()
    shutil.copy(copy, used.database)
    assert "has 300 entries, and 310 were seen before" in refusal(used)


def test_an_old_copy_that_has_grown_again_is_refused(used: World, tmp_path: Path) -> None:
    """As long as the one seen, and another tree."""
    copy, marker = tmp_path / "backup", tmp_path / "marker"
    shutil.copy(used.database, copy)
    shutil.copy(used.marker.path, marker)
    sequencer = used.sequencer()
    sequencer.sequence([submission(number) for number in range(300, 310)])
    used.marker.advance(sequencer.store.head().checkpoint)
    newer = used.marker.path.read_bytes()
    sequencer.store.close()
    shutil.copy(copy, used.database)
    shutil.copy(marker, used.marker.path)
    other = used.sequencer()
    other.sequence([submission(number) for number in range(400, 420)])
    other.store.close()
    used.marker.path.write_bytes(newer)
    assert "is another tree than the one seen before with 310 entries" in refusal(used)


def test_a_lost_marker_is_not_taken_for_a_new_log(used: World) -> None:
    used.marker.path.unlink()
    detail = refusal(used)
    assert detail.startswith(f"{used.marker.path}: is missing")
    assert "such as a monitor" in detail


def test_a_marker_from_a_monitor_will_do(used: World) -> None:
    with closing(sqlite3.connect(used.database)) as sql:
        (checkpoint,) = sql.execute("SELECT checkpoint FROM head").fetchone()
    used.marker.path.write_text(checkpoint, "utf-8")
    used.sequencer()


@pytest.mark.parametrize("content", ["", "garbage\n", "log.example.com/2026h2\n1\nAAAA\n\n", "\x00"])
def test_a_damaged_marker_is_refused(used: World, content: str) -> None:
    used.marker.path.write_text(content)
    assert "is not a checkpoint of log.example.com/2026h2" in refusal(used)


def test_the_marker_of_another_log_is_refused(used: World, tmp_path: Path) -> None:
    other = World(tmp_path / "other").create()
    used.marker.path.write_bytes(other.marker.path.read_bytes())
    assert "is not a checkpoint of log.example.com/2026h2 by the log's keys" in refusal(used)


def test_the_database_of_another_log_is_refused(used: World, tmp_path: Path) -> None:
    other = World(tmp_path / "other").create()
    shutil.copy(other.database, used.database)
    assert "put the key back that was made with this log" in refusal(used)


def test_another_note_key_is_refused(used: World, tmp_path: Path) -> None:
    other = World(tmp_path / "other").create()
    shutil.copy(other.path / NOTE_KEY, used.path / NOTE_KEY)
    assert "the head's checkpoint is not signed by the log's keys" in refusal(used)


def test_a_clock_behind_the_log_is_refused(used: World) -> None:
    used.clock.move(-2.1)
    assert "2.1 s behind the log's last tree head; correct the clock" in refusal(used)
    used.clock.move(0.2)
    used.sequencer()


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE head SET root = zeroblob(32)", "its edge does not hash to its root"),
        ("UPDATE head SET size = 299", "the edge has"),
        ("UPDATE head SET size = 1", "the edge has"),
        ("UPDATE head SET edge = substr(edge, 2)", "the edge has"),
        ("UPDATE head SET timestamp = timestamp - 1", "is not the one that its checkpoint signs"),
        ("UPDATE head SET checkpoint = replace(checkpoint, '300', '301')", "not signed by the log's keys"),
        ("UPDATE head SET checkpoint = ''", "not signed by the log's keys"),
        ("DELETE FROM entry WHERE leaf_index = 299", "from 0 to 299 some are missing"),
        ("DELETE FROM entry WHERE leaf_index = 298", "from 0 to 299 some are missing"),
        ("UPDATE entry SET timestamp = 1 WHERE leaf_index = 299", "entry 299 is damaged: its time"),
        (
            "UPDATE entry SET tile_leaf = CAST(tile_leaf || x'00' AS BLOB) WHERE leaf_index = 299",
            "entry 299 is damaged",
        ),
        ("UPDATE entry SET leaf_hash = zeroblob(32) WHERE leaf_index = 256", "entry 256 is damaged"),
    ],
)
def test_a_damaged_file_is_refused(used: World, statement: str, said: str) -> None:
    change(used.database, statement)
    detail = refusal(used)
    assert said in detail
    assert detail.startswith(f"{used.database}: ")
    assert "put the newest good copy of the file back" in detail


@pytest.mark.parametrize("at", [0, 7, 9, 30, 45, 100, 250, 300, 500])
def test_one_flipped_bit_in_the_last_entry_is_refused(used: World, at: int) -> None:
    """Wherever it is hashed; what stands beside the leaf is for `verify`."""
    flipped(used.database, "entry", "tile_leaf", "leaf_index = 299", at)
    if at <= 254:  # the MerkleTreeLeaf
        assert "entry 299 is damaged" in refusal(used)
    else:
        used.sequencer()


@pytest.mark.parametrize("at", [0, 31, 32, 1000])
def test_one_flipped_bit_in_the_edge_is_refused(used: World, at: int) -> None:
    flipped(used.database, "head", "edge", "one = 0", at)
    assert "the head is damaged" in refusal(used)


def test_a_last_tile_that_is_full_is_checked_too(used: World) -> None:
    sequencer = used.sequencer()
    sequencer.sequence([submission(number) for number in range(300, 512)])
    sequencer.store.close()
    flipped(used.database, "tile", "hashes", "level = 0 AND tile_index = 1", 8191)
    assert "entry 511 is damaged" in refusal(used)


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\x00", b"not a database" * 1000])
def test_a_file_that_is_no_log_is_refused(used: World, content: bytes) -> None:
    used.database.write_bytes(content)
    assert refusal(used).startswith(f"{used.database}: ")


def test_a_truncated_file_is_refused(used: World) -> None:
    data = used.database.read_bytes()
    used.database.write_bytes(data[: len(data) // 2])
    assert "put the newest good copy of the file back" in refusal(used)


@pytest.mark.parametrize("version", [0, 1, 3])
def test_another_schema_is_refused(used: World, version: int) -> None:
    with closing(sqlite3.connect(used.database)) as sql:
        sql.execute(f"PRAGMA user_version = {version}")
    assert f"has schema {version}, this Dayfly knows 2; run the version that wrote it" in refusal(used)


@pytest.mark.parametrize("name", [LOG_KEY, LOG_PUBLIC_KEY, NOTE_KEY])
def test_a_missing_key_is_refused(used: World, name: str) -> None:
    (used.path / name).unlink()
    with pytest.raises(ConfigurationError, match=name):
        LogDirectory(used.path).open(used.logs.current(), used.clock)
