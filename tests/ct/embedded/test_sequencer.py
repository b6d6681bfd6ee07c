"""What is appended, and what never is. After every step the oracle reads the whole log again."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from ca.ct.embedded.sequencer import ClockBehind, Frozen, Sequencer, milliseconds
from ca.ct.embedded.store import Damaged, Store
from tests.ct.embedded.builders import ISSUER_KEY_HASH, World, certificate, submission
from tests.ct.embedded.oracle import check_log, check_promise


def sequenced(sequencer: Sequencer, numbers: range) -> list[int]:
    return [place.leaf_index for place in sequencer.sequence([submission(number) for number in numbers])]


def test_a_new_log_is_the_empty_tree(world: World) -> None:
    assert check_log(world.path).leaves == ()


def test_batches_grow_the_tree_across_tile_boundaries(world: World) -> None:
    sequencer = world.sequencer()
    tree = check_log(world.path)
    done = 0
    for size in (1, 2, 3, 249, 1, 1, 254, 1, 1, 300, 700):
        world.clock.move(0.01)
        assert sequenced(sequencer, range(done, done + size)) == list(range(done, done + size))
        tree = check_log(world.path, tree)
        done += size
    assert len(tree.leaves) == done


def test_level_one_fills_at_65536(world: World) -> None:
    sequencer = world.sequencer()
    for start in range(0, 65_537, 4096):
        world.clock.move(0.01)
        sequenced(sequencer, range(start, min(start + 4096, 65_537)))
    tree = check_log(world.path)
    assert len(tree.leaves) == 65_537
    with closing(Store.open(world.database, read_only=True)) as store:
        assert store.hash_tile(1, 0, 256) is not None
        assert store.hash_tile(2, 0, 1) is not None
        assert store.hash_tile(2, 0, 2) is None


def test_every_promise_is_for_a_leaf_of_the_tree(world: World) -> None:
    sequencer = world.sequencer()
    submissions = [submission(number) for number in range(300)]
    places = sequencer.sequence(submissions)
    tree = check_log(world.path)
    for number, place in enumerate(places):
        sct = sequencer.sct(place)
        assert check_promise(world.path, tree, sct, submissions[number].certificate, ISSUER_KEY_HASH) == number


def test_a_certificate_is_logged_as_one(world: World) -> None:
    world.sequencer().sequence([certificate(), submission()])
    leaves = check_log(world.path).leaves
    assert leaves[0][10:12] == b"\x00\x00"
    assert leaves[1][10:12] == b"\x00\x01"


def test_a_batch_has_one_time_which_is_that_of_its_tree_head(world: World) -> None:
    places = world.sequencer().sequence([submission(number) for number in range(5)])
    assert {place.timestamp for place in places} == {check_log(world.path).timestamp}


def test_tree_heads_get_younger_even_where_the_clock_stands(world: World) -> None:
    sequencer = world.sequencer()
    times = [sequencer.sequence([submission(number)])[0].timestamp for number in range(3)]
    first = milliseconds(world.clock())
    assert times == [first + 1, first + 2, first + 3]
    assert sequencer.ahead() == 3


def test_a_resubmission_gets_the_same_sct_to_the_byte(world: World) -> None:
    sequencer = world.sequencer()
    first = sequencer.sct(sequencer.sequence([submission(1)])[0])
    before = check_log(world.path)
    world.clock.move(100)
    again = sequencer.sct(sequencer.sequence([submission(1, again=True)])[0])
    assert again.encode() == first.encode()
    assert check_log(world.path, before) == before


def test_the_same_twice_in_a_batch_is_one_entry(world: World) -> None:
    batch = [submission(1), submission(2), submission(1, again=True), submission(2)]
    assert [place.leaf_index for place in world.sequencer().sequence(batch)] == [0, 1, 0, 1]
    assert len(check_log(world.path).leaves) == 2


def test_old_and_new_in_one_batch_keep_apart(world: World) -> None:
    sequencer = world.sequencer()
    sequenced(sequencer, range(3))
    assert sequenced(sequencer, range(1, 6)) == [1, 2, 3, 4, 5]
    check_log(world.path)


def test_the_same_tbs_under_another_issuer_key_is_another_entry(world: World) -> None:
    from dataclasses import replace

    other = replace(submission(1), issuer_key_hash=bytes(32))
    assert [place.leaf_index for place in world.sequencer().sequence([submission(1), other])] == [0, 1]


def test_a_certificate_is_not_the_precertificate_with_its_bytes(world: World) -> None:
    from dataclasses import replace

    same_bytes = replace(certificate(), certificate=ISSUER_KEY_HASH + submission().certificate)
    places = world.sequencer().sequence([submission(), same_bytes])
    assert [place.leaf_index for place in places] == [0, 1]


def test_more_than_a_statement_holds_is_looked_up(world: World) -> None:
    sequencer = world.sequencer()
    sequenced(sequencer, range(700))
    assert sequenced(sequencer, range(700)) == list(range(700))


def test_two_on_one_file_take_turns(world: World) -> None:
    """Each goes on from what the other has committed, and neither signs a tree of its own."""
    one, other = world.sequencer(), world.sequencer()
    tree = check_log(world.path)
    for turn in range(12):
        world.clock.move(0.01)
        sequencer = (one, other, other)[turn % 3]
        assert sequenced(sequencer, range(turn * 50, turn * 50 + 50)) == list(range(turn * 50, turn * 50 + 50))
        tree = check_log(world.path, tree)
    assert sequenced(one, range(600)) == sequenced(other, range(600)) == list(range(600))


def test_an_old_timestamp_of_another_process_is_not_undercut(world: World) -> None:
    ahead, behind = world.sequencer(), world.sequencer()
    world.clock.move(1)
    later = ahead.sequence([submission(1)])[0].timestamp
    world.clock.move(-1)
    assert behind.sequence([submission(2)])[0].timestamp == later + 1


def test_nothing_is_taken_while_the_clock_is_set_back(world: World) -> None:
    sequencer = world.sequencer()
    sequenced(sequencer, range(2))
    before = check_log(world.path)
    world.clock.move(-2.1)
    with pytest.raises(ClockBehind, match=r"2\.1 s behind"):
        sequenced(sequencer, range(2, 4))
    assert check_log(world.path) == before
    world.clock.move(2.2)
    assert sequenced(sequencer, range(2, 4)) == [2, 3]


def test_a_frozen_log_takes_nothing_in_any_process(world: World) -> None:
    one, other = world.sequencer(), world.sequencer()
    sequenced(one, range(3))
    before = check_log(world.path)
    one.freeze()
    after = check_log(world.path, before)
    assert after.root == before.root
    assert after.timestamp > before.timestamp
    for sequencer in (one, other, world.sequencer()):
        with pytest.raises(Frozen):
            sequenced(sequencer, range(3, 4))
    one.freeze()
    assert check_log(world.path) == after


@pytest.mark.parametrize("failing", ["insert_entries", "insert_tiles", "insert_issuers", "replace_head", "commit"])
def test_a_batch_that_fails_leaves_the_log_as_it_was(world: World, failing: str) -> None:
    sequencer = world.sequencer()
    sequenced(sequencer, range(250))
    before = check_log(world.path)

    class Full(Store):
        """A store whose disk is full at one step, and not again."""

    def fail(*_: object) -> None:
        delattr(Full, failing)
        raise sqlite3.OperationalError("database or disk is full")

    setattr(Full, failing, fail)
    sequencer._store.__class__ = Full
    with pytest.raises(sqlite3.OperationalError):
        sequenced(sequencer, range(250, 260))
    assert check_log(world.path) == before
    assert sequenced(sequencer, range(250, 260)) == list(range(250, 260))
    check_log(world.path, before)


def test_a_disk_that_is_full_costs_the_batch_and_nothing_else(world: World) -> None:
    sequencer = world.sequencer()
    sequenced(sequencer, range(10))
    before = check_log(world.path)
    pages = sequencer.store._sql.execute("PRAGMA page_count").fetchone()[0]
    sequencer.store._sql.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        sequenced(sequencer, range(10, 300))
    assert check_log(world.path) == before
    sequencer.store._sql.execute("PRAGMA max_page_count = 1000000")
    assert sequenced(sequencer, range(10, 300)) == list(range(10, 300))
    check_log(world.path, before)


def test_a_head_that_goes_back_is_not_followed(world: World) -> None:
    """Somebody writes an older head into the file of a running log."""
    sequencer = world.sequencer()
    sequenced(sequencer, range(5))
    with closing(sqlite3.connect(world.database)) as sql:
        older = sql.execute("SELECT * FROM head").fetchone()
        sequenced(sequencer, range(5, 9))
        sql.execute("DELETE FROM head")
        sql.execute("INSERT INTO head VALUES (?, ?, ?, ?, ?, ?, ?)", older)
        sql.commit()
    with pytest.raises(Damaged, match="from 9 entries to 5"):
        sequenced(sequencer, range(9, 10))


def test_an_edge_that_another_process_damaged_is_not_built_on(world: World) -> None:
    sequencer, other = world.sequencer(), world.sequencer()
    sequenced(other, range(5))
    with closing(sqlite3.connect(world.database)) as sql:
        sql.execute("UPDATE head SET edge = zeroblob(length(edge))")
        sql.commit()
    with pytest.raises(Damaged, match="does not hash to its root"):
        sequenced(sequencer, range(5, 6))
