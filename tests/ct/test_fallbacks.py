from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry
from starlette.responses import PlainTextResponse, Response

from ca.ct.fallbacks import BUDGET, LogWithFallbacks
from ca.ct.guarded import GuardedLog, Term
from ca.ct.remote import DEFAULT_PATIENCE, Patience, RemoteLog
from ca.ct.verify import LogKey
from ca.errors import LogRefused, LogUnavailable, SCTInvalid
from ca.server import GRACE
from ca.telemetry import Metrics
from tests.ct.logs import HonestLog, Scripted, serve
from tests.ct.pki import NOW, key_hash, precertificate

pytestmark = pytest.mark.anyio

PATIENCE = Patience(total=3.0, attempt=3.0, attempts=1, backoff=(0.01, 0.02))
AT_ONCE = 0.05
NEVER = 60.0
"""A delay that no test waits for: what comes sooner comes because another log has failed."""


class SlowLog(HonestLog):
    """Honest, when the test lets it answer."""

    def __init__(self, root) -> None:
        super().__init__(root)
        self.may_answer = asyncio.Event()
        self.asked = asyncio.Event()

    async def _add_pre_chain(self, request):
        self.asked.set()
        await self.may_answer.wait()
        return await super()._add_pre_chain(request)


@asynccontextmanager
async def several(*logs, delay: float = NEVER, terms: dict[int, Term] | None = None, believed: dict | None = None):
    """Each of `logs` is an honest log or what another answers to everything."""
    metrics = Metrics(CollectorRegistry())
    async with AsyncExitStack() as stack:
        guarded = []
        for number, log in enumerate(logs):
            app = log.app if isinstance(log, HonestLog | Scripted) else Scripted([log]).app
            url = await stack.enter_async_context(serve(app))
            key = (believed or {}).get(number) or (log if isinstance(log, HonestLog) else HonestLog(None)).key
            remote = RemoteLog(url, LogKey.of(key.public_key()), patience=PATIENCE)
            guarded.append(GuardedLog(str(number), remote, metrics, (terms or {}).get(number, Term())))
        log = LogWithFallbacks(guarded, delay)
        try:
            yield log
        finally:
            await log.aclose()


def of(log: HonestLog, sct) -> bool:
    return sct.log_id == key_hash(log.key.public_key())


async def test_the_first_log_alone_is_asked_while_it_answers(ca):
    first, second = HonestLog(ca.root), HonestLog(ca.root)
    async with several(first, second) as log:
        assert of(first, await log.add_pre_chain(precertificate(ca), NOW))
    assert (len(first.bodies), len(second.bodies)) == (1, 0)


@pytest.mark.parametrize(
    "failing",
    [
        Response(status_code=500),
        Response(status_code=429, headers={"Retry-After": "30"}),
        PlainTextResponse("unknown root", 400),
        Response(status_code=410),
        PlainTextResponse("no SCT"),
        Response(status_code=302, headers={"Location": "http://127.0.0.1:9/"}),
    ],
    ids=["500", "429", "400", "410", "garbage", "redirect"],
)
async def test_the_second_is_asked_at_once_when_the_first_fails(ca, failing):
    second = HonestLog(ca.root)
    async with several(failing, second) as log, asyncio.timeout(NEVER / 2):
        assert of(second, await log.add_pre_chain(precertificate(ca), NOW))


@pytest.mark.parametrize("lie", ["key", "late", "early"])
async def test_a_first_log_that_lies_does_not_win(ca, lie):
    skew = {"late": timedelta(minutes=2), "early": timedelta(minutes=-11)}.get(lie, timedelta())
    liar, second = HonestLog(ca.root, skew=skew), HonestLog(ca.root)
    believed = {0: HonestLog(ca.root).key} if lie == "key" else {}
    async with several(liar, second, believed=believed) as log:
        assert of(second, await log.add_pre_chain(precertificate(ca), NOW))
    assert len(liar.bodies) == 1


async def test_the_second_is_asked_when_the_first_takes_longer_than_the_delay_and_wins(ca):
    slow, second = SlowLog(ca.root), HonestLog(ca.root)
    async with several(slow, second, delay=AT_ONCE) as log:
        assert of(second, await log.add_pre_chain(precertificate(ca), NOW))


async def test_a_slow_first_still_wins_if_it_is_the_first_to_answer(ca):
    slow, slower = SlowLog(ca.root), SlowLog(ca.root)
    async with several(slow, slower, delay=AT_ONCE) as log:
        task = asyncio.create_task(log.add_pre_chain(precertificate(ca), NOW))
        await slower.asked.wait()
        slow.may_answer.set()
        assert of(slow, await task)
        slower.may_answer.set()


async def test_at_most_two_are_asked_at_the_same_time(ca):
    slow, slower, third = SlowLog(ca.root), SlowLog(ca.root), HonestLog(ca.root)
    async with several(slow, slower, third, delay=AT_ONCE) as log:
        task = asyncio.create_task(log.add_pre_chain(precertificate(ca), NOW))
        await slower.asked.wait()
        await asyncio.sleep(4 * AT_ONCE)
        assert not third.bodies
        slow.may_answer.set()
        await task
        slower.may_answer.set()


async def test_a_third_gets_the_place_of_one_that_failed(ca):
    slow, third = SlowLog(ca.root), HonestLog(ca.root)
    async with several(slow, Response(status_code=503), third, delay=AT_ONCE) as log:
        assert of(third, await log.add_pre_chain(precertificate(ca), NOW))


async def test_a_log_that_lost_is_left_to_finish_and_its_answer_is_recorded(ca):
    slow, second = SlowLog(ca.root), HonestLog(ca.root)
    async with several(slow, second, delay=AT_ONCE) as log:
        await log.add_pre_chain(precertificate(ca), NOW)
        assert not slow.bodies
        slow.may_answer.set()
        while log._late:
            await asyncio.sleep(0.01)
        assert len(slow.bodies) == 1
        assert log._logs[0]._breaker.state(0) == "closed"


async def test_logs_that_keep_losing_by_silence_are_found_out(ca):
    silent, second = SlowLog(ca.root), HonestLog(ca.root)
    async with several(silent, second, delay=AT_ONCE) as log:
        first = log._logs[0]
        first._log._patience = Patience(total=0.3, attempt=0.3, attempts=1)
        await asyncio.gather(*(log.add_pre_chain(precertificate(ca), NOW) for _ in range(5)))
        while log._late:
            await asyncio.sleep(0.01)
        assert first._breaker.state(asyncio.get_running_loop().time()) == "open"
        silent.asked.clear()
        await log.add_pre_chain(precertificate(ca), NOW)
        assert not silent.asked.is_set()


async def test_a_cancelled_submission_leaves_nothing_behind(ca):
    slow, slower = SlowLog(ca.root), SlowLog(ca.root)
    async with several(slow, slower, delay=AT_ONCE) as log:
        task = asyncio.create_task(log.add_pre_chain(precertificate(ca), NOW))
        await slower.asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.1)
        assert not log._late
        assert not slow.bodies


async def test_closing_does_not_wait_for_a_log_that_lost(ca):
    slow, second = SlowLog(ca.root), HonestLog(ca.root)
    async with several(slow, second, delay=AT_ONCE) as log:
        await log.add_pre_chain(precertificate(ca), NOW)
        async with asyncio.timeout(PATIENCE.total / 2):
            await log.aclose()


async def test_a_shard_whose_term_is_over_is_skipped(ca):
    ended, second = HonestLog(ca.root), HonestLog(ca.root)
    async with several(ended, second, terms={0: Term(limit=NOW)}) as log:
        assert of(second, await log.add_pre_chain(precertificate(ca), NOW))
        await log.check(NOW)
    assert not ended.bodies


# ---- None promises ----


async def test_with_all_logs_down_it_is_try_later(ca):
    async with several(Response(status_code=500), Response(status_code=503)) as log:
        with pytest.raises(LogUnavailable) as caught:
            await log.add_pre_chain(precertificate(ca), NOW)
        assert caught.value.retry_after == 5
        with pytest.raises(LogUnavailable):
            await log.check(NOW)


async def test_with_one_refusing_and_one_down_it_is_try_later(ca):
    async with several(PlainTextResponse("no", 400), Response(status_code=503)) as log:
        with pytest.raises(LogUnavailable):
            await log.add_pre_chain(precertificate(ca), NOW)


async def test_with_all_left_alone_the_answer_comes_at_once_and_names_the_first_to_return(ca):
    patient = Response(status_code=503, headers={"Retry-After": "200"})
    impatient = Response(status_code=503, headers={"Retry-After": "60"})
    async with several(patient, impatient) as log:
        for _ in range(3):
            with pytest.raises(LogUnavailable) as caught:
                await log.add_pre_chain(precertificate(ca), NOW)
        assert "left alone" in caught.value.detail
        assert 50 < caught.value.retry_after <= 60


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ((PlainTextResponse("no", 400), PlainTextResponse("no", 400)), LogRefused),
        ((PlainTextResponse("no", 400), PlainTextResponse("{}")), LogRefused),
        ((PlainTextResponse("{}"), PlainTextResponse("no", 400)), SCTInvalid),
    ],
)
async def test_where_waiting_helps_with_none_the_first_log_s_trouble_is_told(ca, answers, error):
    async with several(*answers) as log:
        with pytest.raises(error):
            await log.add_pre_chain(precertificate(ca), NOW)


async def test_no_wait_for_logs_outlives_the_server_s_grace():
    assert DEFAULT_PATIENCE.total < BUDGET < GRACE
