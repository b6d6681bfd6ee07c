"""Row 25, the part of the CA and its log: the wall clock goes back five minutes, ahead an hour, or to a leap second.

Expected: set back, the embedded log takes nothing (503 with `Retry-After`) rather than sign an SCT that is older than
the last, and goes on when the clock has caught up; set ahead, certificates are of the new time and the log goes on
from there. Serials stay unique. What the CA waits for goes by a clock that such steps do not move.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from ca.ct.embedded.directory import LogDirectory
from ca.keys.ephemeral import EphemeralKeys, ephemeral_ca_key
from ca.main import clock
from tests.api.another import another_ca
from tests.api.server import CA, leaf
from tests.faults.asking import refused


@dataclass
class Stepped:
    """The real clock, and what was added to it."""

    step: timedelta = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.step


@contextmanager
def with_embedded_log(ca: CA, directory: Path, time: Stepped) -> Iterator[CA]:
    logs = LogDirectory(directory)
    logs.create("ct.example.org/2026h2", time())
    keys = EphemeralKeys(asyncio.run(ephemeral_ca_key(clock() - timedelta(days=1))))
    with another_ca(ca, keys, log=logs.open(logs.current(), time), clock=time) as running:
        yield running


def ask(ca: CA, time: Stepped) -> x509.Certificate:
    return leaf(ca.ask(token(ca, time)))


def token(ca: CA, time: Stepped) -> str:
    """Of an issuer whose clock steps as the CA's does."""
    claims = {
        "iss": ca.issuer("email"),
        "aud": "sigstore",
        "sub": "1",
        "email": "ada@example.com",
        "email_verified": True,
    }
    return ca.key.mint(claims, time())


def sct_time(certificate: x509.Certificate) -> datetime:
    (sct,) = certificate.extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps).value
    return sct.timestamp.replace(tzinfo=UTC)


def test_set_back_five_minutes_the_log_takes_nothing_until_the_clock_has_caught_up(ca: CA, tmp_path: Path) -> None:
    time = Stepped()
    with with_embedded_log(ca, tmp_path, time) as running:
        before = ask(running, time)
        time.step = timedelta(minutes=-5)
        answer = running.ask(token(running, time))
        assert answer.status_code == 503
        assert answer.json()["details"][0]["reason"] == "LOG_UNAVAILABLE"
        assert int(answer.headers["retry-after"]) > 0
        assert "set back" in answer.json()["message"]
        assert running.final_signatures == 1
        ready = running.client.get("/readyz")
        assert ready.status_code == 503
        time.step = timedelta()
        after = ask(running, time)
        assert sct_time(after) > sct_time(before)
        assert after.serial_number != before.serial_number


def test_set_back_a_second_it_goes_on_with_times_that_only_grow(ca: CA, tmp_path: Path) -> None:
    time = Stepped()
    with with_embedded_log(ca, tmp_path, time) as running:
        before = ask(running, time)
        time.step = timedelta(seconds=-1)
        assert sct_time(ask(running, time)) > sct_time(before)


def test_set_ahead_an_hour_certificates_and_scts_are_of_that_hour_and_there_is_no_way_back(
    ca: CA, tmp_path: Path
) -> None:
    time = Stepped()
    with with_embedded_log(ca, tmp_path, time) as running:
        ask(running, time)
        time.step = timedelta(hours=1)
        ahead = ask(running, time)
        assert abs(sct_time(ahead) - time()) < timedelta(minutes=1)
        assert abs(ahead.not_valid_before_utc - time()) < timedelta(minutes=1)
        assert ahead.not_valid_after_utc - ahead.not_valid_before_utc == timedelta(minutes=10)
        time.step = timedelta()
        assert running.ask(token(running, time)).status_code == 503


@pytest.mark.parametrize(("step", "reason"), [(timedelta(hours=1), "TOKEN_EXPIRED")])
def test_tokens_are_judged_by_the_clock_as_it_is(ca: CA, tmp_path: Path, step: timedelta, reason: str) -> None:
    time = Stepped()
    with with_embedded_log(ca, tmp_path, time) as running:
        minted = token(running, time)
        assert running.ask(minted).status_code == 200
        time.step = step
        refused(running.ask(minted), reason)


def test_a_certificate_never_begins_before_its_chain(ca: CA, tmp_path: Path) -> None:
    time = Stepped(timedelta(days=-3))
    with with_embedded_log(ca, tmp_path, time) as running:
        answer = running.ask(token(running, time))
        assert (answer.status_code, answer.json()["details"][0]["reason"]) == (503, "SIGNER_UNAVAILABLE")
