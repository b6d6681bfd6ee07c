"""Row 18: CT logs that are dead, slow, rude or lying.

Expected: with one log in order, a certificate with exactly its SCT; otherwise 503 where waiting may help and 500 where
an operator has to act, with a stable reason. Never a certificate without a verified SCT, never a final signature
without one, and nothing of the log's own words in the answer.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from ca.main import clock
from tests.faults import lying_log
from tests.faults.logs import Logged, log_id, logged_ca, sct_log_id
from tests.faults.lying_log import Lie, logged, status
from tests.faults.proxy import NONE, Fault

INVALID = {
    lie.__name__: lie
    for lie in (
        lying_log.wrong_key,
        lying_log.wrong_log_id,
        lying_log.another_log,
        lying_log.too_old,
        lying_log.in_the_future,
        lying_log.old_duplicate,
        lying_log.another_tbs,
        lying_log.another_timestamp,
        lying_log.other_extensions,
        lying_log.another_version,
        lying_log.fractional_timestamp,
        lying_log.truncated_signature,
        lying_log.garbage,
        lying_log.html,
        lying_log.nothing,
        lying_log.nested,
        lying_log.huge,
        lying_log.created,
    )
}
REFUSED = {
    "400": status(400),
    "403": status(403),
    "404": status(404),
    "410": status(410),
    "413": status(413),
    "redirect": lying_log.redirect,
}
UNAVAILABLE = {"429": status(429, Retry_After="1"), "500": status(500), "503": status(503)}
CUT = {
    "closed before the answer": Fault(answer_bytes=0),
    "closed within the status line": Fault(answer_bytes=10),
    "closed within the body": Fault(answer_bytes=150),
    "closed within the request": Fault(request_bytes=100),
    "reset": Fault(reset=True),
    "reset within the body": Fault(answer_bytes=150, reset=True),
}


@pytest.fixture(scope="module")
def alone_(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logged]:
    with logged_ca(tmp_path_factory.mktemp("alone"), fallback=False) as running:
        yield running


@pytest.fixture(scope="module")
def two_(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logged]:
    with logged_ca(tmp_path_factory.mktemp("two"), fallback=True) as running:
        yield running


@pytest.fixture
def alone(alone_: Logged) -> Iterator[Logged]:
    yield alone_
    in_order_again(alone_)


@pytest.fixture
def two(two_: Logged) -> Iterator[Logged]:
    yield two_
    in_order_again(two_)


def in_order_again(world: Logged) -> None:
    """So that the failures of one test do not add up with the next one's, and a liar is not left alone for ever."""
    world.first.lie, world.proxy.fault = None, NONE
    world.proxy.drop()
    answer = world.ask()
    assert answer.status_code == 200
    assert sct_log_id(answer) == log_id(world.first)


def refused(world: Logged, answer: httpx.Response, code: int, reason: str) -> None:
    assert answer.status_code == code, answer.text
    assert answer.json()["details"][0]["reason"] == reason
    assert answer.json()["message"].startswith("Error entering certificate in CTL")
    assert "BEGIN CERTIFICATE" not in answer.text
    assert "10.0.0.7" not in answer.text


def asked_alone(world: Logged, code: int, reason: str) -> httpx.Response:
    """One request of a CA whose only log is not in order."""
    signatures, issued = world.ca.final_signatures, world.ca.figure("signing_seconds_count", outcome="issued")
    answer = world.ask()
    refused(world, answer, code, reason)
    assert world.ca.final_signatures == signatures
    assert world.ca.figure("signing_seconds_count", outcome="issued") == issued
    return answer


# ---- the only log ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lie", INVALID.values(), ids=INVALID)
def test_a_lie_of_the_only_log_yields_no_certificate_and_is_told_once(alone: Logged, lie: Lie) -> None:
    alone.first.lie, before = lie, len(alone.first.bodies)
    asked_alone(alone, 500, "SCT_INVALID")
    assert len(alone.first.bodies) == before + 1


@pytest.mark.parametrize("lie", REFUSED.values(), ids=REFUSED)
def test_a_refusal_by_the_only_log_yields_no_certificate_and_no_retry(alone: Logged, lie: Lie) -> None:
    alone.first.lie, before = lie, len(alone.first.bodies)
    asked_alone(alone, 500, "LOG_REFUSED")
    assert len(alone.first.bodies) == before + 1


@pytest.mark.parametrize("lie", UNAVAILABLE.values(), ids=UNAVAILABLE)
def test_trouble_of_the_only_log_is_503_after_three_tries_with_the_same_bytes(alone: Logged, lie: Lie) -> None:
    alone.first.lie, before = lie, len(alone.first.bodies)
    answer = asked_alone(alone, 503, "LOG_UNAVAILABLE")
    assert int(answer.headers["retry-after"]) > 0
    tries = alone.first.bodies[before:]
    assert (len(tries), len(set(tries))) == (3, 1)


@pytest.mark.parametrize("fault", CUT.values(), ids=CUT)
def test_a_connection_to_the_only_log_that_is_cut_is_503(alone: Logged, fault: Fault) -> None:
    alone.proxy.fault = fault
    answer = asked_alone(alone, 503, "LOG_UNAVAILABLE")
    assert int(answer.headers["retry-after"]) > 0


def test_the_serial_of_a_precertificate_without_an_sct_is_never_used_again(alone: Logged) -> None:
    alone.first.lie = lying_log.wrong_key
    asked_alone(alone, 500, "SCT_INVALID")
    alone.first.lie = None
    assert alone.ask().status_code == 200
    serials = [precertificate.serial_number for precertificate in logged(alone.first)]
    assert serials[-1] != serials[-2]


def test_a_silent_log_is_503_within_ten_seconds_and_then_at_once(tmp_path: Path) -> None:
    with logged_ca(tmp_path, fallback=False) as world:
        world.proxy.fault = Fault(blackhole=True)
        answers: list[httpx.Response] = []
        clients = [threading.Thread(target=lambda: answers.append(world.ask())) for _ in range(5)]
        started = time.monotonic()
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        assert time.monotonic() - started < 12
        for answer in answers:
            refused(world, answer, 503, "LOG_UNAVAILABLE")
        started = time.monotonic()
        refused(world, answer := world.ask(), 503, "LOG_UNAVAILABLE")
        assert time.monotonic() - started < 2
        assert "left alone" in answer.json()["message"]
        assert 1 <= int(answer.headers["retry-after"]) <= 5
        assert world.ca.final_signatures == 0
        ready = world.ca.client.get("/readyz")
        assert (ready.status_code, ready.json()["ready"]) == (503, False)


def test_a_log_that_asks_for_a_minute_is_left_alone_and_clients_are_told(tmp_path: Path) -> None:
    with logged_ca(tmp_path, fallback=False) as world:
        world.first.lie = status(503, Retry_After="60")
        for _ in range(4):
            refused(world, answer := world.ask(), 503, "LOG_UNAVAILABLE")
            assert 50 <= int(answer.headers["retry-after"]) <= 60
        assert len(world.first.bodies) == 1
        assert world.ca.figure("ct_breaker_open", log=f"http://127.0.0.1:{world.proxy.port}/2026") == 1


def test_a_shard_whose_term_is_over_is_offered_nothing(tmp_path: Path) -> None:
    limit = (clock() + timedelta(minutes=1)).isoformat()
    with logged_ca(tmp_path, fallback=False, **{"log-not-after-limit": limit}) as world:
        asked_alone(world, 500, "LOG_REFUSED")
        assert not world.first.bodies


# ---- one of two -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lie", (INVALID | REFUSED | UNAVAILABLE).values(), ids=INVALID | REFUSED | UNAVAILABLE)
def test_with_a_fallback_the_certificate_has_its_sct_alone(two: Logged, lie: Lie) -> None:
    two.first.lie, before = lie, len(two.first.bodies)
    answer = two.ask()
    assert sct_log_id(answer) == log_id(two.fallback)
    assert len(two.first.bodies) > before


@pytest.mark.parametrize("fault", CUT.values(), ids=CUT)
def test_with_a_fallback_a_cut_connection_costs_no_certificate(two: Logged, fault: Fault) -> None:
    two.proxy.fault = fault
    assert sct_log_id(two.ask()) == log_id(two.fallback)


def test_both_down_is_503_and_no_certificate(two: Logged) -> None:
    assert two.fallback is not None
    signatures = two.ca.final_signatures
    two.first.lie = two.fallback.lie = status(500)
    try:
        refused(two, two.ask(), 503, "LOG_UNAVAILABLE")
    finally:
        two.fallback.lie = None
    assert two.ca.final_signatures == signatures


def test_a_first_log_that_is_slow_is_overtaken(tmp_path: Path) -> None:
    with logged_ca(tmp_path, fallback=True, **{"fallback-after": 0.1}) as world:
        world.first.lie = lying_log.late
        assert sct_log_id(world.ask()) == log_id(world.fallback)
        world.proxy.fault = Fault(drip=0.2)
        assert sct_log_id(world.ask()) == log_id(world.fallback)
        world.first.may_answer.set()


def test_readiness_says_of_each_log_how_it_is_and_one_is_enough(tmp_path: Path) -> None:
    with logged_ca(tmp_path, fallback=True) as world:
        world.proxy.fault = Fault(answer_bytes=0)
        ready = world.ca.client.get("/readyz")
        assert ready.status_code == 200
        assert ready.json()["checks"]["log"] == "ok"
        first, second = ready.json()["logs"].values()
        assert first == "Error entering certificate in CTL: the log does not answer"
        assert second == "ok"


def test_the_trusted_root_has_the_keys_of_both(two: Logged) -> None:
    import base64

    root = two.ca.client.get("/api/v2/trustedRoot")
    assert root.status_code == 200
    ids = {base64.b64decode(log["logId"]["keyId"]) for log in root.json()["ctlogs"]}
    assert ids == {log_id(two.first), log_id(two.fallback)}


# ---- the client leaves ----------------------------------------------------------------------------------------------


def test_a_client_that_left_before_the_log_answered_gets_no_final_signature(tmp_path: Path) -> None:
    import json

    with logged_ca(tmp_path, fallback=False) as world:
        world.first.lie = lying_log.late
        body = json.dumps(world.request()).encode()
        assert world.ca.client.base_url.port is not None
        with socket.create_connection(("127.0.0.1", world.ca.client.base_url.port)) as client:
            head = f"POST /api/v2/signingCert HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            client.sendall(head.encode() + body)
            assert world.first.asked.wait(10)
        time.sleep(0.3)  # the server sees the end of the connection, and the log has taken its time
        world.first.may_answer.set()
        deadline = time.monotonic() + 10
        while not world.ca.figure("signing_seconds_count", outcome="disconnected"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert len(world.first.bodies) == 1
        assert world.ca.final_signatures == 0

        world.first.lie = None
        assert world.ask().status_code == 200
        assert world.ca.final_signatures == 1
