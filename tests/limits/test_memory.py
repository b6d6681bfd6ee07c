"""Counts in a process: bounded, whatever is sent."""

from __future__ import annotations

import pytest

from ca.limits.memory import MemoryStore
from ca.limits.model import Charge, StoreUnavailable, TokenUse
from ca.limits.rate import SECOND, Rate
from ca.main import clock
from tests.dev.server import Clock

pytestmark = pytest.mark.anyio

RATE = Rate(3600 * SECOND, 1)


def charge(number: int) -> Charge:
    return Charge("client", b"%d" % number, RATE)


def use(number: int, lifetime: int = 60 * SECOND, key: bytes = b"k" * 32) -> TokenUse:
    return TokenUse(number.to_bytes(32, "big"), key, 0, lifetime)


async def test_a_hundred_thousand_clients_take_no_more_than_their_share() -> None:
    store = MemoryStore(clock, max_counts=1000)
    for number in range(100_000):
        await store.settle([charge(number)], None)
        assert len(store) <= 1000


async def test_whoever_was_seen_last_is_remembered_longest() -> None:
    store = MemoryStore(clock, max_counts=100)
    for number in range(1000):
        await store.settle([charge(number)], None)
    for number in range(960, 1000):
        assert (await store.settle([charge(number)], None)).limited == 0
    assert (await store.settle([charge(1)], None)).taken


async def test_expired_tokens_leave() -> None:
    time = Clock(clock())
    store = MemoryStore(time)
    for number in range(50_000):
        time.advance(seconds=0.1)
        await store.settle([], use(number))
        assert len(store) <= 5000  # of which 600 live


async def test_a_full_store_refuses_tokens_and_forgets_none() -> None:
    time = Clock(clock())
    store = MemoryStore(time, max_tokens=10)
    for number in range(10):
        await store.settle([], use(number))
    with pytest.raises(StoreUnavailable, match="10 tokens"):
        await store.settle([], use(10))
    for number in range(10):
        assert (await store.settle([], use(number, key=b"o" * 32))).replayed
        assert (await store.settle([], use(number))).taken
    assert (await store.settle([charge(1)], None)).taken
    time.advance(minutes=2)
    assert (await store.settle([], use(11))).taken


async def test_a_full_store_takes_no_charge_with_the_token_it_refuses() -> None:
    store = MemoryStore(clock, max_tokens=1)
    await store.settle([], use(0))
    with pytest.raises(StoreUnavailable):
        await store.settle([charge(1)], use(1))
    assert (await store.settle([charge(1)], None)).taken


async def test_a_clock_set_back_five_minutes_refuses_nobody_who_was_within_the_limit() -> None:
    time = Clock(clock())
    store = MemoryStore(time)
    client = Charge("client", b"client", Rate(SECOND // 100, 6000))
    await store.settle([client], None)
    time.advance(minutes=-5)
    for _ in range(100):
        assert (await store.settle([client], None)).taken
