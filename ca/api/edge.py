"""What happens to every HTTP request before and after its handler, as plain ASGI."""

from __future__ import annotations

import re
import secrets
from time import perf_counter
from typing import TYPE_CHECKING

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request

from ca.api import answers
from ca.errors import InternalError, MalformedRequest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    Handler = Callable[[Request], Awaitable[Response]]

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}", re.ASCII)
_SLASHES = re.compile(r"/{2,}")
_QUIET = frozenset({"/healthz", "/livez", "/readyz"})


class Edge:
    """Gives every request an id, sends it back, and writes one log record when the answer is out.

    `scope["state"]["record"]` is a dict that handlers add their fields to.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._log = structlog.get_logger("http")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # Go and JavaScript clients join a base URL that ends in a slash with "/api/…".
        scope["path"] = path = _SLASHES.sub("/", scope["path"])
        unverified_id = Headers(scope=scope).get("x-request-id", "")
        request_id = unverified_id if _REQUEST_ID.fullmatch(unverified_id) else secrets.token_hex(12)
        record: dict[str, object] = {"request_id": request_id, "method": scope["method"], "path": path[:200]}
        scope["state"] = scope.get("state", {}) | {"request_id": request_id, "record": record}
        started = perf_counter()

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                record["status"] = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                if "vary" not in headers:
                    headers["Vary"] = "Origin"
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception:  # noqa: BLE001 - whatever it was, the client gets no text of it; the log gets the traceback
            self._log.exception("unexpected error", request_id=request_id)
            answer = answers.error(InternalError(f"request {request_id}"), request_id)
            record["reason"] = InternalError.reason
            if "status" not in record:
                await answer(scope, receive, send_with_headers)
        record["seconds"] = round(perf_counter() - started, 6)
        if path in _QUIET and record.get("status") == 200:
            self._log.debug("request", **record)
        else:
            self._log.info("request", **record)


class Methods:
    """One path: its handlers by method, and grpc-gateway's answer to any other."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        handler = self._handlers.get(scope["method"])
        answer = await handler(Request(scope, receive)) if handler else answers.method_not_allowed()
        await answer(scope, receive, send)


async def read_body(request: Request, limit: int) -> bytes:
    """The body, of at most `limit` bytes. Raises MalformedRequest with the text of Go's MaxBytesReader."""
    too_large = MalformedRequest(f"http: request body too large: the limit is {limit} bytes")
    if int(request.headers.get("content-length", "0")) > limit:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise too_large
    return bytes(body)
