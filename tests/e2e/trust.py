"""The two documents by which sigstore clients know a private instance.

https://github.com/sigstore/protobuf-specs: `TrustedRoot` 0.1 and `SigningConfig` 0.2, in protobuf's JSON.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

START = {"start": "2025-01-01T00:00:00Z"}


def trusted_root(
    *, ca_url: str, ca_chain: list[bytes], log_url: str, log_key: bytes, tsa_url: str, tsa_chain: list[bytes]
) -> dict[str, Any]:
    """Certificates are DER, the issuing one first; `log_key` is a P-256 key's DER SubjectPublicKeyInfo."""
    return {
        "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "certificateAuthorities": [_authority(ca_url, ca_chain)],
        "ctlogs": [_log(log_url, log_key)],
        "tlogs": [],  # optional in protobuf, yet sigstore-python refuses a document without it
        "timestampAuthorities": [_authority(tsa_url, tsa_chain)],
    }


def signing_config(*, ca_url: str, issuer: str, tsa_url: str) -> dict[str, Any]:
    """Without a transparency log for signatures: timestamps say when they were made."""

    def service(url: str) -> dict[str, Any]:
        # The CA's API version is 1 to every client, although its path says v2.
        return {"url": url, "majorApiVersion": 1, "validFor": START, "operator": "dayfly"}

    return {
        "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
        "caUrls": [service(ca_url)],
        "oidcUrls": [service(issuer)],
        "tsaUrls": [service(tsa_url)],
        "tsaConfig": {"selector": "ANY"},
    }


def with_another_log(document: dict[str, Any]) -> dict[str, Any]:
    """The same trusted root but for the key of its log, which is of a log that nobody runs."""
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return document | {"ctlogs": [_log(document["ctlogs"][0]["baseUrl"], spki)]}


def _log(url: str, key: bytes) -> dict[str, Any]:
    return {
        "baseUrl": url,
        "hashAlgorithm": "SHA2_256",
        "publicKey": {"rawBytes": _base64(key), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": START},
        "logId": {"keyId": _base64(hashlib.sha256(key).digest())},
    }


def _authority(url: str, chain: list[bytes]) -> dict[str, Any]:
    return {
        "subject": {"organization": "dayfly", "commonName": "dayfly"},
        "uri": url,
        "certChain": {"certificates": [{"rawBytes": _base64(der)} for der in chain]},
        "validFor": START,
    }


def _base64(data: bytes) -> str:
    return b64encode(data).decode()
