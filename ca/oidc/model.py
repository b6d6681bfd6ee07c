"""What the operator trusts, and what a token proved."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal

from ca.identity.model import Claims, IdentityType
from ca.oidc.addresses import Scope


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What an operator asks of an issuer's tokens beyond what Fulcio asks; by default nothing."""

    algorithms: frozenset[str] | None = None
    """Of jws.ALGORITHMS, those accepted; None for all that the issuer says it signs with."""
    audiences: frozenset[str] = frozenset()
    """Accepted beside `client-id`."""
    sole_audience: bool = False
    """Whether a token may have one audience only."""
    authorized_parties: frozenset[str] | None = None
    """What `azp` has to be one of (OpenID Connect Core 1.0 §3.1.3.7); None where it does not matter."""
    max_age: timedelta | None = None
    """How long after `iat` a token is accepted; None for as long as `exp` says."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How an issuer's documents are had, and what to do while they are not."""

    scope: Scope = Scope.PUBLIC
    key_hosts: frozenset[str] | None = None
    """Hosts beside the issuer's own at which `jwks_uri` may be; None for any."""
    ca_certificate: str | None = None
    """PEM; trusted beside the system's roots."""
    ca_certificate_file: Path | None = None
    """The same in a file, read again when it changes."""
    bearer_token_file: Path | None = None
    """Sent to the issuer's own origin and to `key_hosts`; read again for every document."""
    proxy: str | None = field(default=None, repr=False)
    """URL of an HTTP proxy, with the password if it wants one."""
    jwks_file: Path | None = None
    """The issuer's keys (RFC 7517 §5), read again when it changes; then nothing is fetched."""
    stale_if_error: int = 3600
    """Seconds that old keys serve while the issuer does not answer."""


TokenGuard = Literal["off", "per-key", "single-use"]
"""Whether a token may bring certificates for any keys, for one key, or for one request."""
UNGUARDED: Final = "off"


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """One entry of the identity configuration."""

    url: str
    """The issuer URL, or the pattern of a wildcard issuer as it is written in the configuration."""
    wildcard: bool
    audience: str
    """`client-id`: what the token's `aud` must contain."""
    identity_type: IdentityType
    enabled: bool = True
    """Whether tokens are accepted; an entry that is switched off still keeps its issuers from wildcards."""
    subject_domain: str = ""
    spiffe_trust_domain: str = ""
    skip_email_verification: bool = False
    rules: TokenRules = TokenRules()
    reach: Reach = Reach()
    token_guard: TokenGuard = UNGUARDED


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A token whose signature, issuer, audience and times have been checked."""

    issuer: str
    """`iss`; for a wildcard issuer the concrete URL."""
    trusted: TrustedIssuer
    claims: Claims
    signing_input: bytes = field(repr=False)
    """What the issuer signed (RFC 7515 §5.1), in its one spelling."""

    @property
    def expires(self) -> datetime:
        """`exp`."""
        return datetime.fromtimestamp(float(str(self.claims["exp"])), UTC)
