"""What limits ask of a store, and what they do without one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from prometheus_client import CollectorRegistry

from ca.errors import ProofFailed, RateLimited, TokenGuardUnavailable, TokenMissing
from ca.limits.breaker import Breaker
from ca.limits.limiter import Limits
from ca.limits.memory import MemoryStore
from ca.limits.model import Charge, Settled, StoreUnavailable, TokenUse
from ca.limits.settings import LimitsSettings
from ca.main import clock
from ca.telemetry import Metrics

pytestmark = pytest.mark.anyio

ISSUER = "https://issuer.example.org"
USE = TokenUse(b"t" * 32, b"k" * 32, 0, 60_000_000)


class Failing:
    """A LimitStore that is gone until it is back, and counts who came."""

    def __init__(self) -> None:
        self.gone = True
        self.asked = 0
        self._store = MemoryStore(clock)

    async def settle(self, charges: Sequence[Charge], use: TokenUse | None) -> Settled:
        self.asked += 1
        if self.gone:
            raise StoreUnavailable("gone")
        return await self._store.settle(charges, use)

    async def aclose(self) -> None:
        pass


def limits_over(store: MemoryStore | Breaker, **settings: object) -> Limits:
    return Limits(LimitsSettings.model_validate(settings), store, Metrics(CollectorRegistry()))


async def test_a_store_that_is_gone_is_asked_once_a_second() -> None:
    store, metrics = Failing(), Metrics(CollectorRegistry())
    limits = Limits(LimitsSettings(), Breaker(store, metrics), metrics)
    for _ in range(100):
        await limits.settle("192.0.2.1", ISSUER, ISSUER, "ada", None)
    assert store.asked <= 3
    assert metrics.registry.get_sample_value("dayfly_limits_unchecked_total") == 100
    assert metrics.registry.get_sample_value("dayfly_limits_store_failed") == 1


async def test_a_guard_without_its_store_is_closed_each_time() -> None:
    store, metrics = Failing(), Metrics(CollectorRegistry())
    limits = Limits(LimitsSettings(), Breaker(store, metrics), metrics)
    for _ in range(10):
        with pytest.raises(TokenGuardUnavailable) as caught:
            await limits.settle("192.0.2.1", ISSUER, ISSUER, "ada", USE)
        assert caught.value.retry_after == 1


async def test_a_client_without_an_address_is_not_limited_but_its_identity_is() -> None:
    limits = limits_over(MemoryStore(clock), client="1/h burst 1", failures="1/h burst 1", identity="1/h burst 2")
    await limits.settle("", ISSUER, ISSUER, "ada", None)
    await limits.count_refused("", TokenMissing())
    await limits.count_refused("", TokenMissing())
    limits.admit("")
    await limits.settle("", ISSUER, ISSUER, "ada", None)
    with pytest.raises(RateLimited) as caught:
        await limits.settle("", ISSUER, ISSUER, "ada", None)
    assert caught.value.limit == "identity"


async def test_addresses_of_one_64_are_one_client() -> None:
    limits = limits_over(MemoryStore(clock), client="1/h burst 1")
    await limits.settle("2001:db8::1", ISSUER, ISSUER, "ada", None)
    for address in ("2001:db8::1", "2001:db8::ffff:1"):
        with pytest.raises(RateLimited):
            limits.admit(address)
    limits.admit("2001:db8:0:1::1")


async def test_a_mapped_address_is_the_client_that_it_is() -> None:
    limits = limits_over(MemoryStore(clock), client="1/h burst 1")
    await limits.settle("192.0.2.1", ISSUER, ISSUER, "ada", None)
    with pytest.raises(RateLimited):
        limits.admit("::ffff:192.0.2.1")


async def test_who_failed_often_enough_waits_no_longer_than_the_rate_says() -> None:
    limits = limits_over(MemoryStore(clock), failures="1/m burst 2")
    await limits.count_refused("192.0.2.1", ProofFailed())
    limits.admit("192.0.2.1")
    await limits.count_refused("192.0.2.1", ProofFailed())
    with pytest.raises(RateLimited) as caught:
        limits.admit("192.0.2.1")
    assert caught.value.limit == "failures"
    assert caught.value.retry_after is not None
    assert 55 < caught.value.retry_after <= 60


async def test_issuers_of_a_wildcard_have_counts_of_their_own_and_the_patterns_limit() -> None:
    pattern = "https://*.example.org"
    limits = limits_over(MemoryStore(clock), issuers={pattern: "1/h burst 1"})
    await limits.settle("192.0.2.1", "https://a.example.org", pattern, "ada", None)
    await limits.settle("192.0.2.1", "https://b.example.org", pattern, "ada", None)
    with pytest.raises(RateLimited):
        await limits.settle("192.0.2.1", "https://a.example.org", pattern, "bob", None)


async def test_subjects_and_issuers_are_not_run_together() -> None:
    limits = limits_over(MemoryStore(clock), identity="1/h burst 1")
    await limits.settle("", "https://a", "https://a", "b\nc", None)
    await limits.settle("", "https://a\nb", "https://a\nb", "c", None)


def test_a_token_is_known_by_its_issuer_and_what_that_signed() -> None:
    now = clock()

    def token(issuer: str, signing_input: bytes) -> bytes:
        return TokenUse.of(issuer, signing_input, b"spki", "per-key", expires=now, now=now).token

    known = {
        token("https://a", b"b.c"),
        token("https://ab", b".c"),
        token("https://a", b"b.d"),
        token("9:https://a", b""),
    }
    assert len(known) == 4
    assert token("https://a", b"b.c") in known
