from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from starlette.requests import Request

from ca.api.health import LOG_CHECK_INTERVAL, Health
from ca.ct.model import Precertificate
from ca.ct.rfc6962 import SCT
from ca.errors import LogUnavailable
from ca.keys.ephemeral import EphemeralKeys, ephemeral_ca_key
from tests.api.server import CA, body, p256, running_ca

OK = {"caKey": "ok", "caKeyFiles": "ok", "identityConfig": "ok"}


def test_healthz_is_fulcio_s(ca: CA) -> None:
    answer = ca.client.get("/healthz", params={"service": "anything"})
    assert (answer.status_code, answer.content) == (200, b'{"status":"SERVING"}\n')
    assert answer.headers["content-type"] == "application/json"


def test_livez_answers(ca: CA) -> None:
    assert ca.client.get("/livez").json() == {"status": "alive"}


def test_readyz_says_that_the_log_is_switched_off(ca: CA) -> None:
    answer = ca.client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"ready": True, "checks": {**OK, "log": "switched off"}}


@pytest.fixture
def log_key(tmp_path: Path) -> Path:
    path = tmp_path / "log.pub.pem"
    path.write_bytes(p256().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return path


def test_with_a_dead_log_nothing_is_ready_and_nothing_is_issued(tmp_path: Path, log_key: Path) -> None:
    with running_ca(tmp_path, ct={"log": "http://127.0.0.1:9/dead", "log-key": log_key}) as ca:
        ready = ca.client.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["checks"]["caKey"] == "ok"
        assert ready.json()["checks"]["log"].startswith("Error entering certificate in CTL")

        answer = ca.client.post("/api/v2/signingCert", json=body(ca.token()), timeout=15)
        assert answer.status_code == 503
        assert answer.json()["code"] == 14
        assert answer.json()["message"].startswith("Error entering certificate in CTL")
        assert answer.json()["details"][0]["reason"] == "LOG_UNAVAILABLE"
        assert int(answer.headers["retry-after"]) > 0
        assert "CERTIFICATE" not in answer.text.replace("Error entering certificate", "")


class CountedLog:
    """A log that nothing is submitted to, and that says how often it was asked for its health."""

    def __init__(self) -> None:
        self.asked = 0

    async def add_pre_chain(self, precertificate: Precertificate, now: datetime) -> SCT:
        raise LogUnavailable

    async def check(self, now: datetime) -> None:
        self.asked += 1

    async def aclose(self) -> None: ...


@pytest.mark.anyio
async def test_the_log_is_asked_once_in_an_interval_and_at_once_when_the_clock_is_set_back() -> None:
    log, start = CountedLog(), datetime(2026, 11, 3, 12, 30, tzinfo=UTC)
    times = iter([start, start + LOG_CHECK_INTERVAL / 2, start + LOG_CHECK_INTERVAL, start - timedelta(hours=1)])
    health = Health(EphemeralKeys(await ephemeral_ca_key(start - timedelta(days=1))), {"log": log}, lambda: next(times))
    asked = []
    for _ in range(4):
        await health.readyz(Request({"type": "http"}))
        asked.append(log.asked)
    assert asked == [1, 1, 2, 3]
