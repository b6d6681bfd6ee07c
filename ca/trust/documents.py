"""The documents by which sigstore clients know an instance, in the JSON form of their protobuf messages.

https://github.com/sigstore/protobuf-specs: `sigstore_trustroot.proto`. Only fields that every client knows are
written, since those in Go refuse others.
"""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any, Final

from cryptography.x509.oid import NameOID

from ca.trust.model import key_details

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from cryptography import x509

    from ca.trust.model import Authority, Period, Service, TransparencyLog, TrustMaterial

TRUSTED_ROOT: Final = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"
SIGNING_CONFIG: Final = "application/vnd.dev.sigstore.signingconfig.v0.2+json"
CLIENT_TRUST_CONFIG: Final = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"


def trusted_root(material: TrustMaterial) -> dict[str, Any]:
    """What verifiers trust."""
    return {
        "mediaType": TRUSTED_ROOT,
        "tlogs": [_log(log) for log in material.tlogs],  # optional in protobuf, yet sigstore-python wants it
        "certificateAuthorities": [_authority(authority) for authority in material.authorities],
        "ctlogs": [_log(log) for log in material.ctlogs],
        "timestampAuthorities": [_authority(authority) for authority in material.timestamp_authorities],
    }


def signing_config(material: TrustMaterial) -> dict[str, Any]:
    """Whom signers talk to.

    A list and its selector appear together or not at all: cosign crashes on one without the other, and sigstore-js
    and sigstore-java refuse an empty selector.
    """
    document: dict[str, Any] = {
        "mediaType": SIGNING_CONFIG,
        "caUrls": _services(material.ca_services, material.operator),
        "oidcUrls": _services(material.oidc_services, material.operator),
    }
    # ANY is the only selector that all clients know.
    for urls, selector, services in (
        ("rekorTlogUrls", "rekorTlogConfig", material.rekor_services),
        ("tsaUrls", "tsaConfig", material.timestamp_services),
    ):
        if services:
            document |= {urls: _services(services, material.operator), selector: {"selector": "ANY"}}
    return document


def client_trust_config(material: TrustMaterial) -> dict[str, Any]:
    """Both in one, as sigstore-python's `--trust-config` and sigstore-rs read it."""
    return {
        "mediaType": CLIENT_TRUST_CONFIG,
        "trustedRoot": trusted_root(material),
        "signingConfig": signing_config(material),
    }


def subject(authority: Authority) -> dict[str, str]:
    """What is shown to people: the root's name, which outlives its intermediates."""
    root = authority.chain.certificates[-1].subject
    return {
        "organization": _attribute(root, NameOID.ORGANIZATION_NAME),
        "commonName": _attribute(root, NameOID.COMMON_NAME),
    }


def _authority(authority: Authority) -> dict[str, Any]:
    return {
        "subject": subject(authority),
        "uri": authority.uri,
        "certChain": {"certificates": [{"rawBytes": _base64(der)} for der in authority.chain.ders]},
        "validFor": _period(authority.period),
    }


def _attribute(name: x509.Name, oid: x509.ObjectIdentifier) -> str:
    return next((str(attribute.value) for attribute in name.get_attributes_for_oid(oid)), "")


def _log(log: TransparencyLog) -> dict[str, Any]:
    return {
        "baseUrl": log.base_url,
        "hashAlgorithm": "SHA2_256",
        "publicKey": {
            "rawBytes": _base64(log.public_key),
            "keyDetails": key_details(log.public_key),
            "validFor": _period(log.period),
        },
        "logId": {"keyId": _base64(log.log_id)},
    }


def _services(services: Iterable[Service], operator: str) -> list[dict[str, Any]]:
    return [
        {
            "url": service.url,
            "majorApiVersion": service.major_api_version,
            "validFor": _period(service.period),
            "operator": operator,
        }
        for service in services
    ]


def _period(period: Period) -> dict[str, str]:
    end = {"end": _time(period.end)} if period.end else {}
    return {"start": _time(period.start), **end}


def _time(moment: datetime) -> str:
    """RFC 3339 in UTC, whole seconds."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _base64(data: bytes) -> str:
    return b64encode(data).decode()
