"""What clients find in the repository: the trusted root and the signing config, and files for older clients."""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from ca.trust import documents

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from ca.trust.model import Authority, Period, TransparencyLog, TrustMaterial


@dataclass(frozen=True, slots=True)
class Target:
    """A file, with what gitsign and policy-controller want to know of it (`custom.sigstore`)."""

    content: bytes
    sigstore: dict[str, str] | None = None


def targets(material: TrustMaterial, now: datetime) -> dict[str, Target]:
    """By name."""
    return {
        "trusted_root.json": Target(_json(documents.trusted_root(material))),
        "signing_config.v0.2.json": Target(_json(documents.signing_config(material))),
        **dict(_legacy(material, now)),
    }


def _legacy(material: TrustMaterial, now: datetime) -> Iterator[tuple[str, Target]]:
    """Certificates and keys one by one, by the names and usages that clients know which read no trusted_root.json.

    https://github.com/sigstore/root-signing: `fulcio_v1.crt.pem`, `ctfe.pub`, `rekor.pub`, `tsa_leaf.crt.pem`, …
    """
    for number, authority in enumerate(material.authorities, 1):
        *intermediates, root = authority.chain.ders
        yield f"fulcio_v{number}.crt.pem", _certificate(root, "Fulcio", authority, now)
        for place, intermediate in enumerate(intermediates):
            suffix = f"_{place}" if place else ""
            yield f"fulcio_intermediate_v{number}{suffix}.crt.pem", _certificate(intermediate, "Fulcio", authority, now)
    for usage, stem, logs in (("CTFE", "ctfe", material.ctlogs), ("Rekor", "rekor", material.tlogs)):
        for number, log in enumerate(logs, 1):
            suffix = f"_{number}" if number > 1 else ""
            yield f"{stem}{suffix}.pub", _key(log, usage, now)
    for authority in material.timestamp_authorities[:1]:  # the names have no place for a second
        leaf, *intermediates, root = authority.chain.ders
        yield "tsa_leaf.crt.pem", _certificate(leaf, "TSA", authority, now)
        for place, intermediate in enumerate(intermediates):
            yield f"tsa_intermediate_{place}.crt.pem", _certificate(intermediate, "TSA", authority, now)
        yield "tsa_root.crt.pem", _certificate(root, "TSA", authority, now)


def _certificate(der: bytes, usage: str, authority: Authority, now: datetime) -> Target:
    return Target(ssl.DER_cert_to_PEM_cert(der).encode(), _custom(usage, authority.uri, authority.period, now))


def _key(log: TransparencyLog, usage: str, now: datetime) -> Target:
    pem = load_der_public_key(log.public_key).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return Target(pem, _custom(usage, log.base_url, log.period, now))


def _custom(usage: str, uri: str, period: Period, now: datetime) -> dict[str, str]:
    status = "Expired" if period.end and period.end <= now else "Active"
    return {"usage": usage, "status": status, "uri": uri}


def _json(document: object) -> bytes:
    return json.dumps(document, indent=2).encode() + b"\n"
