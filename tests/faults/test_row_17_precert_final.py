"""Row 17: a final certificate that does not correspond to its precertificate, and keys that change between the two.

Expected: nothing is answered, `MISISSUANCE` without further words, the serial is spent, the error record names it, and
the alarm counts it. A pair that is reloaded meanwhile is not mixed with the old one: precertificate and final
certificate are of one key, the next certificate is of the new one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import pytest
import structlog
from cryptography import x509
from cryptography.hazmat import asn1

from ca.certificate.profile import Draft, Profile
from ca.certificate.structures import Extension, TBSCertificate, encode
from ca.ct.model import Log, Precertificate
from ca.ct.remote import RemoteLog
from ca.ct.rfc6962 import SCT
from ca.ct.verify import LogKey
from ca.keys.ephemeral import EphemeralKeys, ephemeral_ca_key
from ca.keys.model import CAKey, PublicKey, SigningKey
from ca.main import clock
from tests.api.another import another_ca
from tests.api.server import CA, leaf
from tests.ct.logs import HonestLog
from tests.dev.server import listener, serving
from tests.faults.lying_log import logged

Change = Callable[[bytes], bytes]


@dataclass(frozen=True)
class CarelessDraft:
    """A draft whose final TBSCertificate is changed before it is signed."""

    draft: Draft
    change: Change

    def __getattr__(self, name: str) -> object:
        return getattr(self.draft, name)

    def certificate_tbs(self, sct_list: bytes | None) -> bytes:
        return self.change(self.draft.certificate_tbs(sct_list))


@dataclass(frozen=True)
class CarelessProfile(Profile):
    change: Change = bytes

    def draft(self, *arguments, **named) -> CarelessDraft:
        return CarelessDraft(super().draft(*arguments, **named), self.change)


@contextmanager
def running(
    ca: CA, keys: EphemeralKeys, profile: Profile | None = None, around: Callable[[Log], Log] = lambda log: log
) -> Iterator[tuple[CA, HonestLog]]:
    log, sock = HonestLog(keys.ca_key.chain.certificates[-1]), listener()
    url = f"http://127.0.0.1:{sock.getsockname()[1]}/2026"

    # Its client belongs to the event loop of the server, which makes it with the first request.
    with (
        serving(log.app, sock),
        another_ca(ca, keys, profile=profile, log=around(Lazy(url, LogKey.of(log.key.public_key())))) as another,
    ):
        yield another, log


class Lazy:
    def __init__(self, url: str, key: LogKey) -> None:
        self._make = lambda: RemoteLog(url, key)
        self._log: RemoteLog | None = None

    async def add_pre_chain(self, precertificate: Precertificate, now: datetime) -> SCT:
        self._log = self._log or self._make()
        return await self._log.add_pre_chain(precertificate, now)

    async def check(self, now: datetime) -> None: ...

    async def aclose(self) -> None:
        if self._log:
            await self._log.aclose()


def new_keys() -> EphemeralKeys:
    return EphemeralKeys(asyncio.run(ephemeral_ca_key(clock())))


def flipped(part: Callable[[TBSCertificate], bytes]) -> Change:
    """One bit of the part, in the middle."""

    def change(tbs: bytes) -> bytes:
        value = part(asn1.decode_der(TBSCertificate, tbs))
        at = tbs.rindex(value) + len(value) // 2
        return tbs[:at] + bytes([tbs[at] ^ 1]) + tbs[at + 1 :]

    return change


def extensions(rewrite: Callable[[list[Extension]], list[Extension]]) -> Change:
    def change(tbs: bytes) -> bytes:
        parsed = asn1.decode_der(TBSCertificate, tbs)
        parsed.extensions = rewrite(list(parsed.extensions))
        return encode(parsed)

    return change


def value(number: int) -> Callable[[TBSCertificate], bytes]:
    return lambda tbs: tbs.extensions[number].value


CHANGES: dict[str, Change] = {
    "a bit of the serial": flipped(lambda tbs: tbs.serial_number.to_bytes(20, "big").lstrip(b"\0")),
    "a bit of the issuer": flipped(lambda tbs: encode(tbs.issuer)),
    "a bit of the key": flipped(lambda tbs: encode(tbs.subject_public_key_info)),
    "a bit of the key usage": flipped(value(0)),
    "a bit of the extended key usage": flipped(value(1)),
    "a bit of the subject key identifier": flipped(value(2)),
    "a bit of the authority key identifier": flipped(value(3)),
    "a bit of the name": flipped(value(4)),
    "a bit of the SCT": flipped(value(-1)),
    "reordered extensions": extensions(lambda given: [given[1], given[0], *given[2:]]),
    "the SCT list first": extensions(lambda given: [given[-1], *given[:-1]]),
    "a second SCT list": extensions(lambda given: [*given, given[-1]]),
    "no SCT list": extensions(lambda given: given[:-1]),
    "an extension less": extensions(lambda given: [*given[:5], *given[6:]]),
    "an extension twice": extensions(lambda given: [*given[:6], *given[5:]]),
    "a longer life": lambda tbs: tbs.replace(*_later(tbs)),
}


def _later(tbs: bytes) -> tuple[bytes, bytes]:
    """The end of validity, and the second after it."""
    from datetime import timedelta

    end = asn1.decode_der(TBSCertificate, tbs).validity.not_after.as_datetime()
    return tuple(b"\x17\x0d" + f"{moment:%y%m%d%H%M%SZ}".encode() for moment in (end, end + timedelta(seconds=1)))


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_final_certificate_that_differs_is_held_back(ca: CA, change: Change) -> None:
    with (
        structlog.testing.capture_logs() as records,
        running(ca, new_keys(), CarelessProfile(change=change)) as (careless, log),
    ):
        answer = careless.ask()
        assert answer.status_code == 500
        assert answer.json()["message"] == "Error marshaling code signing certificate"
        assert answer.json()["details"][0]["reason"] == "MISISSUANCE"
        assert "BEGIN CERTIFICATE" not in answer.text
        assert careless.figure("misissuances_total") == 1
        (spent,) = logged(log)
    (failure,) = [record for record in records if record["event"] == "issuance failed"]
    assert (failure["log_level"], failure["reason"]) == ("error", "MISISSUANCE")
    (request,) = [record for record in records if record.get("path") == "/api/v2/signingCert"]
    assert request["serial"] == f"{spent.serial_number:x}"
    assert "certificate_sha256" not in request


def test_without_a_change_the_same_writer_is_let_through(ca: CA) -> None:
    with running(ca, new_keys(), CarelessProfile(change=bytes)) as (careful, log):
        certificate = leaf(careful.ask())
        (precertificate,) = logged(log)
        assert certificate.serial_number == precertificate.serial_number


@dataclass
class ReloadedKeys:
    """`CAKeys` that a log's answer finds exchanged."""

    ca_key: CAKey

    def current(self, now: datetime) -> CAKey:
        return self.ca_key

    def chains(self) -> list:
        return [self.ca_key.chain]

    last_reload_error = None


@dataclass
class During:
    """A log during whose answer something happens."""

    log: Log
    happens: Callable[[], None]

    async def add_pre_chain(self, precertificate: Precertificate, now: datetime) -> SCT:
        sct = await self.log.add_pre_chain(precertificate, now)
        self.happens()
        return sct

    async def check(self, now: datetime) -> None: ...

    async def aclose(self) -> None:
        await self.log.aclose()


def signed_by(certificate: x509.Certificate, keys: EphemeralKeys) -> bool:
    try:
        certificate.verify_directly_issued_by(keys.ca_key.chain.certificates[0])
    except Exception:
        return False
    return True


def test_a_pair_reloaded_between_the_two_is_that_of_the_next_certificate(ca: CA) -> None:
    old, new = new_keys(), new_keys()
    keys = ReloadedKeys(old.ca_key)

    def reload() -> None:
        keys.ca_key = new.ca_key

    with running(ca, keys, around=lambda log: During(log, reload)) as (changing, log):  # type: ignore[arg-type]
        certificate = leaf(changing.ask())
        assert signed_by(certificate, old)
        assert signed_by(logged(log)[0], old)
        # The log knows the old root alone: the new pair's precertificate is its, and refused.
        assert changing.ask().json()["details"][0]["reason"] == "LOG_REFUSED"
        assert logged(log)[1].issuer == new.ca_key.chain.certificates[0].subject
        assert logged(log)[1].serial_number != certificate.serial_number


class RotatedSigner:
    """A key that is another one underneath from the second signature on, as in a token whose slot was exchanged."""

    def __init__(self, first: SigningKey, then: SigningKey) -> None:
        self._keys = [first, then]
        self.public_key: PublicKey = first.public_key
        self.signature_algorithm = first.signature_algorithm

    async def sign(self, message: bytes) -> bytes:
        key = self._keys[0]
        self._keys = self._keys[1:] or self._keys
        return await key.sign(message)


def test_a_signer_rotated_between_the_two_issues_nothing(ca: CA) -> None:
    first, then = new_keys().ca_key, new_keys().ca_key
    rotated = EphemeralKeys(CAKey(RotatedSigner(first.signing_key, then.signing_key), first.chain))
    with running(ca, rotated) as (changing, log):
        for _ in range(2):
            answer = changing.ask()
            assert answer.status_code == 500
            assert "BEGIN CERTIFICATE" not in answer.text
        assert changing.figure("misissuances_total") >= 1
        assert len({precertificate.serial_number for precertificate in logged(log)}) == len(log.bodies)
