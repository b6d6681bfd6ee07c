"""Certificates, SCTs and the log key that certificate-transparency-go publishes as test data."""

from __future__ import annotations

import warnings
from datetime import UTC
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_public_key
from cryptography.utils import CryptographyDeprecationWarning

from ca.ct.model import Precertificate
from ca.ct.rfc6962 import SCT
from tests.ct.pki import key_hash, without_poison

_VECTORS = Path(__file__).parents[1] / "vectors" / "rfc6962"


def _certificate(name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((_VECTORS / name).read_bytes())


# Of that CA's certificate the key alone: a serial number of 0 is more than parsers take today.
ISSUER_KEY_HASH = key_hash(load_pem_public_key((_VECTORS / "ca-key.pem").read_bytes()))
PRECERTIFICATE = _certificate("precertificate.pem")
EMBEDDED = _certificate("embedded.pem")
EMBEDDED_OF_ANOTHER = _certificate("embedded-of-another.pem")
LOG_KEY = load_pem_public_key((_VECTORS / "log-key.pem").read_bytes())


def submitted() -> Precertificate:
    return Precertificate(
        der=PRECERTIFICATE.public_bytes(Encoding.DER),
        clean_tbs=without_poison(PRECERTIFICATE.tbs_certificate_bytes),
        issuer_key_hash=ISSUER_KEY_HASH,
        chain=(),
        not_after=PRECERTIFICATE.not_valid_after_utc,
    )


def embedded_scts(certificate: x509.Certificate) -> list[x509.certificate_transparency.SignedCertificateTimestamp]:
    extension = x509.PrecertificateSignedCertificateTimestamps
    with warnings.catch_warnings():
        # Its authority key identifier names the serial number 0.
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        return list(certificate.extensions.get_extension_for_class(extension).value)


def as_sct(parsed: x509.certificate_transparency.SignedCertificateTimestamp) -> SCT:
    timestamp = round(parsed.timestamp.replace(tzinfo=UTC).timestamp() * 1000)
    signature = b"\x04\x03" + len(parsed.signature).to_bytes(2, "big") + parsed.signature
    return SCT(parsed.log_id, timestamp, parsed.extension_bytes, signature)
