"""What happens to every HTTP request before and after its handler, as plain ASGI.

Starlette's router and exception handling are left out: grpc-gateway's answers to unknown paths and methods, without
redirects and without HEAD, are fewer lines than teaching a router to give them, and cost less on every request.
"""

from __future__ import annotations

import re
import secrets
from time import perf_counter
from typing import TYPE_CHECKING, Final, Literal

import structlog
from starlette.requests import ClientDisconnect, Request

from ca.api import answers
from ca.errors import InternalError, MalformedRequest
from ca.http.forwarded import network_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    Handler = Callable[[Request], Awaitable[Response]]
    LogClient = Literal["address", "network", "none"]

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
_SLASHES = re.compile(r"/{2,}")
_QUIET = frozenset({"/healthz", "/livez", "/readyz"})
_NO_SNIFFING: Final = (b"x-content-type-options", b"nosniff")
_NO_STORE: Final = (b"cache-control", b"no-store")
_TLS_ALONE: Final = (b"strict-transport-security", b"max-age=31536000")


class Edge:
    """Gives every request an id, sends it back, and writes one log record when the answer is out.

    `scope["state"]["record"]` is a dict that handlers add their fields to.
    """

    def __init__(self, app: ASGIApp, for_browsers: ASGIApp, log_client: LogClient = "address") -> None:
        """`for_browsers` is the same application with CORS around it, for requests that name an origin."""
        self._app = app
        self._for_browsers = for_browsers
        self._log_client = log_client
        self._log = structlog.get_logger().bind()  # at once: a lazy one binds again on every record

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Go and JavaScript clients join a base URL that ends in a slash with "/api/…".
        scope["path"] = path = _SLASHES.sub("/", scope["path"])
        headers = dict(scope["headers"])
        request_id = _request_id(headers.get(b"x-request-id", b""))
        app = self._for_browsers if b"origin" in headers else self._app
        record: dict[str, object] = {"request_id": request_id, "method": scope["method"], "path": path[:200]}
        if self._log_client != "none" and scope["client"]:
            host = scope["client"][0]
            record["client"] = host if self._log_client == "address" else network_of(host)
        scope["state"] = {"request_id": request_id, "record": record}
        started = perf_counter()

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                record["status"] = message["status"]
                answered: list[tuple[bytes, bytes]] = message["headers"]
                answered.append((b"x-request-id", request_id.encode()))
                answered.append(_NO_SNIFFING)
                if scope["method"] == "POST":  # certificates, and errors that say what was sent
                    answered.append(_NO_STORE)
                if scope["scheme"] == "https":
                    answered.append(_TLS_ALONE)
                if not any(name == b"vary" for name, _ in answered):
                    answered.append((b"vary", b"Origin"))
            await send(message)

        try:
            await app(scope, receive, send_with_headers)
        except ClientDisconnect:
            record["outcome"] = "disconnected"
        except Exception:  # noqa: BLE001 - whatever it was, the client gets no text of it; the log gets the traceback
            self._log.exception("unexpected error", request_id=request_id)
            record["reason"] = InternalError.reason
            if "status" not in record:
                answer = answers.error(InternalError(f"request {request_id}"), request_id)
                await answer(scope, receive, send_with_headers)
        record["seconds"] = round(perf_counter() - started, 6)
        if path in _QUIET and record.get("status") == 200:
            self._log.debug("request", **record)
        else:
            self._log.info("request", **record)


def _request_id(unverified_id: bytes) -> str:
    return unverified_id.decode() if _REQUEST_ID.fullmatch(unverified_id) else secrets.token_hex(12)


class Dispatch:
    """Handlers by path and method, and grpc-gateway's answers to everything else."""

    def __init__(self, routes: Mapping[str, Mapping[str, Handler]], below: Mapping[str, Handler] | None = None) -> None:
        """`below` has handlers for every other path under a prefix, whatever the method; the longest prefix wins."""
        self._routes = routes
        self._below = sorted(((f"{prefix}/", handler) for prefix, handler in (below or {}).items()), reverse=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        methods = self._routes.get(scope["path"])
        handler = methods.get(scope["method"]) if methods else self._handler_below(scope["path"])
        if handler:
            answer = await handler(Request(scope, receive))
        else:
            answer = answers.method_not_allowed() if methods else answers.not_found()
        await answer(scope, receive, send)

    def _handler_below(self, path: str) -> Handler | None:
        return next((handler for prefix, handler in self._below if path.startswith(prefix)), None)


async def read_body(request: Request, limit: int) -> bytes:
    """The body, of at most `limit` bytes.

    Raises MalformedRequest with the text of Go's MaxBytesReader, and ClientDisconnect.
    """
    body = bytearray()
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message["body"]
        if len(body) > limit:
            raise MalformedRequest(f"http: request body too large: the limit is {limit} bytes")
        more = message.get("more_body", False)
    return bytes(body)
