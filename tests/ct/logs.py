"""Logs on loopback: one that does what RFC 6962 says, ways in which it can lie, and servers that misbehave."""

from __future__ import annotations

import asyncio
import itertools
from base64 import b64decode, b64encode
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from uvicorn.server import ServerState

from tests.ct.pki import NOW, key_hash, without_poison

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.requests import Request

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class Refused(Exception):
    """The chain is not one that this log takes; the text goes out with 400."""


def p256() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def digitally_signed(key: PrivateKey, data: bytes) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        algorithm, signature = 1, key.sign(data, padding.PKCS1v15(), SHA256())
    else:
        algorithm, signature = 3, key.sign(data, ec.ECDSA(SHA256()))
    return bytes([4, algorithm]) + len(signature).to_bytes(2, "big") + signature


def signed_by_log(clean_tbs: bytes, issuer_key_hash: bytes, timestamp: int, extensions: bytes = b"") -> bytes:
    """RFC 6962 §3.2, written out once more on purpose."""
    return (
        b"\x00\x00"
        + timestamp.to_bytes(8, "big")
        + b"\x00\x01"
        + issuer_key_hash
        + len(clean_tbs).to_bytes(3, "big")
        + clean_tbs
        + len(extensions).to_bytes(2, "big")
        + extensions
    )


@dataclass
class HonestLog:
    """`add-pre-chain` and `get-roots` of RFC 6962 for one CA's code signing precertificates."""

    root: x509.Certificate
    key: PrivateKey = field(default_factory=p256)
    extensions: bytes = b""
    skew: timedelta = timedelta()
    bodies: list[bytes] = field(default_factory=list)
    """What was submitted, in order."""

    @property
    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/2026/ct/v1/add-pre-chain", self._add_pre_chain, methods=["POST"]),
                Route("/2026/ct/v1/get-roots", self._get_roots),
            ]
        )

    def answer(self, ders: list[bytes]) -> dict[str, Any]:
        precertificate, issuer = self._accepted(ders)
        timestamp = int((NOW + self.skew).timestamp() * 1000) + 123
        tbs = without_poison(precertificate.tbs_certificate_bytes)
        signed = signed_by_log(tbs, key_hash(issuer.public_key()), timestamp, self.extensions)
        return {
            "sct_version": 0,
            "id": b64encode(key_hash(self.key.public_key())).decode(),
            "timestamp": timestamp,
            "extensions": b64encode(self.extensions).decode(),
            "signature": b64encode(digitally_signed(self.key, signed)).decode(),
        }

    def _accepted(self, ders: list[bytes]) -> tuple[x509.Certificate, x509.Certificate]:
        chain = [x509.load_der_x509_certificate(der) for der in ders]
        if len(chain) < 2 or chain[-1] != self.root:
            raise Refused("the chain does not end in a root of this log")
        for certificate, issuer in itertools.pairwise(chain):
            try:
                certificate.verify_directly_issued_by(issuer)
            except Exception as problem:
                raise Refused("the chain is out of order") from problem
        try:
            poison = chain[0].extensions.get_extension_for_class(x509.PrecertPoison)
            usage = chain[0].extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        except x509.ExtensionNotFound as problem:
            raise Refused(f"the first certificate lacks {problem.oid}") from problem
        if not poison.critical:
            raise Refused("the poison is not critical")
        if list(usage) != [x509.ExtendedKeyUsageOID.CODE_SIGNING]:
            raise Refused("the certificate is not for code signing")
        return chain[0], chain[1]

    async def _add_pre_chain(self, request: Request) -> Response:
        body = await request.body()
        self.bodies.append(body)
        assert request.headers["content-type"] == "application/json"
        try:
            chain = [b64decode(der, validate=True) for der in (await request.json())["chain"]]
            return JSONResponse(self.answer(chain))
        except Refused as problem:
            return PlainTextResponse(str(problem), 400)

    async def _get_roots(self, _request: Request) -> Response:
        der = self.root.public_bytes(Encoding.DER)
        return JSONResponse({"certificates": [b64encode(der).decode()]})


@dataclass
class Scripted:
    """Answers the n-th submission with the n-th response, and every later one with the last."""

    responses: list[Response | HonestLog]
    bodies: list[bytes] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    @property
    def app(self) -> Starlette:
        return Starlette(routes=[Route("/{path:path}", self._answer, methods=["GET", "POST"])])

    async def _answer(self, request: Request) -> Response:
        self.bodies.append(await request.body())
        self.times.append(asyncio.get_running_loop().time())
        match self.responses[min(len(self.bodies), len(self.responses)) - 1]:
            case HonestLog() as log:
                return await log._add_pre_chain(request)
            case response:
                return response


@asynccontextmanager
async def serve(app: Starlette, **options: Any) -> AsyncIterator[str]:
    """Serve `app` on a free port of loopback; yields the log's URL."""
    config = uvicorn.Config(app, log_config=None, lifespan="off", **options)
    config.load()
    # Its protocol without its server, whose shutdown sleeps.
    state = ServerState()
    protocol = partial(config.http_protocol_class, config=config, server_state=state, app_state={})
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0, ssl=config.ssl)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"{'https' if config.is_ssl else 'http'}://127.0.0.1:{port}/2026"
    finally:
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()


@asynccontextmanager
async def serve_raw(
    handler: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """Serve bytes by hand. A connection is closed when `handler` returns."""

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client has gone, or the test has ended
        finally:
            writer.close()

    server = await asyncio.start_server(connection, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/2026"
    finally:
        server.close()
