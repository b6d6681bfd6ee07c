"""The embedded log as a `Log`: what its callers get, whatever happens."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from datetime import timedelta

import pytest

from ca.ct.embedded.engine import EmbeddedLog, Limits
from ca.ct.embedded.keys import load_keys
from ca.ct.model import MAX_CERTIFICATE
from ca.ct.verify import LogKey, verify
from ca.errors import LogFrozen, LogRefused, LogUnavailable, SCTInvalid
from tests.ct.embedded.builders import ISSUER_KEY_HASH, World, submission
from tests.ct.embedded.oracle import check_log, check_promise
from tests.ct.logs import p256
from tests.ct.pki import CA, precertificate

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def running(world: World, limits: Limits | None = None) -> AsyncIterator[EmbeddedLog]:
    log = world.open(limits) if limits else world.open()
    try:
        yield log
    finally:
        await log.aclose()


@asynccontextmanager
async def another_writer(world: World) -> AsyncIterator[None]:
    """Somebody else's transaction, which the sequencer has to wait for."""
    with closing(sqlite3.connect(world.database, isolation_level=None)) as sql:
        sql.execute("BEGIN IMMEDIATE")
        yield
        sql.execute("ROLLBACK")


async def test_the_promise_for_a_precertificate_verifies(world: World, ca: CA) -> None:
    pre = precertificate(ca)
    async with running(world) as log:
        sct = await log.add_pre_chain(pre, world.clock())
        key = LogKey.of(world_key(world))
        assert sct.log_id == log.log_id == key.log_id
        verify(sct, pre, key, world.clock())
    tree = check_log(world.path)
    assert check_promise(world.path, tree, sct, pre.clean_tbs, pre.issuer_key_hash) == 0


async def test_a_promise_that_its_own_key_does_not_verify_does_not_get_out(world: World, ca: CA) -> None:
    """A key that went bad in memory, or a signature that did: the log's own word is verified like anybody's."""
    async with running(world) as log:
        log._sequencer._keys = replace(load_keys(world.path), log_key=p256())
        with pytest.raises(SCTInvalid, match="not the log's over this precertificate"):
            await log.add_pre_chain(precertificate(ca), world.clock())


async def test_a_promise_from_a_clock_far_off_the_callers_does_not_get_out(world: World, ca: CA) -> None:
    async with running(world) as log:
        with pytest.raises(SCTInvalid, match="compare both clocks"):
            await log.add_pre_chain(precertificate(ca), world.clock() - timedelta(minutes=2))


async def test_many_at_once_all_get_theirs(world: World) -> None:
    async with running(world) as log:
        scts = await asyncio.gather(*(log.add(submission(number % 500)) for number in range(700)))
    tree = check_log(world.path)
    assert len(tree.leaves) == 500
    for number, sct in enumerate(scts):
        check_promise(world.path, tree, sct, submission(number % 500).certificate, ISSUER_KEY_HASH)
    assert [sct.encode() for sct in scts[500:]] == [sct.encode() for sct in scts[:200]]


async def test_a_restart_keeps_promises(world: World) -> None:
    async with running(world) as log:
        first = await log.add(submission(1))
    async with running(world) as log:
        assert await log.add(submission(1)) == first
        await log.add(submission(2))
    assert len(check_log(world.path).leaves) == 2


async def test_two_logs_on_one_file_share_a_tree(world: World) -> None:
    async with running(world) as one, running(world) as other:
        numbers = range(300)
        scts = await asyncio.gather(
            *(log.add(submission(number)) for number in numbers for log in ((one, other)[number % 2], one))
        )
    tree = check_log(world.path)
    assert len(tree.leaves) == 300
    assert all(a.encode() == b.encode() for a, b in zip(scts[::2], scts[1::2], strict=True))


async def test_readiness_asks_the_sequencer(world: World) -> None:
    async with running(world) as log:
        await log.check(world.clock())
        world.clock.move(10)
        await log.add(submission(1))
        world.clock.move(-5)
        with pytest.raises(LogUnavailable, match="clock was set back"):
            await log.check(world.clock())
    assert len(check_log(world.path).leaves) == 1


async def test_a_clock_set_back_is_said_and_recovers(world: World) -> None:
    async with running(world) as log:
        await log.add(submission(1))
        world.clock.move(-5)
        with pytest.raises(LogUnavailable, match="clock was set back") as caught:
            await log.add(submission(2))
        assert caught.value.retry_after
        world.clock.move(5)
        await log.add(submission(2))
    assert len(check_log(world.path).leaves) == 2


async def test_a_full_queue_says_when_to_come_back(world: World) -> None:
    async with running(world, Limits(pending=8)) as log:
        async with another_writer(world):
            taken = [asyncio.create_task(log.add(submission(0)))]
            await asyncio.sleep(0.1)  # the sequencer has this one, and waits
            taken += [asyncio.create_task(log.add(submission(number))) for number in range(1, 9)]
            await asyncio.sleep(0)
            with pytest.raises(LogUnavailable, match="8 submissions wait for the log already") as caught:
                await log.add(submission(9))
            assert caught.value.retry_after == 1
        await asyncio.gather(*taken)
        await log.add(submission(9))
    assert len(check_log(world.path).leaves) == 10


async def test_a_caller_waits_no_longer_than_its_deadline(world: World) -> None:
    async with running(world, Limits(deadline=0.2)) as log:
        async with another_writer(world):
            with pytest.raises(LogUnavailable, match="did not commit in time") as caught:
                await log.add(submission(1))
            assert caught.value.retry_after
        await log.add(submission(1))
    assert len(check_log(world.path).leaves) == 1


async def test_callers_that_gave_up_in_the_queue_are_not_logged(world: World) -> None:
    async with running(world) as log:
        async with another_writer(world):
            first = asyncio.create_task(log.add(submission(0)))
            await asyncio.sleep(0.1)
            given_up = asyncio.create_task(log.add(submission(1)))
            await asyncio.sleep(0)
            given_up.cancel()
            await asyncio.sleep(0)
        await first
        await log.add(submission(2))
    assert len(check_log(world.path).leaves) == 2


async def test_cancelling_one_caller_leaves_the_others(world: World) -> None:
    async with running(world) as log:
        tasks = [asyncio.create_task(log.add(submission(number))) for number in range(20)]
        await asyncio.sleep(0)
        tasks[7].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results.pop(7), asyncio.CancelledError)
        assert not [result for result in results if isinstance(result, BaseException)]
    check_log(world.path)


async def test_closing_finishes_what_waits(world: World) -> None:
    log = world.open()
    tasks = [asyncio.create_task(log.add(submission(number))) for number in range(50)]
    await asyncio.sleep(0)
    await log.aclose()
    await asyncio.gather(*tasks)
    assert len(check_log(world.path).leaves) == 50
    with pytest.raises(LogUnavailable, match="has stopped"):
        await log.add(submission(51))


async def test_closing_records_the_last_checkpoint_and_ends_the_thread(world: World) -> None:
    async with running(world) as log:
        await log.add(submission(1))
        thread = log._thread
    assert not thread.is_alive()
    assert threading.active_count() < 50
    assert (world.marker.read() or "").split("\n")[1] == "1"


async def test_the_last_checkpoint_is_recorded_while_it_runs(world: World) -> None:
    async with running(world, Limits(marker_interval=0.05)) as log:
        await log.add(submission(1))
        for _ in range(100):
            if (world.marker.read() or "").split("\n")[1] == "1":
                break
            await asyncio.sleep(0.02)
        else:
            pytest.fail("the last checkpoint was not recorded")


async def test_a_frozen_log_says_so(world: World) -> None:
    async with running(world) as log, running(world) as other:
        await log.add(submission(1))
        await log.freeze()
        for frozen in (log, other):
            with pytest.raises(LogFrozen):
                await frozen.add(submission(2))
            with pytest.raises(LogFrozen):
                await frozen.check(world.clock())
    assert len(check_log(world.path).leaves) == 1
    assert world.logs.current().frozen


@pytest.mark.parametrize(
    "large",
    [
        replace(submission(), certificate=bytes(MAX_CERTIFICATE + 1)),
        replace(submission(), precertificate=bytes(MAX_CERTIFICATE + 1)),
        replace(submission(), chain=(b"i", bytes(MAX_CERTIFICATE + 1))),
        replace(submission(), chain=(b"i",) * 11),
    ],
    ids=["certificate", "precertificate", "issuer", "chain"],
)
async def test_what_is_too_large_is_refused_alone(world: World, large) -> None:
    async with running(world) as log:
        good, refused = await asyncio.gather(log.add(submission(1)), log.add(large), return_exceptions=True)
        assert isinstance(refused, LogRefused)
        assert not isinstance(good, BaseException)
        await log.add(replace(submission(2), certificate=bytes(MAX_CERTIFICATE)))
    check_log(world.path)


async def test_a_full_disk_costs_the_batch_and_recovers(world: World) -> None:
    async with running(world) as log:
        await log.add(submission(0))
        sql = log._sequencer.store._sql
        pages = sql.execute("PRAGMA page_count").fetchone()[0]
        sql.execute(f"PRAGMA max_page_count = {pages}")
        results = await asyncio.gather(*(log.add(submission(n)) for n in range(1, 90)), return_exceptions=True)
        assert {type(result) for result in results} == {LogUnavailable}
        assert {result.retry_after for result in results if isinstance(result, LogUnavailable)} == {10}
        sql.execute("PRAGMA max_page_count = 100000")
        await log.add(submission(1))
    assert len(check_log(world.path).leaves) == 2
    assert not world.deaths


async def test_a_damaged_head_stops_the_log_for_good(world: World, capsys) -> None:
    async with running(world) as log:
        await log.add(submission(0))
        with closing(sqlite3.connect(world.database)) as sql:
            sql.execute("UPDATE head SET root = zeroblob(32), size = size + 1")
            sql.commit()
        for number in range(1, 4):
            with pytest.raises(LogUnavailable, match="has stopped") as caught:
                await log.add(submission(number))
            assert str(world.path) not in caught.value.public_message
        with pytest.raises(LogUnavailable, match="has stopped"):
            await log.check(world.clock())
    assert not world.deaths
    assert "log is damaged" in capsys.readouterr().out


async def test_an_sct_is_within_the_window_that_the_ca_accepts(world: World, ca: CA) -> None:
    pre = precertificate(ca)
    async with running(world) as log:
        sct = await log.add_pre_chain(pre, world.clock())
    verify(sct, pre, LogKey.of(world_key(world)), world.clock() + timedelta(minutes=9))


def world_key(world: World):
    return load_keys(world.path).log_key.public_key()
