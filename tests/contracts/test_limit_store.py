"""What every LimitStore keeps to: ca.limits.model.LimitStore's contract, on each of them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from ca.limits.memory import MemoryStore
from ca.limits.model import Charge, LimitStore, Settled, TokenUse
from ca.limits.rate import SECOND, Rate
from ca.limits.redis import RedisStore
from ca.limits.settings import RedisSettings
from ca.limits.sqlite import SQLiteStore
from ca.main import clock
from tests.redis_server import RedisServer, needs_redis, redis_server

pytestmark = pytest.mark.anyio

SLOW = 3600 * SECOND
"""An interval in which nothing is paid back while a test runs."""


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


class Kind:
    """A kind of store, of which two may be opened over the same counts."""

    def __init__(self, name: str, directory: Path, redis: RedisServer | None) -> None:
        self.name = name
        self._directory = directory
        self._redis = redis
        self._memory = MemoryStore(clock)

    def open(self) -> LimitStore:
        if self.name == "sqlite":
            return SQLiteStore.open(self._directory / "limits.sqlite", clock)
        if self.name == "redis":
            assert self._redis
            return RedisStore(self._redis.url, RedisSettings())
        return self._memory

    @asynccontextmanager
    async def two(self) -> AsyncIterator[tuple[LimitStore, LimitStore]]:
        first, second = self.open(), self.open()
        yield first, second
        await first.aclose()
        await second.aclose()


@pytest.fixture(params=["memory", "sqlite", pytest.param("redis", marks=needs_redis)])
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Kind:
    return Kind(request.param, tmp_path, request.getfixturevalue("redis") if request.param == "redis" else None)


@pytest.fixture
async def store(kind: Kind) -> AsyncIterator[LimitStore]:
    opened = kind.open()
    yield opened
    await opened.aclose()


def charge(burst: int, interval: int = SLOW, key: bytes | None = None) -> Charge:
    return Charge("client", key or secrets.token_bytes(16), Rate(interval, burst))


def use(token: bytes | None = None, key: bytes = b"k" * 32, window: int = 0, lifetime: int = 600 * SECOND) -> TokenUse:
    return TokenUse(token or secrets.token_bytes(32), key, window, lifetime)


async def settle(store: LimitStore, *charges: Charge, use: TokenUse | None = None) -> Settled:
    return await store.settle(charges, use)


# ---- counts --------------------------------------------------------------------------------------------------------


async def test_a_burst_is_as_many_as_it_says_and_not_one_more(store: LimitStore) -> None:
    client = charge(burst=7)
    assert [(await settle(store, client)).limited for _ in range(7)] == [None] * 7
    assert (await settle(store, client)).limited == 0


async def test_who_is_refused_is_told_how_long_to_wait(store: LimitStore) -> None:
    client = charge(burst=1)
    await settle(store, client)
    [wait] = (await settle(store, client)).waits
    assert SLOW - 60 * SECOND < wait <= SLOW


async def test_whoever_has_used_up_a_burst_is_told_with_the_last_of_it(store: LimitStore) -> None:
    client = charge(burst=2)
    assert list((await settle(store, client)).waits) == [0]
    [wait] = (await settle(store, client)).waits
    assert SLOW - 60 * SECOND < wait <= SLOW


async def test_a_refused_request_takes_nothing(store: LimitStore) -> None:
    client = charge(burst=1, interval=SECOND)
    await settle(store, client)
    for _ in range(20):
        assert (await settle(store, client)).limited == 0
    await asyncio.sleep(1.1)
    assert (await settle(store, client)).taken


async def test_what_is_used_comes_back_at_the_rate(store: LimitStore) -> None:
    client = charge(burst=100, interval=SECOND // 100)
    for _ in range(100):
        await settle(store, client)
    await asyncio.sleep(0.25)
    assert all([(await settle(store, client)).taken for _ in range(20)])


async def test_a_burst_does_not_grow_beyond_what_it_says_while_nobody_asks(store: LimitStore) -> None:
    client = charge(burst=2, interval=SECOND // 10)
    await settle(store, client)
    await asyncio.sleep(0.5)
    slower = Charge("client", client.key, Rate(SLOW, 2))
    assert [(await settle(store, slower)).taken for _ in range(3)] == [True, True, False]


async def test_one_refusal_refuses_all_and_nothing_is_taken(store: LimitStore) -> None:
    generous, strict = charge(burst=2), charge(burst=1)
    assert (await settle(store, generous, strict)).taken
    refused = await settle(store, generous, strict)
    assert refused.limited == 1
    assert not refused.taken
    assert (await settle(store, generous)).taken
    assert not (await settle(store, generous)).taken


async def test_the_first_refusal_is_the_one_that_is_named(store: LimitStore) -> None:
    first, second = charge(burst=1), charge(burst=1)
    await settle(store, first, second)
    assert (await settle(store, first, second)).limited == 0
    assert (await settle(store, charge(burst=1), second, first)).limited == 1


async def test_counts_are_of_their_key_alone(store: LimitStore) -> None:
    await settle(store, charge(burst=1, key=b"a"))
    assert (await settle(store, charge(burst=1, key=b"b\x00\xff"))).taken


async def test_a_count_further_ahead_than_its_rate_permits_is_forgotten(store: LimitStore) -> None:
    # As after a clock was set back, or after the limit was lowered.
    client = charge(burst=10)
    for _ in range(10):
        await settle(store, client)
    lowered = Charge("client", client.key, Rate(SECOND, 5))
    assert (await settle(store, lowered)).taken


async def test_nothing_is_a_request_too(store: LimitStore) -> None:
    assert (await settle(store)).taken


async def test_fifty_at_once_through_two_doors_take_exactly_the_burst(kind: Kind) -> None:
    client = charge(burst=20)
    async with kind.two() as doors:
        came = await asyncio.gather(*(settle(doors[i % 2], client) for i in range(50)))
    assert sum(settled.taken for settled in came) == 20


# ---- tokens --------------------------------------------------------------------------------------------------------


async def test_a_token_belongs_to_its_first_key(store: LimitStore) -> None:
    first = use()
    assert (await settle(store, use=first)).taken
    other = use(first.token, b"o" * 32)
    assert (await settle(store, use=other)).replayed
    assert (await settle(store, use=other)).replayed


async def test_the_same_token_with_the_same_key_is_the_same_request(store: LimitStore) -> None:
    first = use()
    for _ in range(5):
        assert (await settle(store, use=first)).taken


async def test_a_refused_key_does_not_take_the_token_over(store: LimitStore) -> None:
    first = use()
    await settle(store, use=first)
    await settle(store, use=use(first.token, b"o" * 32))
    assert (await settle(store, use=first)).taken


async def test_after_its_window_a_token_is_spent_for_its_own_key_too(store: LimitStore) -> None:
    once = use(window=SECOND)
    assert (await settle(store, use=once)).taken
    assert (await settle(store, use=once)).taken
    await asyncio.sleep(1.1)
    assert (await settle(store, use=once)).replayed


async def test_a_retry_does_not_prolong_the_window(store: LimitStore) -> None:
    once = use(window=SECOND // 2)
    await settle(store, use=once)
    await asyncio.sleep(0.3)
    await settle(store, use=once)
    await asyncio.sleep(0.3)
    assert (await settle(store, use=once)).replayed


async def test_another_key_within_the_window_is_refused(store: LimitStore) -> None:
    once = use(window=600 * SECOND)
    await settle(store, use=once)
    assert (await settle(store, use=use(once.token, b"o" * 32, window=600 * SECOND))).replayed


async def test_an_expired_use_is_forgotten(store: LimitStore) -> None:
    short = use(lifetime=SECOND // 5)
    await settle(store, use=short)
    await asyncio.sleep(0.3)
    assert (await settle(store, use=use(short.token, b"o" * 32))).taken


async def test_a_replayed_token_takes_no_charge(store: LimitStore) -> None:
    client, first = charge(burst=1), use()
    await settle(store, use=first)
    assert (await settle(store, client, use=use(first.token, b"o" * 32))).replayed
    assert (await settle(store, client)).taken


async def test_a_limited_request_does_not_bind_its_token(store: LimitStore) -> None:
    client, first = charge(burst=1), use()
    await settle(store, client)
    assert (await settle(store, client, use=first)).limited == 0
    assert (await settle(store, use=use(first.token, b"o" * 32))).taken


async def test_keys_and_tokens_of_any_bytes_are_told_apart(store: LimitStore) -> None:
    for key in (bytes(32), b"\xff" * 32, b"9" * 32, b"\n" * 32):
        first = use(key=key, window=600 * SECOND)
        assert (await settle(store, use=first)).taken
        assert (await settle(store, use=first)).taken
        assert (await settle(store, use=use(first.token, b"1" * 32, window=600 * SECOND))).replayed


async def test_fifty_new_keys_at_once_through_two_doors_bind_exactly_one(kind: Kind) -> None:
    token = secrets.token_bytes(32)
    async with kind.two() as doors:
        came = await asyncio.gather(*(settle(doors[i % 2], use=use(token, secrets.token_bytes(32))) for i in range(50)))
    assert sum(settled.taken for settled in came) == 1


def test_the_window_is_longer_than_any_client_tries_again() -> None:
    now = clock()
    once = TokenUse.of("https://issuer", b"input", b"spki", "single-use", expires=now + timedelta(minutes=5), now=now)
    # sigstore-go: thirty seconds, twice, with a pause; sigstore-js: five seconds, three times.
    assert once.window >= 65 * SECOND
    assert once.lifetime == 600 * SECOND
