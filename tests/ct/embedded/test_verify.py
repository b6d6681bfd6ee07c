"""`verify` reads everything again; whatever is changed in a file, it finds."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from ca.ct.embedded.keys import load_keys
from ca.ct.embedded.sequencer import Sequencer
from ca.ct.embedded.store import Store
from ca.ct.embedded.verify import Progress, verify
from ca.ct.model import Submission
from ca.errors import ConfigurationError
from tests.ct.embedded.builders import CHAIN, World, certificate, submission


@pytest.fixture
def sequencer(world: World) -> Sequencer:
    sequencer = world.sequencer()
    for start in range(0, 600, 100):
        world.clock.move(0.1)
        sequencer.sequence([submission(number) for number in range(start, start + 99)] + [certificate(start)])
    return sequencer


def steps(world: World) -> list[Progress]:
    return list(verify(world.database, load_keys(world.path), world.marker))


def test_a_good_log_ends_without_a_word(world: World, sequencer: Sequencer) -> None:
    assert steps(world) == [Progress(0, 600), Progress(256, 600), Progress(512, 600), Progress(600, 600)]


def test_an_empty_log_is_good(world: World) -> None:
    assert steps(world) == [Progress(0, 0)]


def test_a_log_that_grows_meanwhile_is_verified_as_it_was(world: World, sequencer: Sequencer) -> None:
    progress = verify(world.database, load_keys(world.path), world.marker)
    assert next(progress).total == 600
    sequencer.sequence([submission(number) for number in range(1000, 2000)])
    assert list(progress)[-1] == Progress(600, 600)


def test_an_old_copy_is_found(world: World, sequencer: Sequencer) -> None:
    sequencer.store.checkpoint_wal("TRUNCATE")
    old = world.database.read_bytes()
    sequencer.sequence([submission(1000)])
    world.marker.advance(sequencer.store.head().checkpoint)
    sequencer.store.close()
    world.database.write_bytes(old)
    with pytest.raises(ConfigurationError, match=r"has 600 entries, and 601 were seen before .* it is an old copy"):
        steps(world)


def test_another_tree_under_the_same_keys_is_found(world: World, sequencer: Sequencer, tmp_path: Path) -> None:
    """A copy that went on by itself, beside the log whose checkpoint was seen."""
    sequencer.store.checkpoint_wal("TRUNCATE")
    old = world.database.read_bytes()
    sequencer.sequence([submission(1000)])
    world.marker.advance(sequencer.store.head().checkpoint)
    sequencer.store.close()
    seen = world.marker.path.read_text()
    world.database.write_bytes(old)
    world.marker.path.unlink()
    other = Sequencer(Store.open(world.database), load_keys(world.path), world.clock)
    other.sequence([submission(2000), submission(2001)])
    other.store.close()
    world.marker.path.write_text(seen)
    with pytest.raises(ConfigurationError, match="is another tree than the one seen before with 601 entries"):
        steps(world)


def test_a_lost_marker_is_said(world: World, sequencer: Sequencer) -> None:
    world.marker.path.unlink()
    with pytest.raises(ConfigurationError, match="is missing; it holds the last checkpoint seen"):
        steps(world)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (replace(submission(17), precertificate=submission(18).precertificate), "its precertificate is another"),
        (replace(submission(17), precertificate=submission(17, again=True).precertificate[:-1]), "is not version 3"),
        (replace(submission(17), precertificate=certificate(17).certificate), "is no precertificate"),
        (replace(submission(17), chain=CHAIN[:1]), "its chain ends in no root"),
        (replace(submission(17), chain=CHAIN[1:]), "is not signed by the next one"),
        (replace(submission(17), chain=()), "its chain ends in no root"),
        (replace(submission(17), issuer_key_hash=bytes(32)), "its precertificate is another"),
        (replace(certificate(17), certificate=b"no certificate"), "is not version 3"),
    ],
)
def test_an_entry_that_the_log_would_not_take_is_found(world: World, entry: Submission, said: str) -> None:
    """The tree hashes neither the precertificate's signature nor the chain, so a good root says nothing of them."""
    world.sequencer().sequence([submission(1), entry])
    with pytest.raises(ConfigurationError, match=f"entry 1 is damaged: .*{said}"):
        steps(world)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE entry SET tile_leaf = zeroblob(length(tile_leaf)) WHERE leaf_index = 17", "entry 17 is damaged"),
        ("UPDATE entry SET leaf_hash = zeroblob(32) WHERE leaf_index = 17", "entry 17 is damaged"),
        ("UPDATE entry SET identity = zeroblob(32) WHERE leaf_index = 17", "its identity is another"),
        ("UPDATE entry SET timestamp = timestamp + 1 WHERE leaf_index = 17", "its time is not the one stored"),
        ("DELETE FROM entry WHERE leaf_index = 17", "1 of the entries from 0 to 255 are missing"),
        ("DELETE FROM entry WHERE leaf_index = 599", "1 of the entries from 512 to 599 are missing"),
        ("DELETE FROM tile WHERE tile_index = 0", "tile 0 of level 0 is missing"),
        ("UPDATE tile SET hashes = zeroblob(8192) WHERE tile_index = 1", "entry 256 is damaged"),
        (
            "DELETE FROM identity_index WHERE leaf_index = (SELECT min(leaf_index) FROM identity_index)",
            "by identity lacks",
        ),
        (
            "DELETE FROM leaf_hash_index WHERE leaf_index = (SELECT max(leaf_index) FROM leaf_hash_index)",
            "hash lacks it",
        ),
        ("INSERT INTO identity_index VALUES (x'01020304', 17)", "have 1 rows that are of no entry"),
        ("INSERT INTO leaf_hash_index VALUES (x'01020304', 17)", "have 1 rows that are of no entry"),
        ("INSERT INTO tile VALUES (0, 2, zeroblob(8192))", "entry 512 is damaged"),
        ("INSERT INTO tile VALUES (0, 3, zeroblob(8192))", "tile 3 of level 0 is not of this tree"),
        ("INSERT INTO tile VALUES (1, 0, zeroblob(8192))", "tile 0 of level 1 is not of this tree"),
        ("DELETE FROM issuer WHERE fingerprint = (SELECT min(fingerprint) FROM issuer)", "is missing or damaged"),
        (
            "UPDATE issuer SET der = x'00' WHERE fingerprint = (SELECT min(fingerprint) FROM issuer)",
            "is missing or damaged",
        ),
        ("UPDATE head SET root = zeroblob(32)", "is not the one that its checkpoint signs"),
        ("UPDATE head SET edge = zeroblob(length(edge))", "entry 512 is damaged"),
        ("UPDATE head SET edge = substr(edge, 1, length(edge) - 1)", "the edge has"),
        ("UPDATE head SET timestamp = timestamp + 1", "is not the one that its checkpoint signs"),
        (
            "UPDATE head SET checkpoint = replace(checkpoint, 'log.example', 'log.elpmaxe')",
            "not signed by the log's keys",
        ),
        ("UPDATE log SET origin = 'log.example.com/other'", "not signed by the log's keys"),
        ("UPDATE log SET log_id = zeroblob(32)", "belongs to the log 0000"),
    ],
)
def test_what_was_changed_is_found(world: World, sequencer: Sequencer, statement: str, said: str) -> None:
    with closing(sqlite3.connect(world.database)) as sql:
        assert sql.execute(statement).rowcount == 1
        sql.commit()
    with pytest.raises(ConfigurationError) as caught:
        steps(world)
    assert said in caught.value.detail
    assert caught.value.detail.startswith(f"{world.database}: ")


# ---- one flipped bit ----------------------------------------------------------------------------------------

UNSIGNED = {("log", "created"), ("head", "frozen")}
"""What no signature covers: when the log was made, and that it takes no more."""


def columns(database: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(database)) as sql:
        tables = [name for (name,) in sql.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return [(table, row[1]) for table in tables for row in sql.execute(f"PRAGMA table_info({table})")]


def flips(value: int | str | bytes) -> Iterator[int | str | bytes]:
    """The same with one bit changed: a bit of each byte."""
    match value:
        case int():
            yield from (value ^ 1 << bit for bit in range(0, 48, 5))
        case str():
            yield from (f"{value[:at]}{chr(ord(value[at]) ^ 1 << at % 5)}{value[at + 1 :]}" for at in range(len(value)))
        case bytes():
            yield from (value[:at] + bytes([value[at] ^ 1 << at % 8]) + value[at + 1 :] for at in range(len(value)))


def missed(world: World, table: str, column: str, row: int, every: int = 1) -> list[int]:
    """Which flips of a column's value in the `row`-th row of its table `verify` lets pass."""
    with closing(sqlite3.connect(world.database, isolation_level=None)) as sql:
        sql.execute("PRAGMA ignore_check_constraints = ON")
        keys = [row[1] for row in sql.execute(f"PRAGMA table_info({table})") if row[5]]
        key = sql.execute(f"SELECT {','.join(keys)} FROM {table} LIMIT 1 OFFSET {row}").fetchone()
        where = " AND ".join(f"{name} = ?" for name in keys)
        (value,) = sql.execute(f"SELECT {column} FROM {table} WHERE {where}", key).fetchone()
        passed = []
        for number, flipped in enumerate(flips(value)):
            if number % every:
                continue
            changed_key = [flipped if name == column else part for name, part in zip(keys, key, strict=True)]
            try:
                assert sql.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (flipped, *key)).rowcount == 1
            except sqlite3.IntegrityError:
                continue  # another row has that key
            try:
                steps(world)
                passed.append(number)
            except ConfigurationError:
                pass
            sql.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (value, *changed_key))
        return passed


def test_one_flipped_bit_is_found_in_every_byte_of_every_column(world: World) -> None:
    sequencer = world.sequencer()
    sequencer.sequence([submission(1), certificate(2)])
    sequencer.store.close()
    passed = {
        (table, column)
        for table, column in columns(world.database)
        for row in range({"entry": 2, "issuer": 2, "tile": 0, "identity_index": 0, "leaf_hash_index": 0}.get(table, 1))
        if missed(world, table, column, row)
    }
    assert passed == UNSIGNED
    assert steps(world)[-1] == Progress(2, 2)


@pytest.mark.parametrize("row", [0, 1])
@pytest.mark.parametrize("column", ["level", "tile_index", "hashes"])
def test_one_flipped_bit_is_found_in_every_column_of_a_tile(world: World, column: str, row: int) -> None:
    sequencer = world.sequencer()
    sequencer.sequence([submission(number) for number in range(512)])
    sequencer.store.close()
    assert not missed(world, "tile", column, row, every=997 if column == "hashes" else 1)


@pytest.mark.parametrize("table", ["identity_index", "leaf_hash_index"])
@pytest.mark.parametrize("column", ["prefix", "leaf_index"])
def test_one_flipped_bit_is_found_in_every_column_of_an_index(world: World, table: str, column: str) -> None:
    sequencer = world.sequencer()
    sequencer.sequence([submission(number) for number in range(1024)])
    sequencer.store.close()
    assert not missed(world, table, column, row=0)


def test_one_flipped_bit_is_found_in_every_page_of_the_file(world: World) -> None:
    """In the file itself, at every page: in what is stored, or in SQLite's own structures."""
    sequencer = world.sequencer()
    sequencer.sequence([submission(number) for number in range(300)])
    sequencer.store.close()
    data = world.database.read_bytes()
    missed = []
    for page in range(0, len(data), 4096):
        content = max(range(page, page + 4096), key=lambda at: data[at])  # not in a page's unused middle
        world.database.write_bytes(data[:content] + bytes([data[content] ^ 4]) + data[content + 1 :])
        try:
            steps(world)
            missed.append(content)
        except ConfigurationError:
            pass
    assert not missed, f"of {len(data) // 4096} pages"
