"""Chains, keys and settings to make trust material of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ca.certificate.chain import Chain
from ca.keys.ceremony import create_intermediate, create_root
from ca.trust.material import OwnParts
from ca.trust.model import SPKI, Authority, Period, TransparencyLog, ct_log_id

if TYPE_CHECKING:
    from pathlib import Path

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def chain(name: str = "lab") -> Chain:
    root = create_root("example.org", f"{name} root", START)
    return Chain.of(
        [create_intermediate(root, "example.org", f"{name} intermediate", START).certificate, root.certificate]
    )


def authority(name: str = "lab", *, uri: str = "https://ca.example.org", end: datetime | None = None) -> Authority:
    return Authority(uri, chain(name), Period(START, end))


def ctlog(*, end: datetime | None = None) -> TransparencyLog:
    key = spki(ec.generate_private_key(ec.SECP256R1()).public_key())
    return TransparencyLog("https://ca.example.org/ctlog", key, ct_log_id(key), Period(START, end))


def own_parts() -> OwnParts:
    """As after one rotation: an old CA beside the new one, an old log beside the new one."""
    retired = START + timedelta(days=100)
    return OwnParts(authorities=(authority("old", end=retired), authority("new")), ctlogs=(ctlog(end=retired), ctlog()))


def spki(key: ec.EllipticCurvePublicKey) -> SPKI:
    return SPKI(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def write_ed25519(path: Path) -> bytes:
    """A public key in PEM; returns its 32 bytes."""
    key = Ed25519PrivateKey.generate().public_key()
    path.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)
