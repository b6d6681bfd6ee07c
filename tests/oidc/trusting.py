"""Small builders: entries of the identity configuration, and verifiers that trust them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from ca.identity.configure import IssuerFields, identity_type
from ca.oidc.entry import StricterEntry
from ca.oidc.model import TrustedIssuer
from ca.oidc.registry import IssuerRegistry
from ca.oidc.verifier import TokenVerifier
from ca.telemetry import Metrics


def trusted(url: str, *, wildcard: bool = False, audience: str = "sigstore", **keys: Any) -> TrustedIssuer:
    """As the identity configuration makes it of an entry with these keys."""
    ca_cert = keys.pop("ca_cert", "")
    entry = StricterEntry.model_validate({key.replace("_", "-"): value for key, value in keys.items()})
    reach = entry.reach(url, wildcard=wildcard, ca_cert=ca_cert, kind="email", directory=Path())
    meaning = identity_type(IssuerFields(url, "email"))
    return TrustedIssuer(url, wildcard, audience, meaning, entry.enabled, rules=entry.rules(), reach=reach)


def metrics() -> Metrics:
    return Metrics(CollectorRegistry())


def verifier(*issuers: str | TrustedIssuer) -> TokenVerifier:
    entries = [trusted(issuer) if isinstance(issuer, str) else issuer for issuer in issuers]
    return TokenVerifier(IssuerRegistry(entries), metrics())
