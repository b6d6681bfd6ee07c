"""From what a client calls its identity token to claims that can be believed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ca.errors import TokenAlgorithmRefused, TokenKeyUnknown, TokenSignatureInvalid
from ca.oidc.issuer_keys import IssuerKeyCache
from ca.oidc.jwks import MAX_TRIED
from ca.oidc.jws import parse_token
from ca.oidc.model import VerifiedToken
from ca.oidc.quoting import quoted
from ca.oidc.validity import (
    check_age,
    check_audience,
    check_authorized_party,
    check_distributed_claims,
    check_subject,
    check_times,
)

if TYPE_CHECKING:
    from datetime import datetime

    from ca.oidc.dialling import Internet
    from ca.oidc.jws import UnverifiedToken
    from ca.oidc.known_issuer import IssuerKeys
    from ca.oidc.model import TrustedIssuer
    from ca.oidc.registry import IssuerRegistry
    from ca.telemetry import Metrics


class TokenVerifier:
    """Verifies tokens of the registry's issuers."""

    def __init__(self, registry: IssuerRegistry, metrics: Metrics, internet: Internet | None = None) -> None:
        """`internet`: how issuers are reached; the system's resolver and sockets by default."""
        self._registry = registry
        self._keys = IssuerKeyCache(metrics, internet)

    def use(self, registry: IssuerRegistry) -> None:
        """Trust these issuers from now on. A token that is being verified keeps the rules it began with, but not an
        issuer that is trusted no longer.
        """
        self._registry = registry
        self._keys.keep(registry)

    async def verify(self, unverified_token: str, now: datetime) -> VerifiedToken:
        """Raises a leaf of InvalidToken, or IssuerUnavailable."""
        # 1. Take it apart, strictly (RFC 7515 §5.2 steps 1 to 7).
        token = parse_token(unverified_token)
        # 2. Find its issuer among those that are trusted, before anything is fetched.
        registry = self._registry
        trusted = registry.find(token.unverified_issuer)
        _check_algorithm(token, trusted.rules.algorithms)
        # 3. Its issuer signed it (step 8).
        await self._check_signature(token, trusted, now)
        # Its keys may have been waited for, and the issuer switched off meanwhile: that counts at once.
        if self._registry is not registry:
            self._registry.find(token.unverified_issuer)
        # 4. It is for us and for now (RFC 7519 §7.2, OpenID Connect Core 1.0 §3.1.3.7).
        claims = token.unverified_claims
        check_audience(claims, trusted.audience, trusted.rules)
        check_authorized_party(claims, trusted.rules)
        check_times(claims, now)
        check_age(claims, trusted.rules.max_age, now)
        check_subject(claims)
        check_distributed_claims(claims)
        return VerifiedToken(token.unverified_issuer, trusted, claims, token.jws.signing_input)

    def keep_keys_fresh(self, now: datetime) -> None:
        """Begin to fetch keys that are in use and soon too old. To be called every few seconds."""
        self._keys.keep_fresh(now)

    def broken_issuers(self, now: datetime) -> dict[str, int]:
        """How many issuers are not asked now because they failed, by the configured URL or pattern."""
        return self._keys.broken(now)

    def jwks_ages(self, now: datetime) -> dict[str, float]:
        """Seconds since an issuer's keys were fetched, by the configured URL or pattern; the oldest of a pattern."""
        return self._keys.ages(now)

    async def aclose(self) -> None:
        await self._keys.aclose()

    async def _check_signature(self, token: UnverifiedToken, trusted: TrustedIssuer, now: datetime) -> None:
        keys = await self._keys.get(token.unverified_issuer, trusted, now)
        if is_signed(token, keys):
            return
        # A key that is known and has not signed it is reason to refuse it, not to ask the issuer again.
        if token.jws.key_id and keys.keys.named(token.jws.key_id):
            raise TokenSignatureInvalid(
                f"the signature is not by the key {quoted(token.jws.key_id)}, which its kid names"
            )
        keys = await self._keys.get_newer(token.unverified_issuer, trusted, now)
        if not is_signed(token, keys):
            raise _unknown_key(token)


def _check_algorithm(token: UnverifiedToken, accepted: frozenset[str] | None) -> None:
    """Raises TokenAlgorithmRefused."""
    if accepted is not None and token.jws.algorithm not in accepted:
        raise TokenAlgorithmRefused(
            f"alg {token.jws.algorithm} is not one that is accepted of issuer {quoted(token.unverified_issuer)}: "
            f"{', '.join(sorted(accepted))}"
        )


def is_signed(token: UnverifiedToken, keys: IssuerKeys) -> bool:
    """Whether a key that the token may mean has signed it. Raises TokenAlgorithmRefused or TokenKeyUnknown."""
    algorithm, key_id = token.jws.algorithm, token.jws.key_id
    if algorithm not in keys.algorithms:
        raise TokenAlgorithmRefused(
            f"alg {algorithm} is not one that issuer {quoted(token.unverified_issuer)} signs with: "
            f"{', '.join(sorted(keys.algorithms))}"
        )
    named = keys.keys.named(key_id)
    fitting = [key for key in named if algorithm in key.algorithms]
    if key_id and named and not fitting:
        raise TokenAlgorithmRefused(f"alg {algorithm} does not fit the key {quoted(key_id)}, which its kid names")
    if len(fitting) > MAX_TRIED:
        raise TokenKeyUnknown(
            f"issuer {quoted(token.unverified_issuer)} publishes {len(fitting)} keys that may have signed it; beyond "
            f"{MAX_TRIED}, its kid has to tell which"
        )
    return any(key.verifies(token.jws) for key in fitting)


def _unknown_key(token: UnverifiedToken) -> TokenKeyUnknown | TokenSignatureInvalid:
    issuer = quoted(token.unverified_issuer)
    if token.jws.key_id:
        return TokenKeyUnknown(f"issuer {issuer} publishes no key {quoted(token.jws.key_id)}, which its kid names")
    return TokenSignatureInvalid(f"the signature is by none of the keys that issuer {issuer} publishes")
