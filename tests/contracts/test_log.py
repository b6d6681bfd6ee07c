"""What `ca.ct.model.Log` promises, of every implementation: in this process, elsewhere, guarded, several."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from prometheus_client import CollectorRegistry

from ca.ct.embedded.keys import load_keys
from ca.ct.fallbacks import LogWithFallbacks
from ca.ct.guarded import GuardedLog
from ca.ct.model import Log
from ca.ct.remote import Patience, RemoteLog
from ca.ct.verify import LogKey, verify
from ca.errors import LogFrozen, LogUnavailable
from ca.telemetry import Metrics
from tests.ct.embedded.builders import World
from tests.ct.logs import HonestLog, serve, serve_raw
from tests.ct.pki import CA, NOW, precertificate

pytestmark = pytest.mark.anyio

QUICK = Patience(total=1.5, attempt=0.5, backoff=(0.01, 0.02))


class Under:
    """A log under test, whose promises are believed by these keys, and a way to make it take nothing more."""

    def __init__(self, log: Log, keys: list[LogKey], stop: Callable[[], object]) -> None:
        self.log = log
        self.keys = keys
        self.stop = stop


@asynccontextmanager
async def embedded(directory: Path, _ca: CA) -> AsyncIterator[Under]:
    world = World(directory).create()
    log = world.open()

    async def freeze() -> None:
        await log.freeze()

    key = load_keys(directory).log_key.public_key()
    yield Under(log, [LogKey.of(key)], freeze)
    await log.aclose()


@asynccontextmanager
async def elsewhere(ca: CA) -> AsyncIterator[Under]:
    honest, gate = HonestLog(ca.root), AsyncExitStack()
    url = await gate.enter_async_context(serve(honest.app))
    assert isinstance(honest.key, ec.EllipticCurvePrivateKey)
    key = LogKey.of(honest.key.public_key())
    yield Under(RemoteLog(url, key, patience=QUICK), [key], gate.aclose)
    await gate.aclose()


@asynccontextmanager
async def remote(_directory: Path, ca: CA) -> AsyncIterator[Under]:
    async with elsewhere(ca) as under:
        yield under
        await under.log.aclose()


@asynccontextmanager
async def guarded(_directory: Path, ca: CA) -> AsyncIterator[Under]:
    async with elsewhere(ca) as under:
        log = GuardedLog("log", under.log, Metrics(CollectorRegistry()))
        yield Under(log, under.keys, under.stop)
        await log.aclose()


@asynccontextmanager
async def several(_directory: Path, ca: CA) -> AsyncIterator[Under]:
    async with elsewhere(ca) as first, elsewhere(ca) as second:
        metrics = Metrics(CollectorRegistry())
        logs = [GuardedLog(name, under.log, metrics) for name, under in (("first", first), ("second", second))]
        log = LogWithFallbacks(logs, delay=0.5)

        async def stop() -> None:
            await first.stop()
            await second.stop()

        yield Under(log, first.keys + second.keys, stop)
        await log.aclose()


@asynccontextmanager
async def first_of_several_is_dead(_directory: Path, ca: CA) -> AsyncIterator[Under]:
    async with serve_raw(None) as dead:
        pass
    async with elsewhere(ca) as second:
        metrics = Metrics(CollectorRegistry())
        silent = RemoteLog(dead, second.keys[0], patience=QUICK)
        logs = [GuardedLog("dead", silent, metrics), GuardedLog("second", second.log, metrics)]
        log = LogWithFallbacks(logs, delay=0.5)
        yield Under(log, second.keys, second.stop)
        await log.aclose()


IMPLEMENTATIONS = [embedded, remote, guarded, several, first_of_several_is_dead]


@pytest.fixture(params=IMPLEMENTATIONS, ids=lambda make: make.__name__)
async def under(request, tmp_path: Path, ca: CA) -> AsyncIterator[Under]:
    async with request.param(tmp_path, ca) as made:
        yield made


async def test_an_sct_is_a_promise_by_a_known_key_for_this_precertificate(under: Under, ca: CA) -> None:
    submitted = precertificate(ca)
    now = moment(under)
    sct = await under.log.add_pre_chain(submitted, now)
    (key,) = [key for key in under.keys if key.log_id == sct.log_id]
    verify(sct, submitted, key, now)


async def test_a_check_of_a_log_that_is_well_returns(under: Under) -> None:
    await under.log.check(moment(under))


async def test_many_submissions_at_once_get_a_promise_each(under: Under, ca: CA) -> None:
    submitted = [precertificate(ca) for _ in range(20)]
    scts = await asyncio.gather(*(under.log.add_pre_chain(one, moment(under)) for one in submitted))
    assert len({sct.signature for sct in scts}) == 20


async def test_a_cancelled_submission_harms_no_other(under: Under, ca: CA) -> None:
    task = asyncio.create_task(under.log.add_pre_chain(precertificate(ca), moment(under)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await under.log.add_pre_chain(precertificate(ca), moment(under))


async def test_a_log_that_takes_nothing_raises_in_time_and_its_check_too(under: Under, ca: CA) -> None:
    await under.stop()
    async with asyncio.timeout(5):
        with pytest.raises((LogUnavailable, LogFrozen)):
            await under.log.add_pre_chain(precertificate(ca), moment(under))
        with pytest.raises((LogUnavailable, LogFrozen)):
            await under.log.check(moment(under))


def moment(under: Under) -> datetime:
    """The embedded log's tests stand still at another time than the other logs', which is theirs alone."""
    from ca.ct.embedded.engine import EmbeddedLog
    from tests.ct.embedded.builders import NOW as STILL

    return STILL if isinstance(under.log, EmbeddedLog) else NOW
