"""What a login brings: an identity token, verified as the CA verifies it and held to this login."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ca.errors import ClaimInvalid, ClaimMissing, ConfigurationError, InvalidToken, TokenSignatureInvalid
from ca.oidc.jws import parse_token
from ca.oidc.model import TokenRules
from ca.oidc.quoting import quoted
from ca.oidc.validity import check_audience, check_authorized_party, check_subject, check_times
from ca.oidc.verifier import is_signed

if TYPE_CHECKING:
    from datetime import datetime

    from ca.identity.model import Claims
    from ca.oidc.known_issuer import IssuerKeys


@dataclass(frozen=True, slots=True)
class Granted:
    """What a flow ends with."""

    unverified_token: str = field(repr=False)
    nonce: str | None = field(repr=False)
    """What the token must have for its `nonce`; None where the flow has none."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What the token of a login has to say."""

    issuer: str
    client_id: str
    """For `azp`, where the token has one."""
    audience: str
    """For `aud`."""


@dataclass(frozen=True, slots=True)
class IDToken:
    """A token that says who logged in."""

    token: str = field(repr=False)
    claims: Claims


def verify(granted: Granted, expected: Expected, keys: IssuerKeys, now: datetime) -> IDToken:
    """OpenID Connect Core 1.0 §3.1.3.7. `at_hash` is not looked at: the access token is not used.

    Raises ConfigurationError naming what is wrong with the token.
    """
    try:
        return IDToken(granted.unverified_token, _claims(granted, expected, keys, now))
    except InvalidToken as problem:
        raise ConfigurationError(f"the provider's identity token is refused: {problem.detail}") from problem


def _claims(granted: Granted, expected: Expected, keys: IssuerKeys, now: datetime) -> Claims:
    token = parse_token(granted.unverified_token)
    if token.unverified_issuer != expected.issuer:
        raise ClaimInvalid(
            f"its issuer is {quoted(token.unverified_issuer)} instead of {quoted(expected.issuer)}", claim="iss"
        )
    if not is_signed(token, keys):
        raise TokenSignatureInvalid("its signature is by none of the keys that the provider publishes for it")
    claims = token.unverified_claims
    check_audience(claims, expected.audience, TokenRules())
    if "azp" in claims:
        check_authorized_party(claims, TokenRules(authorized_parties=frozenset({expected.client_id})))
    check_times(claims, now)
    check_subject(claims)
    if "sub" not in claims:
        raise ClaimMissing("it has no sub claim", claim="sub")
    _check_nonce(claims.get("nonce"), granted.nonce)
    return claims


def _check_nonce(unverified_nonce: object, nonce: str | None) -> None:
    if nonce is None:
        return
    if not isinstance(unverified_nonce, str) or not secrets.compare_digest(unverified_nonce.encode(), nonce.encode()):
        raise ClaimInvalid("its nonce is not the one that was sent, so it is of another login", claim="nonce")
