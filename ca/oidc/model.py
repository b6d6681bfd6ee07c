"""What the operator trusts, and what a token proved."""

from __future__ import annotations

from dataclasses import dataclass

from ca.identity.model import Claims, IdentityType


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """One entry of the identity configuration."""

    url: str
    """The issuer URL, or the pattern of a wildcard issuer as it is written in the configuration."""
    wildcard: bool
    audience: str
    """`client-id`: what the token's `aud` must contain."""
    identity_type: IdentityType
    subject_domain: str = ""
    spiffe_trust_domain: str = ""
    skip_email_verification: bool = False
    ca_certificate: str | None = None
    """PEM; trusted beside the system's roots when fetching from this issuer."""


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A token whose signature, issuer, audience and times have been checked."""

    issuer: str
    """`iss`; for a wildcard issuer the concrete URL."""
    trusted: TrustedIssuer
    claims: Claims
