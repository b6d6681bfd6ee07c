"""What a provider says of itself, as far as people log in with it: OpenID Connect Discovery 1.0, RFC 8414."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from authlib.oidc.discovery import OpenIDProviderMetadata, get_well_known_url

from ca.errors import ConfigurationError
from ca.oidc.addresses import Scope
from ca.oidc.discovery import https_parts, read_discovery
from ca.oidc.fetch import FetchError
from ca.oidc.jwks import parse_keys
from ca.oidc.known_issuer import IssuerKeys
from ca.oidc.model import Reach
from ca.oidc.quoting import quoted
from ca.oidc.strict_json import StrictJSONError, decode_object

if TYPE_CHECKING:
    from ca.login.connection import Connection

# Whoever logs in has named the provider, in whatever network it is.
_REACH: Final = Reach(scope=Scope.PRIVATE)


@dataclass(frozen=True, slots=True)
class Provider:
    """Where to log in, and by what the tokens are known."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    device_authorization_endpoint: str | None
    """None where the provider has no device flow."""
    jwks_uri: str
    algorithms: frozenset[str]
    """As in IssuerKeys."""
    secret_methods: tuple[str, ...]
    """How it takes a client's secret (OpenID Connect Core 1.0 §9)."""
    names_itself: bool
    """Whether `iss` stands in every redirect (RFC 9207 §3)."""

    def keys(self, connection: Connection) -> IssuerKeys:
        """The keys that sign its tokens, fetched. Raises ConfigurationError or IssuerUnavailable."""
        try:
            return IssuerKeys(self.algorithms, parse_keys(self.issuer, connection.get(self.jwks_uri)))
        except FetchError as problem:
            raise ConfigurationError(f"{self.jwks_uri}, the provider's key set: {problem}") from problem


def find_provider(connection: Connection, issuer: str) -> Provider:
    """Fetch and check the metadata of the issuer that a person named.

    Raises ConfigurationError or IssuerUnavailable.
    """
    if https_parts(issuer, issuer) is None:
        raise ConfigurationError(
            f"{quoted(issuer)} is not an issuer: expected an https URL; http is for this machine alone, such as "
            "http://127.0.0.1:5555/issuer"
        )
    url = get_well_known_url(issuer, external=True)
    try:
        document = decode_object(connection.get(url))
        jwks_uri, algorithms = read_discovery(document, issuer, _REACH)
        _validate(document)
    except (StrictJSONError, FetchError) as problem:
        raise ConfigurationError(f"{url}, the provider's metadata: {problem}") from problem
    return Provider(
        issuer=issuer,
        authorization_endpoint=_endpoint(document, "authorization_endpoint", issuer),
        token_endpoint=_endpoint(document, "token_endpoint", issuer),
        device_authorization_endpoint=_endpoint(document, "device_authorization_endpoint", issuer)
        if "device_authorization_endpoint" in document
        else None,
        jwks_uri=jwks_uri,
        algorithms=algorithms,
        secret_methods=tuple(document.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]),
        names_itself=document.get("authorization_response_iss_parameter_supported") is True,
    )


def _validate(document: dict[str, Any]) -> None:
    """What authlib makes of Discovery §3 and RFC 8414 §2; and S256, without which a code could be stolen (RFC 7636)."""
    try:
        OpenIDProviderMetadata(document).validate()
    except ValueError as problem:
        raise FetchError(str(problem)) from problem
    except (TypeError, AttributeError) as problem:
        raise FetchError("a member is of another type than OpenID Connect Discovery §3 says") from problem
    if "S256" not in document.get("code_challenge_methods_supported", ["S256"]):
        raise FetchError('"code_challenge_methods_supported" does not have "S256", which every login here uses')


def _endpoint(document: dict[str, Any], name: str, issuer: str) -> str:
    url = document[name]
    if not isinstance(url, str) or https_parts(url, issuer) is None:
        raise ConfigurationError(f"the provider's {name} is not an https URL")
    return url
