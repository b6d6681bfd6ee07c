"""Replay: one token, many keys, several replicas, and a Redis that fails in every way it can.

Expected: exactly as many certificates as the guard allows; guarded issuers fail closed with 503, limits fail open with
an alarm, and nothing hangs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.server import body, p256
from tests.faults.replicas import Replicas, replicas, workers
from tests.redis_server import RedisServer, needs_redis, redis_server


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server


def fifty(token: str) -> list[dict[str, Any]]:
    return [body(token, key=p256()) for _ in range(50)]


def reason(answer: httpx.Response) -> str:
    found: str = answer.json()["details"][0]["reason"] if answer.status_code != 200 else "ISSUED"
    return found


def assert_exactly_one(answers: list[httpx.Response]) -> None:
    assert sorted(map(reason, answers)) == ["ISSUED"] + ["TOKEN_REPLAYED"] * 49


# ---- fifty at once -------------------------------------------------------------------------------------------------


@needs_redis
def test_one_token_with_fifty_keys_over_two_replicas_brings_one_certificate(tmp_path: Path, redis: RedisServer) -> None:
    with replicas(tmp_path, {"store": redis.url}, count=2) as pair:
        for guard in ("per-key", "single-use"):
            assert_exactly_one(pair.all_at_once(fifty(pair.token(guard))))
            same = body(pair.token(guard, jti="2"), key=p256())
            assert [answer.status_code for answer in pair.all_at_once([same] * 10)] == [200] * 10


def test_one_token_with_fifty_keys_over_two_workers_brings_one_certificate(tmp_path: Path) -> None:
    with workers(tmp_path, {}) as both:
        assert_exactly_one(both.all_at_once(fifty(both.token("per-key"))))


def test_one_token_with_fifty_keys_in_one_process_brings_one_certificate(tmp_path: Path) -> None:
    with replicas(tmp_path, {"store": "memory"}) as one:
        assert_exactly_one(one.all_at_once(fifty(one.token("single-use"))))
        assert {answer.status_code for answer in one.all_at_once(fifty(one.token("off")))} == {200}


@needs_redis
def test_a_limit_over_two_replicas_is_one_limit(tmp_path: Path, redis: RedisServer) -> None:
    with replicas(tmp_path, {"store": redis.url, "client": "1/h burst 20"}, count=2) as pair:
        answers = pair.all_at_once([body(pair.token(), key=p256()) for _ in range(50)])
        assert sorted(map(reason, answers)) == ["ISSUED"] * 20 + ["RATE_LIMITED"] * 30


# ---- a Redis that fails --------------------------------------------------------------------------------------------


def break_it(redis: RedisServer, how: str) -> None:
    match how:
        case "killed":
            redis.stop()
        case "paused":
            redis.pause()
        case "read-only":
            redis.command("REPLICAOF", "127.0.0.1", "1")
        case "full":
            redis.command("CONFIG", "SET", "maxmemory", "1")


def mend(redis: RedisServer, how: str) -> None:
    match how:
        case "killed":
            redis.start()
        case "paused":
            redis.resume()
        case "read-only":
            redis.command("REPLICAOF", "NO", "ONE")
        case "full":
            redis.command("CONFIG", "SET", "maxmemory", "0")


@needs_redis
@pytest.mark.parametrize("how", ["killed", "paused", "read-only", "full"])
def test_limits_fail_open_with_one_alarm_and_guards_fail_closed(
    tmp_path: Path, redis: RedisServer, how: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with replicas(tmp_path, {"store": redis.url, "client": "1/h burst 5"}) as one:
        used = one.token("per-key")
        assert one.ask(token=used).status_code == 200

        break_it(redis, how)
        started = time.monotonic()
        assert [one.ask().status_code for _ in range(10)] == [200] * 10
        for guard in ("per-key", "single-use"):
            answer = one.ask(token=one.token(guard, jti="2"))
            assert answer.status_code == 503
            assert reason(answer) == "TOKEN_GUARD_UNAVAILABLE"
            assert answer.headers["retry-after"] == "1"
        assert reason(one.ask(token=used)) != "ISSUED"
        assert time.monotonic() - started < 15
        assert one.metric("dayfly_limits_store_failed") == 1
        assert one.metric("dayfly_limits_unchecked_total") >= 12

        mend(redis, how)
        until_it_counts(one)
        if how != "killed":  # without persistence that one forgets
            assert reason(one.ask(token=used)) in {"TOKEN_REPLAYED", "RATE_LIMITED"}
        assert 429 in [one.ask().status_code for _ in range(6)]
        log = capfd.readouterr().err
        assert log.count("cannot count") == 1
        assert log.count("counts again") == 1


@needs_redis
def test_redis_paused_with_fifty_in_flight_hangs_nobody(tmp_path: Path, redis: RedisServer) -> None:
    with replicas(tmp_path, {"store": redis.url}, count=2) as pair:
        pair.ask(0)
        pair.ask(1)
        redis.pause()
        started = time.monotonic()
        answers = pair.all_at_once([body(pair.token("single-use", jti=str(i)), key=p256()) for i in range(50)])
        assert {reason(answer) for answer in answers} == {"TOKEN_GUARD_UNAVAILABLE"}
        assert time.monotonic() - started < 15


@needs_redis
def test_redis_that_is_not_there_at_the_start_prevents_nothing(tmp_path: Path, redis: RedisServer) -> None:
    redis.stop()
    with replicas(tmp_path, {"store": redis.url}) as one:
        assert one.ask().status_code == 200
        assert one.metric("dayfly_limits_store_failed") == 1


@needs_redis
def test_redis_that_goes_while_fifty_ask_never_lets_a_second_key_in(tmp_path: Path, redis: RedisServer) -> None:
    with replicas(tmp_path, {"store": redis.url}, count=2) as pair:
        pair.ask(0)
        pair.ask(1)
        stop = threading.Timer(0.1, redis.stop)
        stop.start()
        reasons = [reason(answer) for answer in pair.all_at_once(fifty(pair.token("per-key")))]
        stop.join()
        assert reasons.count("ISSUED") <= 1
        assert set(reasons) <= {"ISSUED", "TOKEN_REPLAYED", "TOKEN_GUARD_UNAVAILABLE"}


def until_it_counts(one: Replicas) -> None:
    for _ in range(100):
        one.ask(token=one.token("per-key", jti="probe"))
        if one.metric("dayfly_limits_store_failed") == 0:
            return
        time.sleep(0.1)
    raise AssertionError("the store has not come back")
