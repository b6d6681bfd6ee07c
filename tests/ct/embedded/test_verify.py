"""`verify` reads everything again; whatever is changed in a file, it finds."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from ca.ct.embedded.keys import load_keys
from ca.ct.embedded.sequencer import Sequencer
from ca.ct.embedded.verify import Progress, verify
from ca.errors import ConfigurationError
from tests.ct.embedded.builders import World, certificate, submission


@pytest.fixture
def sequencer(world: World) -> Sequencer:
    sequencer = world.sequencer()
    for start in range(0, 600, 100):
        world.clock.move(0.1)
        sequencer.sequence([submission(number) for number in range(start, start + 99)] + [certificate(start)])
    return sequencer


def steps(world: World) -> list[Progress]:
    return list(verify(world.database, load_keys(world.path)))


def test_a_good_log_ends_without_a_word(world: World, sequencer: Sequencer) -> None:
    assert steps(world) == [Progress(0, 600), Progress(256, 600), Progress(512, 600), Progress(600, 600)]


def test_an_empty_log_is_good(world: World) -> None:
    assert steps(world) == [Progress(0, 0)]


def test_a_log_that_grows_meanwhile_is_verified_as_it_was(world: World, sequencer: Sequencer) -> None:
    progress = verify(world.database, load_keys(world.path))
    assert next(progress).total == 600
    sequencer.sequence([submission(number) for number in range(1000, 2000)])
    assert list(progress)[-1] == Progress(600, 600)


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


def test_one_flipped_bit_is_found_wherever_it_is(world: World) -> None:
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
