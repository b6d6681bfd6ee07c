"""Logs one after the other, their keys and what was last seen of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from ca.ct.embedded.directory import LogDirectory
from ca.ct.embedded.keys import LOG_KEY, LOG_PUBLIC_KEY, NOTE_KEY, create_keys, load_keys
from ca.ct.embedded.store import Store
from ca.errors import ConfigurationError, LogFrozen
from ca.keys.ceremony import write_ca
from tests.ct.embedded.builders import NOW, ORIGIN, Clock, World, submission
from tests.ct.embedded.oracle import check_log

NEXT = "log.example.com/2027h1"


def test_the_first_log_is_in_the_directory_itself(world: World) -> None:
    (shard,) = world.logs.shards()
    assert (shard.directory, shard.origin, shard.frozen) == (world.path, ORIGIN, False)
    assert {path.name for path in world.path.iterdir()} == {
        "ctlog.key.pem",
        "ctlog.pub.pem",
        "ctlog-note.key.pem",
        "ctlog.sqlite",
        "ctlog-seen",
    }


@pytest.mark.anyio
async def test_a_new_log_follows_a_frozen_one_which_stays_readable(world: World) -> None:
    old = world.open()
    await old.add(submission(1))
    await old.freeze()
    await old.aclose()
    world.clock.move(1)
    shard = world.logs.create(NEXT, world.clock())
    assert [shard.origin for shard in world.logs.shards()] == [ORIGIN, NEXT]
    assert world.logs.current() == shard
    new = world.open()
    assert new.origin == NEXT
    assert new.log_id != old.log_id
    await new.add(submission(1))
    await new.aclose()
    assert len(check_log(world.path).leaves) == len(check_log(shard.directory).leaves) == 1
    assert len(Store.open(world.database, read_only=True).tile_leaves(0, 9)) == 1
    again = world.logs.open(world.logs.shards()[0], world.clock)
    with pytest.raises(LogFrozen):
        await again.add(submission(1))
    await again.aclose()


def test_no_two_logs_share_a_key(world: World) -> None:
    shard = world.logs.create(NEXT, NOW)
    assert load_keys(shard.directory).log_id != load_keys(world.path).log_id


def test_what_was_seen_can_be_kept_elsewhere(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    logs = LogDirectory(tmp_path / "data", elsewhere)
    logs.create(ORIGIN, NOW)
    assert len(list(elsewhere.iterdir())) == 1
    assert not (tmp_path / "data" / "ctlog-seen").exists()
    with pytest.raises(ConfigurationError, match="is missing; it holds the last checkpoint seen"):
        LogDirectory(tmp_path / "data").open(logs.current(), Clock())


def test_an_origin_is_used_once(world: World) -> None:
    with pytest.raises(ConfigurationError, match="has a log"):
        world.logs.create(ORIGIN, NOW)


@pytest.mark.parametrize("origin", ["other.example.com/2026h2", "log.example.com/a/2026h2", "2026h2"])
def test_an_origin_that_would_be_served_where_another_is_is_refused(world: World, origin: str) -> None:
    before = sorted(world.path.rglob("*"))
    with pytest.raises(ConfigurationError, match=f"has a log {ORIGIN} already, .* here '2026h2'; choose another"):
        world.logs.create(origin, NOW)
    assert sorted(world.path.rglob("*")) == before


def test_an_origin_that_would_be_served_where_an_older_one_is_is_refused(world: World) -> None:
    world.logs.create(NEXT, world.clock())
    world.clock.move(1)
    world.logs.create("log.example.com/2027h2", world.clock())
    for taken in (ORIGIN, NEXT):
        with pytest.raises(ConfigurationError, match=f"has a log {taken} already"):
            world.logs.create(taken.replace("log.", "other."), NOW)


@pytest.mark.parametrize("name", ["checkpoint", "ct", "issuer", "tile"])
@pytest.mark.parametrize("first", [True, False])
def test_an_origin_that_would_be_served_where_a_log_has_its_paths_is_refused(
    tmp_path: Path, name: str, first: bool
) -> None:
    logs = LogDirectory(tmp_path)
    if not first:
        logs.create(ORIGIN, NOW)
    before = sorted(tmp_path.rglob("*"))
    for origin in (f"log.example.com/{name}", f"log.example.com/a/{name}", name):
        with pytest.raises(ConfigurationError, match=f"ends in '{name}', a path of every log"):
            logs.create(origin, NOW)
    assert sorted(tmp_path.rglob("*")) == before


def test_logs_whose_origins_differ_in_a_slash_alone_keep_apart(world: World) -> None:
    one = world.logs.create("log.example.com/a_b", world.clock())
    other = world.logs.create("log.example.com/a/b", world.clock())
    assert {one.directory.name, other.directory.name} == {"a_b", "b"}


def test_there_is_no_log_until_one_is_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="make one with `dayfly log init`"):
        LogDirectory(tmp_path).current()
    assert not LogDirectory(tmp_path).shards()


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "https://log.example.com/a",
        "log.example.com/",
        "log.example.com/a b",
        "log.example.com/a+b",
        "log.example.com/a\n",
        "log.example.com/../a",
        "log.example.com/.",
        "log.example.com//a",
        "log.example.com/a?b",
        "/a",
        "Ünicode.example",
        "log.example.com/\u2028",
    ],
)
def test_an_origin_that_is_no_prefix_is_refused(tmp_path: Path, origin: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a log's submission prefix"):
        LogDirectory(tmp_path).create(origin, NOW)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("origin", ["localhost:5555/ctlog", "log.example.com", "log.example.com/ct/2026h2"])
def test_an_origin_is_a_prefix_without_scheme(tmp_path: Path, origin: str) -> None:
    assert LogDirectory(tmp_path).create(origin, NOW).origin == origin


# ---- keys ---------------------------------------------------------------------------------------------------


def test_private_keys_are_for_their_owner_alone(world: World) -> None:
    assert {name: (world.path / name).stat().st_mode & 0o777 for name in (LOG_KEY, NOTE_KEY, LOG_PUBLIC_KEY)} == {
        LOG_KEY: 0o600,
        NOTE_KEY: 0o600,
        LOG_PUBLIC_KEY: 0o644,
    }


def test_the_log_key_is_sec1_as_other_logs_read_it(world: World) -> None:
    assert (world.path / LOG_KEY).read_text().startswith("-----BEGIN EC PRIVATE KEY-----")


def test_the_log_key_of_the_ceremony_is_kept(tmp_path: Path) -> None:
    write_ca(tmp_path, "Example", "example", NOW)
    before = (tmp_path / LOG_KEY).read_bytes(), (tmp_path / LOG_PUBLIC_KEY).read_bytes()
    LogDirectory(tmp_path).create(ORIGIN, NOW)
    assert ((tmp_path / LOG_KEY).read_bytes(), (tmp_path / LOG_PUBLIC_KEY).read_bytes()) == before
    check_log(tmp_path)


def test_keys_are_never_overwritten(world: World) -> None:
    before = {path.name: path.read_bytes() for path in world.path.glob("*.pem")}
    with pytest.raises(ConfigurationError, match="exists and is not overwritten"):
        create_keys(world.path)
    assert {path.name: path.read_bytes() for path in world.path.glob("*.pem")} == before


def test_a_public_key_without_its_private_key_is_no_place_for_a_new_one(world: World, tmp_path: Path) -> None:
    lost = tmp_path / "lost"
    lost.mkdir()
    (lost / LOG_PUBLIC_KEY).write_bytes((world.path / LOG_PUBLIC_KEY).read_bytes())
    with pytest.raises(ConfigurationError, match="put that back"):
        create_keys(lost)
    assert not (lost / LOG_KEY).exists()


def p384() -> bytes:
    return generate_private_key(SECP384R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def ed25519(encryption=NoEncryption()) -> bytes:  # noqa: B008
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (LOG_KEY, p384(), "is not an ECDSA P-256 key"),
        (LOG_KEY, ed25519(), "is not an ECDSA P-256 key"),
        (LOG_KEY, b"", "is not a private key in PEM"),
        (LOG_PUBLIC_KEY, b"-----BEGIN PUBLIC KEY-----\n", "is not a public key in PEM"),
        (NOTE_KEY, p384(), "is not an Ed25519 key"),
        (NOTE_KEY, b"garbage", "is not a private key in PEM"),
        (NOTE_KEY, ed25519(BestAvailableEncryption(b"secret")), "is encrypted"),
    ],
)
def test_a_file_that_holds_no_such_key_is_named(world: World, name: str, content: bytes, said: str) -> None:
    (world.path / name).write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        load_keys(world.path)
    assert caught.value.detail.startswith(f"{world.path / name}: {said}")


def test_a_public_key_of_another_log_is_refused(world: World) -> None:
    other = world.logs.create(NEXT, NOW)
    (world.path / LOG_PUBLIC_KEY).write_bytes((other.directory / LOG_PUBLIC_KEY).read_bytes())
    with pytest.raises(ConfigurationError, match="is not the public key of ctlog"):
        load_keys(world.path)
