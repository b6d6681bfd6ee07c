"""What Go's libraries made of the log in tests/vectors/ct/ct.go."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ca.ct.static_ct import LogEntry

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "ct" / "ct.json").read_text())
LOG_KEY: EllipticCurvePrivateKey = load_pem_private_key(VECTORS["log_key"].encode(), None)
NOTE_KEY: Ed25519PrivateKey = load_pem_private_key(VECTORS["note_key"].encode(), None)


def unhex(texts: list[str]) -> list[bytes]:
    return [bytes.fromhex(text) for text in texts]


def log_entry(vector: dict[str, Any]) -> LogEntry:
    """The entry that a vector was made from; its fingerprints are those of its chain."""
    return LogEntry(
        timestamp=vector["timestamp"],
        is_precert=vector["is_precert"],
        certificate=bytes.fromhex(vector["certificate"]),
        issuer_key_hash=bytes.fromhex(vector.get("issuer_key_hash", "")),
        precertificate=bytes.fromhex(vector.get("precertificate", "")),
        fingerprints=tuple(sha256(der).digest() for der in unhex(vector["chain"])),
    )
