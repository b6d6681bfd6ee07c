"""Scale: a million clients, and a burst from the one address of a company's runners.

Expected: memory flat, labels bounded, and nobody refused who is honest.
"""

from __future__ import annotations

import asyncio
import tracemalloc
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from ca.errors import RateLimited, TokenMissing
from ca.limits.limiter import Limits
from ca.limits.memory import MAX_COUNTS, MemoryStore
from ca.limits.settings import LimitsSettings
from ca.main import clock
from ca.telemetry import Metrics
from tests.api.server import body, p256
from tests.dev.server import Clock
from tests.faults.replicas import replicas

ISSUER = "https://issuer.example.org"


def series(registry: CollectorRegistry) -> int:
    return sum(len(metric.samples) for metric in registry.collect())


def test_many_addresses_issuers_and_subjects_leave_memory_and_metrics_as_they_are() -> None:
    store, metrics = MemoryStore(clock, max_counts=1_000), Metrics(CollectorRegistry())
    limits = Limits(LimitsSettings.model_validate({"issuer": "1/h burst 1", "identity": "1/h burst 1"}), store, metrics)

    async def flood(numbers: range) -> None:
        for number in numbers:
            address = str(IPv4Address(number))
            await limits.settle(address, f"{ISSUER}/{number}", ISSUER, f"{number}", None)
            await limits.count_refused(address, TokenMissing())

    asyncio.run(flood(range(3_000)))
    tracemalloc.start()
    asyncio.run(flood(range(3_000, 3_500)))
    before, labels = tracemalloc.get_traced_memory()[0], series(metrics.registry)
    tracemalloc.stop()
    tracemalloc.start()
    asyncio.run(flood(range(3_500, 8_000)))
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(store) <= 1_000
    assert after - before < 4 << 20
    assert series(metrics.registry) == labels


def test_the_default_bound_is_for_a_million_clients() -> None:
    # What an entry takes is measured above; this many are some 40 MB.
    assert MAX_COUNTS <= 200_000


def test_clients_over_their_limit_are_remembered_in_bounds() -> None:
    settings = LimitsSettings.model_validate({"client": "1/h burst 1", "identity": "off"})
    limits = Limits(settings, MemoryStore(clock), Metrics(CollectorRegistry()))

    async def flood() -> None:
        for number in range(20_000):
            await limits.settle(str(IPv4Address(number)), ISSUER, ISSUER, "ada", None)

    asyncio.run(flood())
    assert len(limits._over) <= 4096
    with pytest.raises(RateLimited):
        limits.admit(str(IPv4Address(19_999)))


def test_two_hundred_and_fifty_six_jobs_that_sign_twenty_artifacts_at_once_share_an_address() -> None:
    time = Clock(clock())
    limits = Limits(LimitsSettings(), MemoryStore(time), Metrics(CollectorRegistry()))

    async def build() -> None:
        for _job in range(256):
            for _ in range(20):
                limits.admit("192.0.2.1")
                await limits.settle("192.0.2.1", ISSUER, ISSUER, "the one workflow", None)

    asyncio.run(build())
    time.advance(minutes=1)
    asyncio.run(build())


def test_a_burst_over_http_from_one_address_is_served(tmp_path: Path) -> None:
    with replicas(tmp_path, {}) as one:
        answers = one.all_at_once([body(one.token(), key=p256()) for _ in range(100)])
        assert {answer.status_code for answer in answers} == {200}


@pytest.mark.parametrize("step", [-300, 3600])
def test_a_clock_that_jumps_refuses_nobody(step: int) -> None:
    time = Clock(clock())
    limits = Limits(LimitsSettings(), MemoryStore(time), Metrics(CollectorRegistry()))

    async def ask() -> None:
        for _ in range(100):
            limits.admit("192.0.2.1")
            await limits.settle("192.0.2.1", ISSUER, ISSUER, "ada", None)

    asyncio.run(ask())
    time.advance(seconds=step)
    asyncio.run(ask())
