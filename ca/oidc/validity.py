"""Whether a token is for us and for now: the claims that go-oidc checks for Fulcio, and `iat`.

Issuer: the registry and the discovery document's check have compared `iss` already. Deliberately unchecked, as
clients' tokens differ in them: nonce, jti, at_hash, and `sub` beyond its type; azp, the age and further audiences
are checked where the operator asks for it (TokenRules).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from ca.errors import AudienceMismatch, ClaimInvalid, ClaimMissing, TokenExpired, TokenNotYetValid
from ca.oidc.quoting import quoted

if TYPE_CHECKING:
    from ca.identity.model import Claims
    from ca.oidc.model import TokenRules

LEEWAY: Final = timedelta(minutes=5)
"""For `nbf` and `iat`, as in go-oidc; there is none for `exp`."""
_YEAR_2100: Final = 4_102_444_800


def check_audience(claims: Claims, audience: str, rules: TokenRules) -> None:
    """Raises ClaimMissing, ClaimInvalid or AudienceMismatch."""
    match claims.get("aud"):
        case None:
            raise ClaimMissing(f"it has no aud claim; {_advice(audience)}", claim="aud")
        case str(single):
            if single != audience and single not in rules.audiences:
                raise AudienceMismatch(f'audience {quoted(single)} is not "{audience}"; {_advice(audience)}')
        case list(several) if all(isinstance(item, str) for item in several):
            if audience not in several and rules.audiences.isdisjoint(several):
                raise AudienceMismatch(
                    f'audience {quoted(", ".join(several))} does not have "{audience}"; {_advice(audience)}'
                )
            if rules.sole_audience and len(several) > 1:
                raise AudienceMismatch(
                    f"it has {len(several)} audiences, and of this issuer only tokens with one are accepted; "
                    f"{_advice(audience)} alone"
                )
        case _:
            raise ClaimInvalid("its aud claim is neither a string nor a list of strings", claim="aud")


def check_authorized_party(claims: Claims, rules: TokenRules) -> None:
    """OpenID Connect Core 1.0 §3.1.3.7 steps 4 and 5. Raises ClaimMissing or ClaimInvalid."""
    if rules.authorized_parties is None:
        return
    match claims.get("azp"):
        case None:
            raise ClaimMissing(
                "it has no azp claim, the client that it was issued to, which has to be known", claim="azp"
            )
        case str(party) if party in rules.authorized_parties:
            return
        case _:
            raise ClaimInvalid("its azp claim is no client whose tokens are accepted here", claim="azp")


def check_times(claims: Claims, now: datetime) -> None:
    """Raises ClaimMissing, ClaimInvalid, TokenExpired or TokenNotYetValid."""
    expires = _time(claims, "exp")
    if expires is None:
        raise ClaimMissing("it has no exp claim, so it would never expire", claim="exp")
    if expires <= now:
        raise TokenExpired(f"it expired at {_shown(expires)}, and it is {_shown(now)}; get a new one")
    not_before = _time(claims, "nbf")
    if not_before and not_before > now + LEEWAY:
        raise TokenNotYetValid(f"it is not valid before {_shown(not_before)} (nbf), and it is {_shown(now)}")
    issued_at = _time(claims, "iat")
    if issued_at and issued_at > now + LEEWAY:
        raise TokenNotYetValid(f"it was issued in the future, at {_shown(issued_at)} (iat), and it is {_shown(now)}")


def check_age(claims: Claims, max_age: timedelta | None, now: datetime) -> None:
    """Raises ClaimMissing, ClaimInvalid or TokenExpired."""
    if max_age is None:
        return
    issued_at = _time(claims, "iat")
    if issued_at is None:
        raise ClaimMissing("it has no iat claim, and so no age, which this issuer's tokens need here", claim="iat")
    if now - issued_at > max_age:
        raise TokenExpired(
            f"it was issued at {_shown(issued_at)} (iat), and it is {_shown(now)}; this issuer's tokens are accepted "
            f"for {max_age.total_seconds():.0f} seconds; get a new one"
        )


def check_subject(claims: Claims) -> None:
    """Raises ClaimInvalid. Which issuers need a subject is for the identity types to say."""
    if not isinstance(claims.get("sub"), str | None):
        raise ClaimInvalid("its sub claim is not a string", claim="sub")


def check_distributed_claims(claims: Claims) -> None:
    """OpenID Connect Core 1.0 §5.6.2: a claim that stands elsewhere says where. Nothing is fetched from there.

    Raises ClaimInvalid.
    """
    names, sources = claims.get("_claim_names"), claims.get("_claim_sources")
    if names is None:
        return
    sources = {} if sources is None else sources
    if not isinstance(names, dict) or not isinstance(sources, dict):
        raise ClaimInvalid("_claim_names and _claim_sources have to be objects", claim="_claim_names")
    for source in names.values():
        if not isinstance(source, str) or not isinstance(sources.get(source), dict):
            raise ClaimInvalid("_claim_names names a source that _claim_sources does not have", claim="_claim_names")


def _time(claims: Claims, name: str) -> datetime | None:
    """A NumericDate (RFC 7519 §2)."""
    seconds = claims.get(name)
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise ClaimInvalid(f"its {name} claim is not a number of seconds", claim=name)
    if not 0 <= seconds <= _YEAR_2100:
        raise ClaimInvalid(f"its {name} claim is not a time in seconds since 1970 before 2100", claim=name)
    return datetime.fromtimestamp(seconds, UTC)


def _shown(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _advice(audience: str) -> str:
    return f'ask your identity provider for a token with audience "{audience}"'
