"""Thousands of certificates under one CA: real ones, signed, that differ in their serial number alone.

The same in every process and every run, since logs tell certificates apart by their bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.ct.pki import element, key_hash, without_poison

BEGIN = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ROOT_KEY, ISSUING_KEY, LEAF_KEY = (ec.derive_private_key(secret, ec.SECP256R1()) for secret in (11, 22, 33))
ISSUER_KEY_HASH = key_hash(ISSUING_KEY.public_key())

CODE_SIGNING = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])

_SERIAL = bytes.fromhex("7e00ff00ff00ff00ff00ff00ff00ff7e")
"""Stands in the templates where a certificate has its own."""
_ALGORITHM = bytes.fromhex("300a06082a8648ce3d040302")  # ecdsa-with-SHA256


def _ca(name: str, key: ec.EllipticCurvePrivateKey, issuer: str, issuer_key: ec.EllipticCurvePrivateKey) -> bytes:
    usage = x509.KeyUsage(
        key_cert_sign=True,
        crl_sign=True,
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        _builder(name, key, issuer, timedelta(days=3650), serial=len(name))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(CODE_SIGNING, critical=False)
    )
    return builder.sign(issuer_key, SHA256(), ecdsa_deterministic=True).public_bytes(Encoding.DER)


def _builder(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: str, lifetime: timedelta, serial: int
) -> x509.CertificateBuilder:
    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)] if text else [])

    return (
        x509.CertificateBuilder(serial_number=serial)
        .subject_name(named(name))
        .issuer_name(named(issuer))
        .public_key(key.public_key())
        .not_valid_before(BEGIN)
        .not_valid_after(BEGIN + lifetime)
    )


CHAIN = (_ca("issuing", ISSUING_KEY, "root", ROOT_KEY), _ca("root", ROOT_KEY, "root", ROOT_KEY))


def precertificate(number: int, *, again: bool = False) -> tuple[bytes, bytes]:
    """The DER precertificate of this number, and its TBSCertificate without the poison; `again` under a signature of
    its own."""
    tbs, clean = _template(poisoned=True)
    serial = (0x40 << 120 | number).to_bytes(16, "big")
    return _signed(tbs(serial), deterministic=not again), clean(serial)


def certificate(number: int) -> bytes:
    """The DER certificate of this number: a final one, and of no precertificate."""
    tbs, _ = _template(poisoned=False)
    return _signed(tbs((0x41 << 120 | number).to_bytes(16, "big")), deterministic=True)


@cache
def _template(*, poisoned: bool) -> tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]:
    """From a serial number to the TBSCertificate, and to the one without poison."""
    builder = (
        _builder("", LEAF_KEY, "issuing", timedelta(minutes=10), serial=int.from_bytes(_SERIAL, "big"))
        .add_extension(CODE_SIGNING, critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.RFC822Name("ada@example.com")]), critical=True)
    )
    if poisoned:
        builder = builder.add_extension(x509.PrecertPoison(), critical=True)
    tbs = builder.sign(ISSUING_KEY, SHA256()).tbs_certificate_bytes
    return _with_serial(tbs), _with_serial(without_poison(tbs) if poisoned else tbs)


def _with_serial(tbs: bytes) -> Callable[[bytes], bytes]:
    before, after = tbs.split(_SERIAL)
    return lambda serial: before + serial + after


def _signed(tbs: bytes, *, deterministic: bool) -> bytes:
    signature = ISSUING_KEY.sign(tbs, ec.ECDSA(SHA256(), deterministic_signing=deterministic))
    return element(b"\x30", tbs + _ALGORITHM + element(b"\x03", b"\x00" + signature))
