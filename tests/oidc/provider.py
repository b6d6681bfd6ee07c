"""A real OpenID provider on loopback for tests: Starlette on uvicorn in a thread, with real keys.

    with Provider() as provider:
        token = provider.token(sub="x")      # signed by its newest key, audience sigstore, valid for five minutes
        provider.rotate()                    # a new key; the old one is no longer published
        provider.misbehave("jwks", slow)     # see the functions at the end
        provider.fetches                     # Counter of "discovery" and "jwks"

No test needs the wall clock: tokens are dated relative to `now`, which defaults to `NOW`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import threading
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import uvicorn
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry, serialize_compact
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

Key = RSAKey | ECKey | OKPKey | OctKey
Misbehaviour = Callable[["Provider", Request], Awaitable[Response]]

NOW = datetime(2026, 6, 1, 12, 0, 0, tzinfo=UTC)
ALGORITHMS = ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA"]
_REGISTRY = JWSRegistry(
    algorithms=["none", "HS256", *ALGORITHMS],
    strict_check_header=False,
)
_REGISTRY.max_header_length = _REGISTRY.max_payload_length = 1 << 20


def make_key(algorithm: str = "RS256", kid: str | None = "key-1", **members: Any) -> Key:
    """A private key for an algorithm."""
    parameters = {"kid": kid, **members} if kid is not None else members
    match algorithm[:2]:
        case "RS" | "PS":
            return RSAKey.generate_key(2048, parameters)
        case "ES":
            return ECKey.generate_key({"256": "P-256", "384": "P-384", "512": "P-521"}[algorithm[2:]], parameters)
        case "HS":
            return OctKey.generate_key(256, parameters)
    return OKPKey.generate_key("Ed25519", parameters)


def sign(key: Key, claims: Any, header: dict[str, Any]) -> str:
    """A compact JWS; claims that are bytes are the payload as they are."""
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        return serialize_compact(header, payload, key, registry=_REGISTRY)


class Provider:
    """One issuer. Everything public may be changed while it runs."""

    def __init__(self, path: str = "", *, algorithm: str = "RS256", tls: tuple[Path, Path] | None = None) -> None:
        """`path` is that of the issuer's URL; `tls` a certificate and its key, for https."""
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        scheme = "https" if tls else "http"
        self.issuer = f"{scheme}://localhost:{self._socket.getsockname()[1]}{path}"
        self.algorithm = algorithm
        self._server = _server(self, path, tls)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)
        self.reset()

    def reset(self) -> None:
        """A new key, and honest from now on: what a test begins with that shares a provider with others."""
        self.algorithms: list[str] | None = list(ALGORITHMS)
        self.keys: list[Key] = [make_key(self.algorithm)]
        self.published: list[dict[str, Any]] | None = None
        """The key set's entries, where they are not the public halves of `keys`."""
        self.metadata: dict[str, Any] = {}
        """Members of the discovery document to add or replace."""
        self.headers: dict[str, str] = {}
        self.fetches: Counter[str] = Counter()
        self.streamed = 0
        """Bytes that `endless` could get rid of."""
        self._misbehaviour: dict[str, Misbehaviour] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise RuntimeError("the provider did not start")
            self._thread.join(0.005)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join()
        self._socket.close()

    def claims(self, now: datetime = NOW, **claims: Any) -> dict[str, Any]:
        """Claims of an honest token; a claim given as `...` is left out."""
        seconds = int(now.timestamp())
        honest = {
            "iss": self.issuer,
            "sub": "subject",
            "aud": "sigstore",
            "iat": seconds,
            "nbf": seconds,
            "exp": seconds + 300,
        }
        return {name: value for name, value in (honest | claims).items() if value is not ...}

    def token(self, now: datetime = NOW, *, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token signed by the newest key; `header` members are added, or left out where they are `...`."""
        key = self.keys[-1]
        members = {"alg": self.algorithm, "typ": "JWT", **({"kid": key.kid} if key.kid else {}), **(header or {})}
        members = {name: value for name, value in members.items() if value is not ...}
        return sign(key, self.claims(now, **claims), members)

    def rotate(self, kid: str | None = "next") -> Key:
        """Replace the keys by one new key."""
        self.keys = [make_key(self.algorithm, kid)]
        return self.keys[0]

    def misbehave(self, document: str, how: Misbehaviour | None) -> None:
        """Answer `document`, "discovery" or "jwks", in another way from now on; None ends that."""
        if how is None:
            self._misbehaviour.pop(document, None)
        else:
            self._misbehaviour[document] = how

    def documents(self) -> dict[str, dict[str, Any]]:
        base = self.issuer.removesuffix("/")
        discovery = {"issuer": self.issuer, "jwks_uri": f"{base}/jwks"}
        if self.algorithms is not None:
            discovery["id_token_signing_alg_values_supported"] = self.algorithms
        published = self.published
        if published is None:
            published = [key.as_dict(private=False) for key in self.keys]
        return {"discovery": discovery | self.metadata, "jwks": {"keys": published}}

    async def answer(self, document: str, request: Request) -> Response:
        self.fetches[document] += 1
        if how := self._misbehaviour.get(document):
            return await how(self, request)
        return JSONResponse(self.documents()[document], headers=self.headers)


def _server(provider: Provider, path: str, tls: tuple[Path, Path] | None) -> uvicorn.Server:
    base = path.removesuffix("/")

    async def discovery(request: Request) -> Response:
        return await provider.answer("discovery", request)

    async def jwks(request: Request) -> Response:
        return await provider.answer("jwks", request)

    async def moved(request: Request) -> Response:
        return JSONResponse(provider.documents()[request.path_params["document"]])

    app = Starlette(
        routes=[
            Route(f"{base}/.well-known/openid-configuration", discovery),
            Route(f"{base}/jwks", jwks),
            Route("/moved/{document}", moved),
        ]
    )
    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            ssl_certfile=tls[0] if tls else None,
            ssl_keyfile=tls[1] if tls else None,
            ssl_version=ssl.PROTOCOL_TLS_SERVER,
        )
    )


# ---- misbehaviours ---------------------------------------------------------------------------------------------


def status(code: int, content: bytes = b"{}") -> Misbehaviour:
    async def answer(provider: Provider, request: Request) -> Response:
        return Response(content, code)

    return answer


def body(content: bytes, **headers: str) -> Misbehaviour:
    async def answer(provider: Provider, request: Request) -> Response:
        return Response(content, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return answer


def redirect(target: str) -> Misbehaviour:
    """To another place; `{host}` and `{port}` are this provider's."""

    async def answer(provider: Provider, request: Request) -> Response:
        port = str(request.url.port)
        return RedirectResponse(target.replace("{port}", port).replace("{host}", "localhost"))

    return answer


async def huge(provider: Provider, request: Request) -> Response:
    return Response(b'{"keys": [' + b" " * (1 << 20) + b"]}")


async def endless(provider: Provider, request: Request) -> Response:
    """600 MB and more, for as long as anybody reads."""

    async def spaces() -> AsyncIterator[bytes]:
        yield b'{"keys": ['
        while not await request.is_disconnected():
            provider.streamed += 1 << 16
            yield b" " * (1 << 16)

    return StreamingResponse(spaces(), media_type="application/json")


async def drip(provider: Provider, request: Request) -> Response:
    """A byte now and then."""

    async def bytewise() -> AsyncIterator[bytes]:
        for byte in json.dumps(provider.documents()["jwks"]):
            yield byte.encode()
            await asyncio.sleep(0.05)

    return StreamingResponse(bytewise(), media_type="application/json")


async def slow(provider: Provider, request: Request) -> Response:
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(30)
    return Response()
