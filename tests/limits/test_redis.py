"""Redis as the store: how it is reached, and what is asked of it."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ca.errors import ConfigurationError
from ca.limits.model import Charge, StoreUnavailable, TokenUse
from ca.limits.rate import SECOND, Rate
from ca.limits.redis import RedisStore
from ca.limits.settings import RedisSettings
from tests.process import free_port
from tests.redis_server import RedisServer, needs_redis, redis_server

pytestmark = [pytest.mark.anyio, needs_redis]

CHARGES = [Charge(limit, limit.encode(), Rate(SECOND, 100)) for limit in ("client", "issuer", "identity")]
USE = TokenUse(b"t" * 32, b"k" * 32, 0, 60 * SECOND)
ACL = "user dayfly on >hunter2 resetkeys ~{dayfly}:* -@all +eval +evalsha +script|load +get +set +time +ping +select"


def settings(directory: Path, **fields: object) -> RedisSettings:
    (directory / "password").write_text("hunter2\n")
    return RedisSettings.model_validate({"password-file": directory / "password", **fields})


async def counts(url: str, redis: RedisSettings) -> bool:
    store = RedisStore(url, redis)
    try:
        return (await store.settle(CHARGES, USE)).taken
    finally:
        await store.aclose()


async def counts_in_time(url: str, redis: RedisSettings) -> bool:
    try:
        return await counts(url, redis)
    except StoreUnavailable:
        return False


async def test_a_request_is_one_round_trip_whatever_it_takes(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        store = RedisStore(server.url, RedisSettings())
        await store.settle(CHARGES, USE)  # which also brings the script
        server.command("CONFIG", "RESETSTAT")
        for _ in range(10):
            await store.settle(CHARGES, USE)
        await store.aclose()
        stats = server.command("INFO", "commandstats")
        assert isinstance(stats, dict)
        assert stats["cmdstat_evalsha"]["calls"] == 10
        # What the script itself calls is counted too.
        inside = {"cmdstat_get", "cmdstat_set", "cmdstat_time"}
        ours = {"cmdstat_config|resetstat", "cmdstat_hello"}
        assert set(stats) - inside - ours == {"cmdstat_evalsha"}


async def test_all_keys_are_in_one_slot_and_leave_when_they_say_nothing(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        await counts(server.url, RedisSettings(prefix="staging"))
        keys = server.command("KEYS", "*")
        assert isinstance(keys, list)
        assert len(keys) == 4
        assert all(key.startswith(b"{staging}:") for key in keys)
        assert 55_000 < int(str(server.command("PTTL", b"{staging}:token:" + USE.token))) <= 60_000  # type: ignore[arg-type]
        assert 0 < int(str(server.command("PTTL", "{staging}:client"))) <= 1001


async def test_the_documented_acl_is_enough(tmp_path: Path) -> None:
    with redis_server(tmp_path, *ACL.replace("user", "--user", 1).split(), "--user", "default", "off") as server:
        address = server.url.removeprefix("redis://")
        assert await counts(f"redis://dayfly@{address}/0", settings(tmp_path))
        assert ACL.replace("hunter2", "…") in (Path(__file__).parents[2] / "docs" / "operations.md").read_text()


async def test_a_wrong_password_is_a_store_that_cannot_count_and_is_not_repeated(tmp_path: Path) -> None:
    with redis_server(tmp_path, "--requirepass", "another") as server:
        with pytest.raises(StoreUnavailable) as caught:
            await counts(server.url, settings(tmp_path))
        assert "hunter2" not in str(caught.value)
        with pytest.raises(StoreUnavailable):
            await counts(server.url, RedisSettings())
        (tmp_path / "right").write_text("another")
        assert await counts(server.url, RedisSettings.model_validate({"password-file": tmp_path / "right"}))


@pytest.mark.parametrize("field", ["password-file", "tls-ca"])
def test_a_file_that_is_missing_stops_the_start(tmp_path: Path, field: str) -> None:
    with pytest.raises(ConfigurationError, match="missing"):
        RedisStore("rediss://127.0.0.1", RedisSettings.model_validate({field: tmp_path / "missing"}))


def certificate(directory: Path, name: str) -> tuple[str, str]:
    key, cert = directory / f"{name}.key", directory / f"{name}.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-days", "1", "-subj", "/CN=redis"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    return str(cert), str(key)


async def test_tls_is_verified(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, "server")
    other, _ = certificate(tmp_path, "other")
    tls = free_port()
    arguments = ("--tls-port", str(tls), "--tls-cert-file", cert, "--tls-key-file", key, "--tls-auth-clients", "no")
    with redis_server(tmp_path, *arguments, "--tls-ca-cert-file", cert):
        url = f"rediss://127.0.0.1:{tls}"
        # The store gives up after a quarter of a second, which a handshake takes on a busy machine.
        assert any([await counts_in_time(url, RedisSettings.model_validate({"tls-ca": cert})) for _ in range(10)])
        with pytest.raises(StoreUnavailable):
            await counts(url, RedisSettings.model_validate({"tls-ca": other}))
        with pytest.raises(StoreUnavailable):
            await counts(url, RedisSettings())
        with pytest.raises(StoreUnavailable):
            await counts(f"rediss://localhost:{tls}", RedisSettings.model_validate({"tls-ca": cert}))


async def test_two_hundred_at_once_share_a_few_connections(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        store = RedisStore(server.url, RedisSettings())
        client = Charge("client", b"client", Rate(3600 * SECOND, 150))
        came = await asyncio.gather(*(store.settle([client], None) for _ in range(200)))
        assert sum(settled.taken for settled in came) == 150
        clients = server.command("CLIENT", "LIST")
        await store.aclose()
        assert isinstance(clients, bytes)
        assert clients.count(b"\n") <= 9  # one of them asks


async def test_a_flushed_script_is_brought_again(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        store = RedisStore(server.url, RedisSettings())
        await store.settle(CHARGES, None)
        server.command("SCRIPT", "FLUSH")
        assert (await store.settle(CHARGES, None)).taken
        await store.aclose()


async def test_a_full_server_is_a_store_that_cannot_count(tmp_path: Path) -> None:
    full = ("--maxmemory", "1", "--maxmemory-policy", "noeviction")
    with redis_server(tmp_path, *full) as server, pytest.raises(StoreUnavailable, match="OutOfMemory"):
        await counts(server.url, RedisSettings())


async def test_sentinels_say_where_the_primary_is_and_who_takes_over(tmp_path: Path) -> None:
    primary = free_port()
    replica = ("--replicaof", "127.0.0.1", str(primary))
    (tmp_path / "sentinel.conf").write_text(
        f"sentinel monitor main 127.0.0.1 {primary} 1\nsentinel down-after-milliseconds main 500\n"
        "sentinel failover-timeout main 5000\n"
    )
    with (
        redis_server(tmp_path, port=primary) as first,
        redis_server(tmp_path, *replica) as second,
        redis_server(tmp_path, config=tmp_path / "sentinel.conf") as sentinel,
    ):
        store = RedisStore(f"redis+sentinel://127.0.0.1:{sentinel.port}/main", RedisSettings())
        try:
            await eventually(store)
            # Sentinels ask the primary for its replicas every ten seconds; INFO of theirs says when they know.
            until(lambda: "'slaves': 1" in said(sentinel, "sentinel") and "'online'" in said(first, "replication"))
            first.stop()
            await eventually(store)
            assert "'role': 'master'" in said(second, "replication")
        finally:
            await store.aclose()


async def eventually(store: RedisStore) -> None:
    for _ in range(100):
        started = time.monotonic()
        try:
            settled = await store.settle(CHARGES[:1], None)
        except StoreUnavailable:
            assert time.monotonic() - started < 5
            await asyncio.sleep(0.2)
        else:
            assert settled.waits
            return
    raise AssertionError("the store has not come back")


def until(holds: Callable[[], bool]) -> None:
    for _ in range(250):
        if holds():
            return
        time.sleep(0.1)
    raise AssertionError


def said(server: RedisServer, section: str) -> str:
    return str(server.command("INFO", section))


async def test_an_event_loop_that_is_late_itself_does_not_lose_an_answer_that_came_in_time(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        store = RedisStore(server.url, RedisSettings())
        await store.settle(CHARGES, USE)
        asked = asyncio.ensure_future(store.settle(CHARGES, USE))
        await asyncio.sleep(0)  # the question is out
        time.sleep(0.6)
        assert (await asked).taken
        await store.aclose()
