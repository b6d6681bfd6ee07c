"""Trusted roots that differ from Dayfly's own in the CT log."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def with_log(document: dict[str, Any], key: ec.EllipticCurvePublicKey) -> dict[str, Any]:
    """The same trusted root but for its log, which has this key."""
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    (log,) = document["ctlogs"]
    public_key = log["publicKey"] | {"rawBytes": b64encode(spki).decode()}
    log_id = {"keyId": b64encode(hashlib.sha256(spki).digest()).decode()}
    return document | {"ctlogs": [log | {"publicKey": public_key, "logId": log_id}]}


def with_another_log(document: dict[str, Any]) -> dict[str, Any]:
    """With a log that nobody runs."""
    return with_log(document, ec.generate_private_key(ec.SECP256R1()).public_key())
