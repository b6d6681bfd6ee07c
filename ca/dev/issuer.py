"""The development issuer: an OpenID provider that believes whatever a person types, for `dayfly dev`.

It speaks what sigstore clients use: discovery, JWKS, the authorization code flow with PKCE, by redirect to
loopback or out of band (sigstore-python, cosign), and the device flow (cosign without a terminal). It has one
public client, `sigstore`, and no sessions.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from datetime import datetime
from typing import Final
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from ca.dev import pages
from ca.dev.grants import (
    DEVICE_LIFETIME,
    OUT_OF_BAND,
    POLL_INTERVAL,
    AuthorizationCodes,
    DeviceGrants,
    LoginRequest,
    OAuthError,
    ReplyTo,
    check_client,
    read_challenge,
)
from ca.dev.tokens import LIFETIME, IssuerKey, identity_claims, parse_claims
from ca.errors import ClaimInvalid
from ca.identity.model import Claims

_BODY_LIMIT: Final = 16 * 1024
_DEVICE_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
_NO_STORE: Final = {"Cache-Control": "no-store"}
_TYPED: Final = frozenset({"email", "claims", "decision"})


def issuer_app(issuer_url: str, key: IssuerKey, clock: Callable[[], datetime]) -> Starlette:
    """The issuer as an application whose routes begin where `issuer_url` ends.

    Give it a listener of its own, or mount it outside of anything that adds CORS headers: a web page that
    could read its answers could log in as anybody. For the same reason it answers only to the host names of
    loopback and of `issuer_url`, so that no foreign name can be rebound to it.
    """
    issuer = _Issuer(issuer_url, key, clock)
    own = urlsplit(issuer_url).hostname or ""
    hosts = ["localhost", "127.0.0.1", "::1", "[::1]", own]
    return Starlette(
        routes=[
            Route("/.well-known/openid-configuration", issuer.discovery),
            Route("/jwks", issuer.jwks),
            Route("/auth", issuer.authorize, methods=["GET", "POST"]),
            Route("/token", issuer.token, methods=["POST"]),
            Route("/device_authorization", issuer.device_authorization, methods=["POST"]),
            Route("/device", issuer.device, methods=["GET", "POST"]),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)],
        exception_handlers={OAuthError: _oauth_error},
    )


class _Issuer:
    def __init__(self, url: str, key: IssuerKey, clock: Callable[[], datetime]) -> None:
        self._url = url
        self._key = key
        self._clock = clock
        self._codes = AuthorizationCodes()
        self._devices = DeviceGrants()

    async def discovery(self, _request: Request) -> Response:
        """OpenID Connect Discovery 1.0 §3. `issuer` is the configured URL to the byte: clients compare it."""
        base = self._url.rstrip("/")
        return JSONResponse(
            {
                "issuer": self._url,
                "authorization_endpoint": f"{base}/auth",
                "token_endpoint": f"{base}/token",
                "device_authorization_endpoint": f"{base}/device_authorization",
                "jwks_uri": f"{base}/jwks",
                "response_types_supported": ["code"],
                "response_modes_supported": ["query"],
                "grant_types_supported": ["authorization_code", _DEVICE_GRANT],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "token_endpoint_auth_methods_supported": ["none", "client_secret_basic"],
                "code_challenge_methods_supported": ["S256"],
                "scopes_supported": ["openid", "email"],
                "claims_supported": [
                    "iss",
                    "sub",
                    "aud",
                    "iat",
                    "nbf",
                    "exp",
                    "nonce",
                    "email",
                    "email_verified",
                ],
                "request_uri_parameter_supported": False,
            }
        )

    async def jwks(self, _request: Request) -> Response:
        return JSONResponse(self._key.jwks())

    async def authorize(self, request: Request) -> Response:
        """The login page (RFC 6749 §4.1.1) and its answer, which carries the whole request again."""
        try:
            fields = await _fields(request)
            reply_to = ReplyTo.read(fields)
        except OAuthError as error:
            return pages.refusal(error.description)
        hidden = {name: value for name, value in fields.items() if name not in _TYPED}
        try:
            login = LoginRequest.read(reply_to, fields)
            if request.method != "POST":
                return pages.login(hidden, {"email": fields.get("login_hint", "")})
            code = self._codes.issue(login, self._decided(fields), self._clock())
        except OAuthError as error:
            return _reply(reply_to, error=error.error, error_description=error.description)
        except ClaimInvalid as problem:
            return pages.login(hidden, fields, problem.detail)
        return _reply(reply_to, code=code)

    async def token(self, request: Request) -> Response:
        """RFC 6749 §4.1.3, RFC 8628 §3.4. sigstore-python reads the identity token from `access_token`."""
        fields = await _fields(request)
        _authenticate(request, fields)
        now = self._clock()
        match fields.get("grant_type"):
            case "authorization_code":
                claims = self._codes.redeem(fields, now)
            case grant_type if grant_type == _DEVICE_GRANT:
                claims = self._devices.poll(fields, now)
            case _:
                raise OAuthError(
                    "unsupported_grant_type", f'grant_type must be "authorization_code" or "{_DEVICE_GRANT}"'
                )
        token = self._key.mint(claims, now)
        answer = {"id_token": token, "access_token": token, "token_type": "Bearer", "scope": "openid email"}
        return JSONResponse(answer | {"expires_in": LIFETIME.seconds}, headers=_NO_STORE)

    async def device_authorization(self, request: Request) -> Response:
        """RFC 8628 §3.1. PKCE is no part of that RFC; cosign uses it all the same, and is held to it."""
        fields = await _fields(request)
        _authenticate(request, fields)
        challenge = read_challenge(fields) if "code_challenge" in fields else None
        grant = self._devices.start(challenge, self._clock())
        page = f"{self._url.rstrip('/')}/device"
        return JSONResponse(
            {
                "device_code": grant.device_code,
                "user_code": grant.user_code,
                "verification_uri": page,
                "verification_uri_complete": f"{page}?user_code={grant.user_code}",
                "expires_in": DEVICE_LIFETIME.seconds,
                "interval": POLL_INTERVAL.seconds,
            },
            headers=_NO_STORE,
        )

    async def device(self, request: Request) -> Response:
        """The page where a person enters the device's code (RFC 8628 §3.3)."""
        fields: dict[str, str] = {}
        try:
            fields = await _fields(request)
            if request.method != "POST":
                return pages.device(fields)
            approved = fields.get("decision") != "deny"
            claims = self._decided(fields) if approved else None
            self._devices.decide(fields.get("user_code", ""), claims, self._clock())
        except OAuthError as error:
            return pages.device(fields, error.description)
        except ClaimInvalid as problem:
            return pages.device(fields, problem.detail)
        return pages.done(approved)

    def _decided(self, fields: dict[str, str]) -> Claims:
        """The claims of whoever filled in the form. Raises ClaimInvalid, or OAuthError if they refused."""
        if fields.get("decision") == "deny":
            raise OAuthError("access_denied", "the person refused")
        lines = [line for line in fields.get("claims", "").splitlines() if line.strip()]
        return identity_claims(self._url, fields.get("email", "").strip(), parse_claims(lines))


async def _fields(request: Request) -> dict[str, str]:
    """The parameters of the query or, with POST, of the form; empty ones count as absent (RFC 6749 §3.1).

    Raises OAuthError if they are too long, not UTF-8 or given twice.
    """
    encoded = await _form(request) if request.method == "POST" else request.scope["query_string"]
    try:
        pairs = parse_qsl(encoded.decode("ascii"), errors="strict", max_num_fields=64)
    except ValueError as problem:
        raise OAuthError("invalid_request", "the parameters are not URL-encoded UTF-8, or too many") from problem
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise OAuthError("invalid_request", "a parameter is given more than once")
    return fields


async def _form(request: Request) -> bytes:
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise OAuthError("invalid_request", "the content type must be application/x-www-form-urlencoded")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _BODY_LIMIT:
            raise OAuthError("invalid_request", f"the form is larger than {_BODY_LIMIT} bytes", status=413)
    return bytes(body)


def _authenticate(request: Request, fields: dict[str, str]) -> None:
    """`client_id`, or HTTP Basic with an empty secret (RFC 6749 §2.3.1). Raises OAuthError."""
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if not scheme:
        check_client(fields.get("client_id"))
        return
    try:
        user, _, secret = base64.b64decode(credentials, validate=True).decode("ascii").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        user, secret = "", ""
    if scheme.lower() != "basic" or secret or fields.get("client_secret"):
        raise OAuthError("invalid_client", "the client is public: HTTP Basic with an empty secret", status=401)
    check_client(unquote_plus(user))
    check_client(fields.get("client_id", user))


def _reply(reply_to: ReplyTo, **answer: str) -> Response:
    """Back to the client with `answer` and its own `state` (RFC 6749 §4.1.2)."""
    if reply_to.uri == OUT_OF_BAND:
        return pages.code(answer["code"]) if "code" in answer else pages.refusal(answer["error_description"])
    if reply_to.state is not None:
        answer["state"] = reply_to.state
    joint = "&" if "?" in reply_to.uri else "?"
    return RedirectResponse(f"{reply_to.uri}{joint}{urlencode(answer)}", status_code=303, headers=_NO_STORE)


async def _oauth_error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, OAuthError):
        raise error
    # RFC 6749 §5.2 asks for the challenge where the client tried Basic; elsewhere it does no harm.
    challenge = {"WWW-Authenticate": 'Basic realm="dayfly"'} if error.status == 401 else {}
    body = {"error": error.error, "error_description": error.description}
    return JSONResponse(body, error.status, headers=_NO_STORE | challenge)
