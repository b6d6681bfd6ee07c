"""Small builders: entries of the identity configuration, and verifiers that trust them."""

from __future__ import annotations

from typing import Any

from ca.identity.configure import IssuerFields, identity_type
from ca.oidc.model import TrustedIssuer
from ca.oidc.registry import IssuerRegistry
from ca.oidc.verifier import TokenVerifier


def trusted(url: str, *, wildcard: bool = False, audience: str = "sigstore", **fields: Any) -> TrustedIssuer:
    return TrustedIssuer(url, wildcard, audience, identity_type(IssuerFields(url, "email")), **fields)


def verifier(*issuers: str | TrustedIssuer) -> TokenVerifier:
    entries = [trusted(issuer) if isinstance(issuer, str) else issuer for issuer in issuers]
    return TokenVerifier(IssuerRegistry(entries))
