"""What clients have to know to sign with an instance, and to verify what was signed: facts, not yet documents."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NewType

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

if TYPE_CHECKING:
    from datetime import datetime

    from ca.certificate.chain import Chain

SPKI = NewType("SPKI", bytes)
"""DER SubjectPublicKeyInfo."""

# common.v1.PublicKeyDetails of protobuf-specs.
_CURVES: Final = {"secp256r1": "PKIX_ECDSA_P256_SHA_256", "secp384r1": "PKIX_ECDSA_P384_SHA_384"}
_RSA_SIZES: Final = {2048, 3072, 4096}
_ED25519_NOTE_KEY: Final = b"\x01"


@dataclass(frozen=True, slots=True)
class Period:
    """From when to when something is believed; both ends belong to it."""

    start: datetime
    end: datetime | None = None
    """None while it is in use."""


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority or a timestamp authority."""

    uri: str
    chain: Chain
    """The CA's issuing certificate, or the timestamp authority's own, first; the root last."""
    period: Period


@dataclass(frozen=True, slots=True)
class TransparencyLog:
    """A CT log, or a log of signatures (Rekor)."""

    base_url: str
    public_key: SPKI
    log_id: bytes
    """32 bytes: `ct_log_id` or `note_log_id`."""
    period: Period


@dataclass(frozen=True, slots=True)
class Service:
    """Something that clients talk to when they sign."""

    url: str
    major_api_version: int
    period: Period


@dataclass(frozen=True, slots=True)
class TrustMaterial:
    """Everything about one instance."""

    operator: str
    """Who runs it, such as a domain; clients tell services of one operator from those of another."""
    authorities: tuple[Authority, ...]
    ctlogs: tuple[TransparencyLog, ...]
    tlogs: tuple[TransparencyLog, ...] = ()
    timestamp_authorities: tuple[Authority, ...] = ()
    ca_services: tuple[Service, ...] = ()
    oidc_services: tuple[Service, ...] = ()
    rekor_services: tuple[Service, ...] = ()
    timestamp_services: tuple[Service, ...] = ()


def ct_log_id(public_key: SPKI) -> bytes:
    """RFC 6962 §3.2: the SHA-256 of the key, for static-ct logs as well."""
    return hashlib.sha256(public_key).digest()


def note_log_id(public_key: SPKI, origin: str) -> bytes:
    """All 32 bytes of the hash whose first four name a log's key in its checkpoints (C2SP signed-note).

    For ECDSA that is the key's hash alone, as Rekor has it.
    """
    key = load_der_public_key(public_key)
    if not isinstance(key, Ed25519PublicKey):
        return ct_log_id(public_key)
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return hashlib.sha256(origin.encode() + b"\n" + _ED25519_NOTE_KEY + raw).digest()


def key_details(public_key: SPKI) -> str:
    """The name that protobuf-specs has for keys of this kind. Raises ValueError for what no client verifies."""
    match load_der_public_key(public_key):
        case ec.EllipticCurvePublicKey(curve=curve) if curve.name in _CURVES:
            return _CURVES[curve.name]
        case Ed25519PublicKey():
            return "PKIX_ED25519"
        case RSAPublicKey(key_size=size) if size in _RSA_SIZES:
            return f"PKIX_RSA_PKCS1V15_{size}_SHA256"
        case _:
            raise ValueError("expected an ECDSA key on P-256 or P-384, Ed25519, or RSA of 2048, 3072 or 4096 bits")
