"""What the indexes have follows from the size of the tree; what they do not have waits in memory."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing

import pytest

from ca.ct.embedded.index import PREFIX_SIZE, SLICES, STEP, Key, Waiting, indexed_before, waiting_from
from ca.ct.embedded.sequencer import ClockBehind
from ca.ct.embedded.store import Damaged, Store
from tests.ct.embedded.builders import World, submission
from tests.ct.embedded.oracle import check_log

ROUND = SLICES * STEP


def hashes(number: int) -> tuple[bytes, bytes]:
    return hashlib.sha256(b"identity %d" % number).digest(), hashlib.sha256(b"leaf %d" % number).digest()


def read(start: int, end: int) -> list[tuple[bytes, bytes]]:
    return [hashes(number) for number in range(start, end)]


def rows(size: int, kind: int) -> list[Key]:
    """The index of a tree of `size`, as `indexed_before` has it."""
    return [
        (key_hash[:PREFIX_SIZE], number)
        for number in range(size)
        if number < indexed_before(size, key_hash := hashes(number)[kind])
    ]


@pytest.mark.parametrize("batch", [1, 100, 256, 1000])
def test_every_turn_takes_what_the_size_says(batch: int) -> None:
    waiting = Waiting()
    taken: tuple[list[Key], list[Key]] = [], []
    for start in range(0, 3000, batch):
        for rows_so_far, due in zip(taken, waiting.append(read(start, start + batch)), strict=True):
            rows_so_far += due
        assert len(waiting) == 2 * (start + batch) - len(taken[0]) - len(taken[1])
        if (start + batch) % STEP < batch:  # it was somebody's turn
            for kind in range(2):
                assert sorted(taken[kind]) == sorted(rows(start + batch, kind))


def test_an_entry_waits_for_one_round_at_most() -> None:
    waiting = Waiting()
    for start in range(0, 2 * ROUND + 5000, 8192):
        waiting.append(read(start, start + 8192))
        assert len(waiting) <= 2 * ROUND
    assert waiting_from(waiting.size) > ROUND
    assert not list(waiting.candidates(hashes(waiting_from(waiting.size) - 1)[0]))
    assert list(waiting.candidates(hashes(waiting.size - 1)[0])) == [waiting.size - 1]


@pytest.mark.parametrize(
    "size", [0, 1, STEP - 1, STEP, STEP + 1, ROUND - 1, ROUND, ROUND + 1, ROUND + STEP, 2 * ROUND + 3 * STEP + 7]
)
def test_nothing_before_waiting_from_waits(size: int) -> None:
    first = waiting_from(size)
    slices = [bytes([slice_]) + bytes(31) for slice_ in range(SLICES)]
    assert min(indexed_before(size, key_hash) for key_hash in slices) == first
    assert max(indexed_before(size, key_hash) for key_hash in slices) == size // STEP * STEP
    assert size - first < ROUND


@pytest.mark.parametrize(("first", "then"), [(0, 700), (300, 300), (300, 2000), (256, 512), (5, 12_000)])
def test_following_another_process_is_as_having_appended(first: int, then: int) -> None:
    follower = Waiting().follow(first, read).follow(then, read)
    author = Waiting()
    author.append(read(0, then))
    assert follower.size == author.size
    assert len(follower) == len(author)
    for number in range(0, then, 97):
        assert list(follower.candidates(hashes(number)[0])) == list(author.candidates(hashes(number)[0]))


def test_a_long_absence_reads_no_more_than_what_waits() -> None:
    asked: list[tuple[int, int]] = []

    def reading(start: int, end: int) -> list[tuple[bytes, bytes]]:
        asked.append((start, end))
        return read(start, end)

    size = 10 * ROUND + 77
    Waiting().follow(size, reading)
    assert asked[0][0] == waiting_from(size)
    assert asked[-1][1] == size
    assert sum(end - start for start, end in asked) < ROUND


def test_candidates_are_whole_prefixes() -> None:
    """Where the end of one hash's first bytes and the beginning of the next one's look like a third's."""
    waiting = Waiting()
    first, second = b"\x07\x01\x07\x02" + bytes(28), b"\x07\x03\x07\x04" + bytes(28)
    waiting.append([(first, first), (second, second)])
    assert list(waiting.candidates(b"\x07\x02\x07\x03" + bytes(28))) == []
    assert list(waiting.candidates(second)) == [1]
    assert list(waiting.candidates(first[:4] + b"\xff" * 28)) == [0]


# ---- in a log -----------------------------------------------------------------------------------------------


def test_the_file_has_the_rows_that_its_size_says(world: World) -> None:
    sequencer, size = world.sequencer(), 0
    for batch in (1, 254, 1, 300, 1000):
        world.clock.move(0.1)
        sequencer.sequence([submission(number) for number in range(size, size + batch)])
        size += batch
    with closing(sqlite3.connect(world.database)) as sql:
        for kind in ("identity", "leaf_hash"):
            entries = sql.execute(f"SELECT leaf_index, {kind} FROM entry").fetchall()
            expected = {(value[:4], index) for index, value in entries if index < indexed_before(size, value)}
            assert expected
            assert set(sql.execute(f"SELECT prefix, leaf_index FROM {kind}_index")) == expected


def test_entries_are_found_while_they_wait_and_after(world: World) -> None:
    one, other = world.sequencer(), world.sequencer()
    one.sequence([submission(number) for number in range(700)])
    hashes_in_order = [hashlib.sha256(b"\x00" + leaf).digest() for leaf in check_log(world.path).leaves]
    for sequencer in (one, other, world.sequencer()):
        places = sequencer.sequence([submission(number) for number in range(700)])
        assert [place.leaf_index for place in places] == list(range(700))
    with closing(Store.open(world.database, read_only=True)) as store:
        assert [store.index_of(leaf_hash) for leaf_hash in hashes_in_order] == list(range(700))


@pytest.mark.parametrize("table", ["identity", "leaf_hash"])
def test_another_hash_with_the_same_beginning_is_another_hash(world: World, table: str) -> None:
    """In the index: its row for a new submission's hash leads to an entry that is not it."""
    sequencer = world.sequencer()
    sequencer.sequence([submission(number) for number in range(300)])
    wanted = submission(1000).identity
    with closing(sqlite3.connect(world.database)) as sql:
        sql.execute(f"INSERT INTO {table}_index VALUES (?, 17)", (wanted[:4],))
        sql.execute(f"INSERT INTO {table}_index VALUES (?, 170000)", (wanted[:4],))
        sql.commit()
    assert sequencer.store.index_of(wanted) is None
    assert sequencer.sequence([submission(1000)])[0].leaf_index == 300


@pytest.mark.parametrize("wanted", [b"", bytes(4), bytes(31), bytes(33)])
def test_what_is_not_a_hash_is_not_found(world: World, wanted: bytes) -> None:
    sequencer = world.sequencer()
    sequencer.sequence([submission(number) for number in range(300)])
    assert sequencer.store.index_of(wanted) is None


def test_a_batch_that_failed_waits_for_nothing(world: World) -> None:
    sequencer = world.sequencer()
    sequencer.sequence([submission(number) for number in range(250)])
    sequencer.store._sql.execute(  # fails at the last statement before the commit
        "CREATE TEMP TRIGGER broken BEFORE UPDATE ON main.head BEGIN SELECT RAISE(ABORT, 'broken'); END"
    )
    with pytest.raises(sqlite3.IntegrityError, match="broken"):
        sequencer.sequence([submission(number) for number in range(1000, 1300)])
    sequencer.store._sql.execute("DROP TRIGGER broken")
    places = sequencer.sequence([submission(number) for number in range(1300)])
    assert [place.leaf_index for place in places] == list(range(1300))
    with closing(sqlite3.connect(world.database)) as sql:
        for kind in ("identity", "leaf_hash"):
            assert not sql.execute(
                f"SELECT * FROM {kind}_index LEFT JOIN entry USING (leaf_index) WHERE substr({kind}, 1, 4) IS NOT prefix"
            ).fetchall()


def test_a_clock_that_is_set_back_does_not_have_all_that_waits_read_again(world: World) -> None:
    sequencer = world.sequencer()
    sequencer.sequence([submission(number) for number in range(300)])
    world.clock.move(-10)
    statements: list[str] = []
    sequencer.store._sql.set_trace_callback(statements.append)
    for _ in range(2):
        with pytest.raises(ClockBehind):
            sequencer.sequence([submission(300)])
    assert not [statement for statement in statements if statement.startswith("SELECT identity, leaf_hash FROM entry")]


@pytest.mark.parametrize("value", ["x''", "x'00'", "zeroblob(33)"])
def test_a_log_whose_entries_have_lost_their_hashes_does_not_start(world: World, value: str) -> None:
    sequencer = world.sequencer()
    sequencer.sequence([submission(number) for number in range(300)])
    with closing(sqlite3.connect(world.database)) as sql:
        sql.execute(f"UPDATE entry SET identity = {value} WHERE leaf_index = 17")
        sql.commit()
    with pytest.raises(Damaged, match="missing or without their hashes"):
        Waiting().follow(300, sequencer.store.hashes)
