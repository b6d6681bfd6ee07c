"""An OAuth client of one provider: what the browser and the device flow have in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import quote_plus

import httpx
from authlib.oauth2.auth import encode_client_secret_basic
from authlib.oauth2.client import OAuth2Client

from ca.errors import ConfigurationError
from ca.oidc.quoting import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ca.login.connection import Connection
    from ca.login.provider import Provider

_ADVICE: Final = {
    "access_denied": "whoever logged in refused, or may not use this client",
    "expired_token": "nobody entered the code in time; log in again",
    "invalid_client": "look at --client-id and --client-secret-file, and at the client's registration",
    "invalid_grant": "the code was used or has expired, or PKCE went wrong on the way; log in again",
    "invalid_request": "look at the client's registration, its redirect URIs among it",
    "invalid_scope": "name scopes that the provider knows with --scope",
    "unauthorized_client": "the client's registration at the provider does not have this flow",
    "unsupported_grant_type": "the client's registration at the provider does not have this flow",
}
_OTHERWISE: Final = "the provider's own log may say more"


class Refused(Exception):
    """The provider says no, in OAuth's words (RFC 6749 §4.1.2.1, §5.2). Both are the provider's text, as it is."""

    def __init__(self, error: object, description: object = None) -> None:
        super().__init__()
        self.unverified_error = error
        self.unverified_description = description

    def told(self, secrets: Iterable[str] = ()) -> ConfigurationError:
        """In words for people, on one line; what of `secrets` the provider repeats is left out."""
        said = ": ".join(
            quoted(_without(text, secrets))
            for text in (self.unverified_error, self.unverified_description)
            if isinstance(text, str) and text
        )
        return ConfigurationError(f"the provider says {said or 'no'}; {_ADVICE.get(str(self), _OTHERWISE)}")

    def __str__(self) -> str:
        return self.unverified_error if isinstance(self.unverified_error, str) else ""


@dataclass(frozen=True, slots=True)
class Registration:
    """Who we are to the provider."""

    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    """None for a public client."""
    scope: str = "openid email"


class Client:
    """One registration at one provider."""

    def __init__(self, connection: Connection, provider: Provider, registration: Registration) -> None:
        """Raises ConfigurationError where the provider does not take a secret as we can send it."""
        self.provider = provider
        self._connection = connection
        self._secret = registration.client_secret
        self._oauth = OAuth2Client(
            connection,
            client_id=registration.client_id,
            client_secret=registration.client_secret,
            token_endpoint_auth_method=_method(provider, registration),
            scope=registration.scope,
            code_challenge_method="S256",
        )
        self._oauth.oauth_error_class = Refused
        self._oauth.register_client_auth_method(("client_secret_basic", _basic))

    def authorization_url(self, redirect_uri: str, *, state: str, nonce: str, verifier: str) -> str:
        """Where a browser begins (RFC 6749 §4.1.1, RFC 7636 §4.3)."""
        url, _ = self._oauth.create_authorization_url(
            self.provider.authorization_endpoint,
            redirect_uri=redirect_uri,
            state=state,
            nonce=nonce,
            code_verifier=verifier,
        )
        return cast("str", url)

    def ask(self, endpoint: str, **fields: str) -> dict[str, Any]:
        """POST a form. Raises ConfigurationError, IssuerUnavailable or Refused."""
        auth = self._oauth.client_auth(self._oauth.token_endpoint_auth_method)
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = self._connection.post(
            endpoint, data={"scope": self._oauth.scope, **fields}, headers=headers, auth=auth
        )
        return self._object(endpoint, answer)

    def redeem(self, grant_type: str, **fields: str) -> str:
        """The identity token for a grant (RFC 6749 §4.1.3, RFC 8628 §3.4), unverified.

        Raises ConfigurationError, IssuerUnavailable or Refused.
        """
        endpoint = self.provider.token_endpoint
        try:
            answer = self._oauth.fetch_token(endpoint, grant_type=grant_type, **fields)
        except httpx.HTTPStatusError as problem:
            raise _not_oauth(endpoint, problem.response) from problem
        except (ValueError, TypeError, OverflowError) as problem:
            raise ConfigurationError(f"{endpoint} answers otherwise than RFC 6749 §5.1 says") from problem
        unverified_token = answer.get("id_token")
        if not isinstance(unverified_token, str):
            raise ConfigurationError(
                f"{endpoint} gives no id_token; --scope needs openid, and the client's registration OpenID Connect"
            )
        return unverified_token

    def told(self, refused: Refused, *secrets: str) -> ConfigurationError:
        """As Refused.told; our own secret is among what is left out."""
        return refused.told([secret for secret in (self._secret, *secrets) if secret])

    def _object(self, endpoint: str, answer: httpx.Response) -> dict[str, Any]:
        try:
            content = answer.json()
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise _not_oauth(endpoint, answer)
        if "error" in content:
            raise Refused(content["error"], content.get("error_description"))
        return content


def _not_oauth(endpoint: str, answer: httpx.Response) -> ConfigurationError:
    return ConfigurationError(
        f"{endpoint} answers {answer.status_code}, and not as OAuth says; is it another server's?"
    )


def _without(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, "…")
    return text


def _method(provider: Provider, registration: Registration) -> str:
    """How the client says who it is (OpenID Connect Core 1.0 §9)."""
    if registration.client_secret is None:
        return "none"
    for method in ("client_secret_basic", "client_secret_post"):
        if method in provider.secret_methods:
            return method
    raise ConfigurationError(
        f"the provider takes clients' secrets by {quoted(', '.join(map(str, provider.secret_methods)))} alone, and "
        "this client sends them by client_secret_basic or client_secret_post; register a public client"
    )


def _basic(client: Any, method: str, uri: str, headers: dict[str, str], body: str) -> tuple[str, dict[str, str], str]:
    """Both parts form-encoded first (RFC 6749 §2.3.1), which authlib leaves out."""
    encoded = _Basic(quote_plus(client.client_id), quote_plus(client.client_secret))
    return cast("tuple[str, dict[str, str], str]", encode_client_secret_basic(encoded, method, uri, headers, body))


@dataclass(frozen=True, slots=True)
class _Basic:
    client_id: str
    client_secret: str
