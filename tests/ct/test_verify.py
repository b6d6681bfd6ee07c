from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from ca.ct.rfc6962 import SCT
from ca.ct.verify import LogKey, verify
from ca.errors import SCTInvalid
from tests.ct.logs import HonestLog, digitally_signed, signed_by_log
from tests.ct.pki import CA, NOW, key_hash, precertificate
from tests.ct.published import EMBEDDED, EMBEDDED_OF_ANOTHER, LOG_KEY, as_sct, embedded_scts, submitted


class Promise:
    """A log, what it was given and what it answered."""

    def __init__(self, ca: CA, **log: object) -> None:
        self.log = HonestLog(ca.root, **log)
        self.precertificate = precertificate(ca)
        answer = self.log.answer([self.precertificate.der, *self.precertificate.chain])
        self.sct = SCT.from_add_response(json.dumps(answer).encode())
        self.key = LogKey.of(self.log.key.public_key())

    def verify(self, now: datetime = NOW, **changes: object) -> None:
        verify(replace(self.sct, **changes), self.precertificate, self.key, now)


def test_sct_of_an_honest_log_verifies(ca):
    Promise(ca).verify()


def test_sct_with_extensions_verifies(ca):
    Promise(ca, extensions=bytes.fromhex("0000050000000001")).verify()


@pytest.mark.parametrize("key", [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP384R1())])
def test_sct_by_another_kind_of_key_verifies(ca, key):
    Promise(ca, key=key).verify()


def test_published_sct_verifies_for_its_precertificate_alone():
    key = LogKey.of(LOG_KEY)
    (good,), (other,) = embedded_scts(EMBEDDED), embedded_scts(EMBEDDED_OF_ANOTHER)
    verify(as_sct(good), submitted(), key, good.timestamp.replace(tzinfo=UTC))
    with pytest.raises(SCTInvalid, match="not the log's over this precertificate"):
        verify(as_sct(other), submitted(), key, other.timestamp.replace(tzinfo=UTC))


@pytest.mark.parametrize("age", [timedelta(seconds=-59), timedelta(0), timedelta(minutes=9, seconds=59)])
def test_sct_of_about_now_verifies(ca, age):
    Promise(ca).verify(NOW + age)


@pytest.mark.parametrize(
    ("age", "place"),
    [
        (timedelta(seconds=-61), "ahead of"),
        (timedelta(days=-400), "ahead of"),
        (timedelta(minutes=10, seconds=1), "behind"),
        (timedelta(days=400), "behind"),
    ],
)
def test_sct_of_another_time_is_refused(ca, age, place):
    with pytest.raises(SCTInvalid, match=f"{place} our clock"):
        Promise(ca).verify(NOW + age)


@pytest.mark.parametrize("timestamp", [0, 2**63, 2**64 - 1])
def test_sct_time_at_the_ends_of_its_type_is_refused(ca, timestamp):
    with pytest.raises(SCTInvalid, match="our clock"):
        Promise(ca).verify(timestamp=timestamp)


def test_sct_of_another_log_is_refused(ca):
    with pytest.raises(SCTInvalid, match="the SCT is of log"):
        Promise(ca).verify(log_id=bytes(32))


def test_sct_in_our_log_s_name_by_another_key_is_refused(ca):
    promise, other = Promise(ca), Promise(ca)
    precert = promise.precertificate
    signed = signed_by_log(precert.clean_tbs, precert.issuer_key_hash, promise.sct.timestamp)
    with pytest.raises(SCTInvalid, match="signature is not the log's"):
        promise.verify(signature=digitally_signed(other.log.key, signed))


def test_sct_over_another_precertificate_is_refused(ca):
    promise, other = Promise(ca), precertificate(ca)
    with pytest.raises(SCTInvalid, match="signature is not the log's"):
        verify(promise.sct, other, promise.key, NOW)


def test_sct_for_another_issuing_key_is_refused(ca):
    promise = Promise(ca)
    other = replace(promise.precertificate, issuer_key_hash=bytes(32))
    with pytest.raises(SCTInvalid, match="signature is not the log's"):
        verify(promise.sct, other, promise.key, NOW)


def test_changed_timestamp_is_refused(ca):
    promise = Promise(ca)
    with pytest.raises(SCTInvalid, match="signature is not the log's"):
        promise.verify(timestamp=promise.sct.timestamp + 1)


def test_changed_extensions_are_refused(ca):
    with pytest.raises(SCTInvalid, match="signature is not the log's"):
        Promise(ca).verify(extensions=b"x")


def test_signature_over_a_certificate_entry_is_refused(ca):
    # The same bytes as x509_entry (RFC 6962 §3.2): a promise about another kind of entry.
    promise = Promise(ca)
    precert = promise.precertificate
    signed = signed_by_log(precert.clean_tbs, precert.issuer_key_hash, promise.sct.timestamp)
    as_certificate = signed[:10] + b"\x00\x00" + signed[44:]
    with pytest.raises(SCTInvalid, match="signature is not the log's"):
        promise.verify(signature=digitally_signed(promise.log.key, as_certificate))


@pytest.mark.parametrize(
    ("signature", "complaint"),
    [
        (b"", "TLS algorithm"),
        (b"\x04", "TLS algorithm"),
        (bytes.fromhex("0401000100"), "TLS algorithm 0401; expected 0403"),
        (bytes.fromhex("0503000100"), "TLS algorithm 0503; expected 0403"),
        (bytes.fromhex("0003000100"), "TLS algorithm 0003; expected 0403"),
        (bytes.fromhex("0403"), "another length"),
        (bytes.fromhex("0403000200"), "another length"),
        (bytes.fromhex("0403000000"), "another length"),
        (bytes.fromhex("04030000"), "signature is not the log's"),
        (bytes.fromhex("0403000100"), "signature is not the log's"),
    ],
)
def test_malformed_signature_is_refused(ca, signature, complaint):
    with pytest.raises(SCTInvalid, match=complaint):
        Promise(ca).verify(signature=signature)


def test_signature_with_bytes_behind_it_is_refused(ca):
    promise = Promise(ca)
    with pytest.raises(SCTInvalid, match="another length"):
        promise.verify(signature=promise.sct.signature + b"\x00")


def test_ecdsa_signature_for_an_rsa_log_is_refused(ca):
    promise = Promise(ca, key=rsa.generate_private_key(65537, 2048))
    with pytest.raises(SCTInvalid, match="TLS algorithm 0403; expected 0401"):
        promise.verify(signature=Promise(ca).sct.signature)


def test_log_id_is_the_hash_of_the_key(ca):
    promise = Promise(ca)
    assert promise.key.log_id == key_hash(promise.log.key.public_key()) == promise.sct.log_id
