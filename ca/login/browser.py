"""Logging in with a browser: the authorization code flow with PKCE (OpenID Connect Core 1.0 §3.1, RFC 8252)."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from ca.errors import ConfigurationError
from ca.login.callback import Callback
from ca.login.client import Refused
from ca.login.id_token import Granted
from ca.oidc.quoting import quoted

if TYPE_CHECKING:
    from ca.login.client import Client
    from ca.login.provider import Provider


def by_browser(client: Client, open_browser: Callable[[str], None], patience: float) -> Granted:
    """Let a person log in; `open_browser` is given the URL to begin with, and `patience` is in seconds.

    Raises ConfigurationError or IssuerUnavailable.
    """
    state, nonce = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    verifier = secrets.token_urlsafe(48)
    with Callback() as callback:
        uri = callback.redirect_uri
        open_browser(client.authorization_url(uri, state=state, nonce=nonce, verifier=verifier))
        unverified_query = callback.wait(patience)
    try:
        code = _read_code(unverified_query, state, client.provider)
    except Refused as refused:
        raise client.told(refused) from refused
    try:
        token = client.redeem("authorization_code", code=code, redirect_uri=uri, code_verifier=verifier)
    except Refused as refused:
        raise client.told(refused, code, verifier) from refused
    return Granted(token, nonce)


def _read_code(unverified_query: str, state: str, provider: Provider) -> str:
    """The code of a redirect that is the answer to our request. Raises ConfigurationError or Refused."""
    answer = _parameters(unverified_query)
    # Before anything that it says is believed: who asked for it (RFC 6749 §10.12) and who says it (RFC 9207 §2.4).
    if not secrets.compare_digest(answer.get("state", "").encode(), state.encode()):
        raise ConfigurationError(
            "the redirect has not the state that was sent, so it answers another login, or somebody forged it; "
            "log in again"
        )
    _check_issuer(answer.get("iss"), provider)
    if "error" in answer:
        raise Refused(answer["error"], answer.get("error_description"))
    if "code" not in answer:
        raise ConfigurationError("the redirect has neither a code nor an error (RFC 6749 §4.1.2)")
    return answer["code"]


def _parameters(unverified_query: str) -> dict[str, str]:
    """Raises ConfigurationError."""
    try:
        pairs = parse_qsl(unverified_query, max_num_fields=64)
    except ValueError as problem:
        raise ConfigurationError("the redirect has more than 64 parameters; log in again") from problem
    if len(dict(pairs)) != len(pairs):
        raise ConfigurationError("the redirect has a parameter twice (RFC 6749 §3.1); log in again")
    return dict(pairs)


def _check_issuer(unverified_issuer: str | None, provider: Provider) -> None:
    if unverified_issuer is None and provider.names_itself:
        raise ConfigurationError(
            "the redirect does not say which issuer it is of, as the provider's metadata promises (RFC 9207 §2.4)"
        )
    if unverified_issuer not in (None, provider.issuer):
        raise ConfigurationError(
            f"the redirect is of issuer {quoted(unverified_issuer or '')}, and the login began at "
            f"{quoted(provider.issuer)} (RFC 9207 §2.4): its code is not sent anywhere"
        )
