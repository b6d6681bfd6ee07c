"""Without the log there is no certificate, and the client learns so in time."""

from __future__ import annotations

import time
from signal import SIGCONT, SIGSTOP

import httpx
import pytest

from tests.e2e.instance import dayfly
from tests.e2e.signing import Signer


def ask(url: str, token: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    body = Signer().cosign_3()
    return httpx.post(f"{url}/api/v2/signingCert", json=body, headers=headers, trust_env=False, timeout=30)


@pytest.fixture
def pair(directory, ca, provider, log):
    """An instance with a frontend of the log for itself, to do harm to."""
    with (
        log.frontend("doomed-ctfe") as (log_url, frontend),
        dayfly(directory, ca, provider.issuer, log_url, log.key_file, name="dayfly-of-doomed") as instance,
    ):
        yield instance, frontend


def refused_for_the_log(answer: httpx.Response) -> bool:
    return (
        answer.status_code == 503
        and answer.json()["message"].startswith("Error entering certificate in CTL")
        and int(answer.headers["retry-after"]) > 0
        and "CERTIFICATE" not in answer.text
    )


def test_dead_log_yields_503_and_no_certificate(pair, token):
    instance, frontend = pair
    assert ask(instance.url, token).status_code == 200
    frontend.end()
    started = time.monotonic()
    answer = ask(instance.url, token)
    assert time.monotonic() - started < 9
    assert refused_for_the_log(answer), answer.text


def test_dead_log_makes_the_instance_unready(pair):
    instance, frontend = pair
    frontend.end()
    deadline = time.monotonic() + 10
    while (answer := httpx.get(f"{instance.url}/readyz", trust_env=False, timeout=15)).status_code == 200:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert answer.status_code == 503
    assert httpx.get(f"{instance.url}/healthz", trust_env=False).status_code == 200


def test_frozen_log_yields_503_within_the_budget_and_recovers(pair, token):
    instance, frontend = pair
    frontend.process.send_signal(SIGSTOP)
    try:
        started = time.monotonic()
        answer = ask(instance.url, token)
        assert time.monotonic() - started < 9
        assert refused_for_the_log(answer), answer.text
    finally:
        frontend.process.send_signal(SIGCONT)
    assert ask(instance.url, token).status_code == 200
