"""The reads behind the log's endpoints, and how the file is made."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ca.ct.embedded.store import Damaged, Store
from ca.errors import ConfigurationError
from tests.ct.embedded.builders import CHAIN, ORIGIN, World, submission
from tests.ct.embedded.oracle import check_log, full_tiles, merkle_leaf


@pytest.fixture
def store(world: World) -> Store:
    sequencer = world.sequencer()
    for start in range(0, 600, 75):
        sequencer.sequence([submission(number) for number in range(start, start + 75)])
    return Store.open(world.database, read_only=True)


def test_tile_leaves_are_the_entries_in_order(world: World, store: Store) -> None:
    leaves = store.tile_leaves(250, 262)
    assert [merkle_leaf(leaf, 250 + at)[0] for at, leaf in enumerate(leaves)] == list(
        check_log(world.path).leaves[250:262]
    )


@pytest.mark.parametrize(("start", "end", "count"), [(0, 600, 600), (599, 700, 1), (600, 700, 0), (5, 5, 0), (7, 3, 0)])
def test_ranges_end_where_the_log_does(store: Store, start: int, end: int, count: int) -> None:
    assert len(store.tile_leaves(start, end)) == count
    assert len(store.entries(start, end)) == count


def test_every_partial_tile_of_every_size_is_served(world: World, store: Store) -> None:
    hashes = [hashlib.sha256(b"\x00" + leaf).digest() for leaf in check_log(world.path).leaves]
    for size in range(1, 601):
        index, width = divmod(size, 256)
        if width:
            assert store.hash_tile(0, index, width) == b"".join(hashes[index * 256 : size])
        if size >= 256:
            assert store.hash_tile(1, 0, size // 256) == b"".join(
                full_tiles_root(hashes[n * 256 : n * 256 + 256]) for n in range(size // 256)
            )
    assert store.hash_tile(0, 1, 256) == full_tiles(hashes)[0, 1]


def full_tiles_root(hashes: list[bytes]) -> bytes:
    from tests.ct.embedded.oracle import mth

    return mth(hashes)


@pytest.mark.parametrize(
    ("level", "index", "width"), [(0, 2, 89), (0, 2, 256), (0, 3, 1), (1, 0, 3), (1, 1, 1), (2, 0, 1), (63, 0, 1)]
)
def test_tiles_that_the_tree_does_not_have_are_none(store: Store, level: int, index: int, width: int) -> None:
    assert store.hash_tile(level, index, width) is None
    with pytest.raises(Damaged):
        store.read_hashes(level, index, width)


def test_issuers_are_found_by_fingerprint(store: Store) -> None:
    assert [store.issuer(hashlib.sha256(der).digest()) for der in CHAIN] == list(CHAIN)
    assert store.issuer(bytes(32)) is None


def test_leaves_are_found_by_hash(world: World, store: Store) -> None:
    leaf = check_log(world.path).leaves[300]
    assert store.index_of(hashlib.sha256(b"\x00" + leaf).digest()) == 300
    assert store.index_of(bytes(32)) is None


def test_the_log_knows_what_it_is(store: Store) -> None:
    assert store.identity().origin == ORIGIN


def test_a_reader_cannot_write(store: Store) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        store.insert_issuers({bytes(32): b""})


def test_a_reader_does_not_keep_the_writer_waiting(world: World, store: Store) -> None:
    sequencer = world.sequencer()
    with store.snapshot():
        assert store.head().size == 600
        sequencer.sequence([submission(1000)])
        assert store.head().size == 600
    assert store.head().size == 601


def test_the_files_are_for_their_owner_alone(world: World, store: Store) -> None:
    files = sorted(world.path.glob("ctlog.sqlite*"))
    assert len(files) == 3
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


def test_an_existing_file_is_not_overwritten(world: World, store: Store) -> None:
    before = world.database.read_bytes()
    with pytest.raises(ConfigurationError, match="exists and is not overwritten"):
        Store.create(world.database, ORIGIN, bytes(32), store.head())
    assert world.database.read_bytes() == before
    assert not list(world.path.glob("*.new"))


def test_a_creation_that_was_cut_short_can_be_repeated(world: World, store: Store, tmp_path: Path) -> None:
    path = tmp_path / "new.sqlite"
    path.with_name("new.sqlite.new").write_bytes(b"half of it")
    Store.create(path, ORIGIN, bytes(32), store.head())
    with closing(Store.open(path)) as created:
        assert created.identity().origin == ORIGIN


def test_opening_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is missing"):
        Store.open(tmp_path / "ctlog.sqlite")
    assert not list(tmp_path.iterdir())


def test_another_applications_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    with closing(sqlite3.connect(path)) as sql:
        sql.execute("CREATE TABLE head (one)")
        sql.commit()
    with pytest.raises(ConfigurationError, match="is not a log's file"):
        Store.open(path)


def test_commits_are_synced(world: World, store: Store) -> None:
    for pragma, value in (("synchronous", 2), ("fullfsync", 1), ("wal_autocheckpoint", 0)):
        assert store._sql.execute(f"PRAGMA {pragma}").fetchone() == (value,)
    assert store._sql.execute("PRAGMA journal_mode").fetchone() == ("wal",)
