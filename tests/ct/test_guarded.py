from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry
from starlette.responses import PlainTextResponse, Response

from ca.ct.guarded import GuardedLog, Term
from ca.ct.remote import Patience, RemoteLog
from ca.ct.verify import LogKey
from ca.errors import LogRefused, LogUnavailable, SCTInvalid
from ca.telemetry import Metrics
from tests.ct.logs import HonestLog, Scripted, p256, serve, serve_raw
from tests.ct.pki import NOW, precertificate

pytestmark = pytest.mark.anyio

ONE_ATTEMPT = Patience(total=1.0, attempt=1.0, attempts=1, backoff=(0.01, 0.02))
END = NOW + timedelta(minutes=10)
"""Of the certificates of `precertificate`."""
UNBOUNDED = Term()


class Guarded:
    def __init__(self, log: GuardedLog, registry: CollectorRegistry) -> None:
        self.log = log
        self.registry = registry

    def figure(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"dayfly_ct_{name}", {"log": "log", **labels}) or 0.0

    def count(self, outcome: str) -> float:
        return self.figure("submission_seconds_count", outcome=outcome)


@asynccontextmanager
async def guarding(app, key, term: Term = UNBOUNDED):
    registry = CollectorRegistry()
    async with serve(app) as url:
        remote = RemoteLog(url, LogKey.of(key.public_key()), patience=ONE_ATTEMPT)
        log = GuardedLog("log", remote, Metrics(registry), term)
        try:
            yield Guarded(log, registry)
        finally:
            await log.aclose()


async def fail(log, ca, times: int, error=LogUnavailable) -> None:
    for _ in range(times):
        with pytest.raises(error):
            await log.add_pre_chain(precertificate(ca), NOW)


async def test_promises_are_counted_and_timed(ca):
    honest = HonestLog(ca.root)
    async with guarding(honest.app, honest.key) as guarded:
        await guarded.log.add_pre_chain(precertificate(ca), NOW)
        assert guarded.count("promised") == 1
        assert guarded.figure("breaker_open") == 0
        assert guarded.figure("submission_seconds_sum", outcome="promised") > 0


async def test_a_log_that_fails_five_times_in_a_row_is_not_asked_a_sixth_time(ca):
    scripted = Scripted([Response(status_code=500)])
    async with guarding(scripted.app, p256()) as guarded:
        await fail(guarded.log, ca, 8)
        assert len(scripted.bodies) == 5
        assert guarded.count("unavailable") == 5
        assert guarded.figure("skipped_total") == 3
        assert guarded.figure("breaker_open") == 1


async def test_who_comes_while_a_log_is_left_alone_is_told_when_to_return(ca):
    scripted = Scripted([Response(status_code=500)])
    async with guarding(scripted.app, p256()) as guarded:
        await fail(guarded.log, ca, 5)
        with pytest.raises(LogUnavailable, match="left alone") as caught:
            await guarded.log.add_pre_chain(precertificate(ca), NOW)
        assert 1 <= caught.value.retry_after <= 5


async def test_a_log_that_asks_for_half_a_minute_gets_it_at_once(ca):
    scripted = Scripted([Response(status_code=503, headers={"Retry-After": "30"})])
    async with guarding(scripted.app, p256()) as guarded:
        await fail(guarded.log, ca, 3)
        assert len(scripted.bodies) == 1
        with pytest.raises(LogUnavailable) as caught:
            await guarded.log.add_pre_chain(precertificate(ca), NOW)
        assert 25 < caught.value.retry_after <= 30


async def test_promises_that_do_not_verify_are_failures(ca):
    liar = HonestLog(ca.root)
    async with guarding(liar.app, p256()) as guarded:
        await fail(guarded.log, ca, 5, SCTInvalid)
        await fail(guarded.log, ca, 1, LogUnavailable)
        assert len(liar.bodies) == 5
        assert guarded.count("invalid") == 5


async def test_refusals_never_switch_a_log_off_since_they_may_be_a_client_s_doing(ca):
    scripted = Scripted([PlainTextResponse("too large", 413)])
    async with guarding(scripted.app, p256()) as guarded:
        await fail(guarded.log, ca, 20, LogRefused)
        assert len(scripted.bodies) == 20
        assert guarded.count("refused") == 20
        assert guarded.figure("breaker_open") == 0


async def test_a_success_between_failures_keeps_the_log_in_use(ca):
    honest = HonestLog(ca.root)
    trouble = [Response(status_code=500)] * 4
    scripted = Scripted([*trouble, honest, *trouble, honest])
    async with guarding(scripted.app, honest.key) as guarded:
        for _ in range(2):
            await fail(guarded.log, ca, 4)
            await guarded.log.add_pre_chain(precertificate(ca), NOW)


async def test_a_log_that_answers_again_after_the_pause_is_used_again(ca):
    honest = HonestLog(ca.root)
    scripted = Scripted([*[Response(status_code=500)] * 5, honest])
    async with guarding(scripted.app, honest.key) as guarded:
        await fail(guarded.log, ca, 5)
        guarded.log._breaker._open_until = 0.0  # the pause is over
        await guarded.log.add_pre_chain(precertificate(ca), NOW)
        assert guarded.figure("breaker_open") == 0
        await guarded.log.add_pre_chain(precertificate(ca), NOW)


async def test_after_the_pause_one_request_tries_and_the_others_are_spared(ca):
    async def silent(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(10)

    async with serve_raw(silent) as url:
        remote = RemoteLog(url, LogKey.of(p256().public_key()), patience=ONE_ATTEMPT)
        log = GuardedLog("log", remote, Metrics(CollectorRegistry()))
        log._breaker._closed = False
        results = await asyncio.gather(
            *(log.add_pre_chain(precertificate(ca), NOW) for _ in range(5)), return_exceptions=True
        )
        details = sorted(result.detail for result in results)
        assert details[0] == "the log did not answer in time"
        assert all("left alone" in detail for detail in details[1:])
        await log.aclose()


async def test_a_probe_whose_client_left_does_not_block_the_next(ca):
    honest = HonestLog(ca.root)
    async with guarding(honest.app, honest.key) as guarded:
        guarded.log._breaker._closed = False
        task = asyncio.create_task(guarded.log.add_pre_chain(precertificate(ca), NOW))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await guarded.log.add_pre_chain(precertificate(ca), NOW)


async def test_a_check_fails_while_the_log_is_left_alone_and_asks_it_afterwards(ca):
    honest = HonestLog(ca.root)
    async with guarding(honest.app, honest.key) as guarded:
        guarded.log._breaker.failed(asyncio.get_running_loop().time(), wait=60)
        with pytest.raises(LogUnavailable, match="left alone"):
            await guarded.log.check(NOW)
        guarded.log._breaker._open_until = 0.0
        await guarded.log.check(NOW)


# ---- The term of a shard ----


@pytest.mark.parametrize(
    "term",
    [Term(limit=END), Term(limit=END - timedelta(days=9)), Term(start=END + timedelta(seconds=1))],
    ids=["ends with the certificate", "is over", "has not begun"],
)
async def test_what_lies_outside_a_log_s_term_is_not_offered_to_it(ca, term):
    honest = HonestLog(ca.root)
    async with guarding(honest.app, honest.key, term) as guarded:
        await fail(guarded.log, ca, 8, LogRefused)
        assert not honest.bodies
        assert guarded.figure("skipped_total") == 8


@pytest.mark.parametrize("term", [Term(start=END), Term(limit=END + timedelta(seconds=1))], ids=["first", "last"])
async def test_the_bounds_of_a_term_are_those_that_logs_have(ca, term):
    honest = HonestLog(ca.root)
    async with guarding(honest.app, honest.key, term) as guarded:
        await guarded.log.add_pre_chain(precertificate(ca), NOW)


async def test_a_log_whose_term_is_over_is_not_ready(ca):
    honest = HonestLog(ca.root)
    async with guarding(honest.app, honest.key, Term(limit=NOW)) as guarded:
        with pytest.raises(LogUnavailable, match="configure its successor"):
            await guarded.log.check(NOW)
