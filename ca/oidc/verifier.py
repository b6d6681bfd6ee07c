"""From what a client calls its identity token to claims that can be believed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ca.errors import TokenAlgorithmRefused, TokenKeyUnknown, TokenSignatureInvalid
from ca.oidc.issuer_keys import IssuerKeyCache
from ca.oidc.jws import parse_token
from ca.oidc.model import VerifiedToken
from ca.oidc.quoting import quoted
from ca.oidc.validity import check_audience, check_distributed_claims, check_subject, check_times

if TYPE_CHECKING:
    from datetime import datetime

    from ca.oidc.issuer_keys import IssuerKeys
    from ca.oidc.jws import UnverifiedToken
    from ca.oidc.model import TrustedIssuer
    from ca.oidc.registry import IssuerRegistry


class TokenVerifier:
    """Verifies tokens of the registry's issuers."""

    def __init__(self, registry: IssuerRegistry) -> None:
        self._registry = registry
        self._keys = IssuerKeyCache()

    async def verify(self, unverified_token: str, now: datetime) -> VerifiedToken:
        """Raises a leaf of InvalidToken, or IssuerUnavailable."""
        # 1. Take it apart, strictly (RFC 7515 §5.2 steps 1 to 7).
        token = parse_token(unverified_token)
        # 2. Find its issuer among those that are trusted, before anything is fetched.
        trusted = self._registry.find(token.unverified_issuer)
        # 3. Its issuer signed it (step 8).
        await self._check_signature(token, trusted, now)
        # 4. It is for us and for now (RFC 7519 §7.2, OpenID Connect Core 1.0 §3.1.3.7).
        claims = token.unverified_claims
        check_audience(claims, trusted.audience)
        check_times(claims, now)
        check_subject(claims)
        check_distributed_claims(claims)
        return VerifiedToken(token.unverified_issuer, trusted, claims)

    def jwks_ages(self, now: datetime) -> dict[str, float]:
        """Seconds since an issuer's keys were fetched, by the configured URL or pattern; the oldest of a pattern."""
        return self._keys.ages(now)

    async def aclose(self) -> None:
        await self._keys.aclose()

    async def _check_signature(self, token: UnverifiedToken, trusted: TrustedIssuer, now: datetime) -> None:
        keys = await self._keys.get(token.unverified_issuer, trusted, now)
        if _is_signed(token, keys):
            return
        # A key that is known and has not signed it is reason to refuse it, not to ask the issuer again.
        if token.jws.key_id and keys.keys.named(token.jws.key_id):
            raise TokenSignatureInvalid(
                f"the signature is not by the key {quoted(token.jws.key_id)}, which its kid names"
            )
        keys = await self._keys.get_newer(token.unverified_issuer, trusted, now)
        if not _is_signed(token, keys):
            raise _unknown_key(token)


def _is_signed(token: UnverifiedToken, keys: IssuerKeys) -> bool:
    """Whether a key that the token may mean has signed it. Raises TokenAlgorithmRefused."""
    if token.jws.algorithm not in keys.algorithms:
        raise TokenAlgorithmRefused(
            f"alg {token.jws.algorithm} is not one that issuer {quoted(token.unverified_issuer)} signs with: "
            f"{', '.join(sorted(keys.algorithms))}"
        )
    named = keys.keys.named(token.jws.key_id)
    if token.jws.key_id and named and not any(token.jws.algorithm in key.algorithms for key in named):
        raise TokenAlgorithmRefused(
            f"alg {token.jws.algorithm} does not fit the key {quoted(token.jws.key_id)}, which its kid names"
        )
    return any(key.verifies(token.jws) for key in named)


def _unknown_key(token: UnverifiedToken) -> TokenKeyUnknown | TokenSignatureInvalid:
    issuer = quoted(token.unverified_issuer)
    if token.jws.key_id:
        return TokenKeyUnknown(f"issuer {issuer} publishes no key {quoted(token.jws.key_id)}, which its kid names")
    return TokenSignatureInvalid(f"the signature is by none of the keys that issuer {issuer} publishes")
