"""What an issuer says of itself: OpenID Connect Discovery 1.0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from ca.oidc.fetch import FetchError
from ca.oidc.jws import ALGORITHMS
from ca.oidc.loopback import is_loopback
from ca.oidc.quoting import quoted

if TYPE_CHECKING:
    from ca.oidc.fetch import Fetcher

_MAX_BYTES: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class Discovered:
    jwks_uri: str
    algorithms: frozenset[str]
    """Of ALGORITHMS, those that the issuer signs with."""
    max_age: int | None
    """Seconds, as in Fetched."""


async def discover(fetcher: Fetcher, issuer: str) -> Discovered:
    """Fetch and check the document of a trusted issuer. Raises FetchError."""
    fetched = await fetcher.get(issuer.removesuffix("/") + "/.well-known/openid-configuration", _MAX_BYTES)
    # §4.3: exactly the issuer that was asked for, or one issuer could speak for another.
    if fetched.content.get("issuer") != issuer:
        claimed = fetched.content.get("issuer")
        shown = quoted(claimed) if isinstance(claimed, str) else "none"
        raise FetchError(f"its issuer is {shown} instead of {quoted(issuer)}")
    return Discovered(_jwks_uri(fetched.content, issuer), _algorithms(fetched.content), fetched.max_age)


def _jwks_uri(document: dict[str, Any], issuer: str) -> str:
    uri = document.get("jwks_uri")
    if not isinstance(uri, str):
        raise FetchError("it has no jwks_uri")
    try:
        parts = urlsplit(uri)
        plain = parts.scheme == "http" and is_loopback(issuer) and is_loopback(uri)
        usable = (parts.scheme == "https" or plain) and parts.hostname and "@" not in parts.netloc
    except ValueError:
        usable = False
    if not usable:
        raise FetchError(f"its jwks_uri {quoted(uri)} is not an https URL")
    return uri


def _algorithms(document: dict[str, Any]) -> frozenset[str]:
    """§3 requires RS256 of every issuer: so that is what one that names nothing usable signs with."""
    advertised = document.get("id_token_signing_alg_values_supported") or []
    if not isinstance(advertised, list):
        raise FetchError("its id_token_signing_alg_values_supported is not a list")
    return frozenset(name for name in ALGORITHMS if name in advertised) or frozenset({"RS256"})
