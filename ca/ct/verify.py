"""The log's key, and whether an SCT is a promise of that log for our precertificate."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ca.ct.rfc6962 import precert_signature_input
from ca.errors import SCTInvalid

if TYPE_CHECKING:
    from datetime import datetime

    from ca.ct.model import Precertificate
    from ca.ct.rfc6962 import SCT

_SHA256 = 4  # HashAlgorithm, RFC 5246 §7.4.1.4.1
_RSA, _ECDSA = 1, 3  # SignatureAlgorithm, ibid.

OLDEST = timedelta(minutes=10)
NEWEST = timedelta(minutes=1)
"""How far an SCT's time may lie before and after ours: logs answer a resubmission with the first SCT, and
clocks differ. The bounds are Boulder's (`publisher/publisher.go`)."""


@dataclass(frozen=True, slots=True)
class LogKey:
    """The public key of the one log whose SCTs count."""

    public_key: EllipticCurvePublicKey | RSAPublicKey
    log_id: bytes
    """SHA-256 of the DER SubjectPublicKeyInfo, RFC 6962 §3.2."""

    @classmethod
    def of(cls, public_key: EllipticCurvePublicKey | RSAPublicKey) -> LogKey:
        spki = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return cls(public_key, hashlib.sha256(spki).digest())

    @property
    def refused_by(self) -> str:
        """The clients that do not verify SCTs by a key of this kind; empty for P-256, the one that all do."""
        match self.public_key:
            case RSAPublicKey():
                return "sigstore-js and sigstore-rs"
            case EllipticCurvePublicKey(curve=SECP256R1()):
                return ""
            case _:
                return "sigstore-python, cosign, sigstore-java and sigstore-rs"


def verify(sct: SCT, precertificate: Precertificate, key: LogKey, now: datetime) -> None:
    """Return if `sct` is the promise of the log with `key` for `precertificate`. Raises SCTInvalid."""
    if sct.log_id != key.log_id:
        raise SCTInvalid(f"the SCT is of log {sct.log_id.hex()}; expected {key.log_id.hex()}, whose key is configured")
    milliseconds = int(now.timestamp() * 1000)
    age = timedelta(milliseconds=max(min(milliseconds - sct.timestamp, 2**40), -(2**40)))
    if not -NEWEST <= age <= OLDEST:
        place = "behind" if age > timedelta() else "ahead of"
        raise SCTInvalid(
            f"the SCT's time is {abs(age)} {place} our clock; at most {OLDEST} behind and {NEWEST} ahead are "
            "accepted: compare both clocks"
        )
    signed = precert_signature_input(sct, precertificate.clean_tbs, precertificate.issuer_key_hash)
    _verify_signature(key, _raw_signature(sct.signature, key), signed)


def _raw_signature(digitally_signed: bytes, key: LogKey) -> bytes:
    """The signature out of a DigitallySigned by an algorithm of RFC 6962 §2.1.4."""
    algorithm = _RSA if isinstance(key.public_key, RSAPublicKey) else _ECDSA
    header, signature = digitally_signed[:4], digitally_signed[4:]
    if header[:2] != bytes([_SHA256, algorithm]):
        raise SCTInvalid(
            f"the SCT is signed by TLS algorithm {header[:2].hex()}; expected {_SHA256:02x}{algorithm:02x}"
        )
    if header[2:] != len(signature).to_bytes(2, "big"):
        raise SCTInvalid("the SCT's signature has another length than it says")
    return signature


def _verify_signature(key: LogKey, signature: bytes, signed: bytes) -> None:
    try:
        if isinstance(key.public_key, RSAPublicKey):
            key.public_key.verify(signature, signed, PKCS1v15(), SHA256())
        else:
            key.public_key.verify(signature, signed, ECDSA(SHA256()))
    except InvalidSignature as problem:
        raise SCTInvalid("the SCT's signature is not the log's over this precertificate") from problem
