"""What an issuer says of itself: OpenID Connect Discovery 1.0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult, urlsplit

from ca.oidc.fetch import FetchError, FetchForbiddenError
from ca.oidc.jws import ALGORITHMS
from ca.oidc.loopback import is_loopback
from ca.oidc.quoting import quoted

if TYPE_CHECKING:
    from ca.oidc.fetch import Fetcher
    from ca.oidc.model import Reach

MAX_BYTES: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class Discovered:
    jwks_uri: str
    algorithms: frozenset[str]
    """Of ALGORITHMS, those that the issuer signs with."""
    max_age: int | None
    """Seconds, as in Fetched."""
    date: str = ""
    """As in Fetched."""


async def discover(fetcher: Fetcher, issuer: str, reach: Reach) -> Discovered:
    """Fetch and check the document of a trusted issuer. Raises FetchError."""
    fetched = await fetcher.get(issuer.removesuffix("/") + "/.well-known/openid-configuration", MAX_BYTES)
    jwks_uri, algorithms = read_discovery(fetched.content, issuer, reach)
    return Discovered(jwks_uri, algorithms, fetched.max_age, fetched.date)


def read_discovery(document: dict[str, Any], issuer: str, reach: Reach) -> tuple[str, frozenset[str]]:
    """`jwks_uri` and `algorithms` of Discovered. Raises FetchError."""
    # §4.3: exactly the issuer that was asked for, or one issuer could speak for another.
    if document.get("issuer") != issuer:
        claimed = document.get("issuer")
        shown = quoted(claimed) if isinstance(claimed, str) else "none"
        raise FetchError(f"its issuer is {shown} instead of {quoted(issuer)}")
    return _jwks_uri(document, issuer, reach), _algorithms(document)


def _jwks_uri(document: dict[str, Any], issuer: str, reach: Reach) -> str:
    uri = document.get("jwks_uri")
    if not isinstance(uri, str):
        raise FetchError("it has no jwks_uri")
    parts = https_parts(uri, issuer)
    if parts is None:
        raise FetchForbiddenError(f"its jwks_uri {quoted(uri)} is not an https URL")
    own = _is_own(parts, uri, issuer, to_the_port=reach.bearer_token_file is not None)
    if reach.key_hosts is not None and not own and parts.hostname not in reach.key_hosts:
        raise FetchForbiddenError(
            f"its jwks_uri {quoted(uri)} is on another host, and this issuer's keys are taken from its own; "
            "whoever runs this instance can add that one to jwks-hosts"
        )
    return uri


def https_parts(uri: str, issuer: str) -> SplitResult | None:
    """An https URL in its parts; http for loopback. None for whatever two parsers could read in two ways."""
    if not uri.isascii() or not uri.isprintable() or set(uri) & set(' \\"<>^`{|}'):
        return None
    try:
        parts = urlsplit(uri)
        # Reading the port is what checks it.
        _ = parts.port
    except ValueError:
        return None
    plain = parts.scheme == "http" and is_loopback(issuer) and is_loopback(uri)
    named = parts.hostname and "@" not in parts.netloc
    return parts if (parts.scheme == "https" or plain) and named else None


def _is_own(parts: SplitResult, uri: str, issuer: str, *, to_the_port: bool) -> bool:
    """Whether a URL is at the issuer's own host."""
    if to_the_port:
        return parts[:2] == urlsplit(issuer)[:2]
    return parts.hostname == urlsplit(issuer).hostname or (is_loopback(issuer) and is_loopback(uri))


def _algorithms(document: dict[str, Any]) -> frozenset[str]:
    """§3 requires RS256 of every issuer: so that is what one that names nothing usable signs with."""
    advertised = document.get("id_token_signing_alg_values_supported") or []
    if not isinstance(advertised, list):
        raise FetchError("its id_token_signing_alg_values_supported is not a list")
    return frozenset(name for name in ALGORITHMS if name in advertised) or frozenset({"RS256"})
