"""HTTP/1 connections that nobody can hold open, fill or confuse.

Uvicorn's parser and flow control, with what they leave to a proxy in front: deadlines, sizes, counts, and one
reading of where a message ends (RFC 9112 §3.2, §6.1, §6.3).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    import asyncio

    from ca.http.front import Front

LOOK: Final = 0.5
"""Seconds between looks at a connection's deadlines: one timer for all of them, which requests never touch."""
LINGER: Final = 1.0
"""Seconds in which the rest of a body is dropped, for clients that send all of it before they read the answer."""
MAX_TARGET: Final = 8 * 1024
MAX_PIPELINED: Final = 16
_HOST = re.compile(rb"[A-Za-z0-9._~%!$&'()*+,;=:\[\]-]{0,261}")
"""A name or an address with a port (RFC 3986 §3.2.2), or nothing, which RFC 9112 §3.2 permits."""


class _Reading(Enum):
    """What the next byte belongs to."""

    NOTHING = auto()
    HEAD = auto()
    BODY = auto()


@dataclass(frozen=True, slots=True)
class _Refusal:
    status: HTTPStatus
    message: str
    reason: str
    """A metric's label."""

    @property
    def answer(self) -> bytes:
        """Of the shape of all our errors: a `google.rpc.Status` (3 INVALID_ARGUMENT, 14 UNAVAILABLE)."""
        code = 14 if self.status >= 500 else 3
        body = f'{{"code":{code},"message":"{self.message}","details":[]}}'
        head = f"HTTP/1.1 {self.status.value} {self.status.phrase}\r\ncontent-type: application/json\r\n"
        return f"{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n{body}".encode()


class _Refused(Exception):
    """Leaves the parser from a callback."""

    def __init__(self, refusal: _Refusal) -> None:
        self.refusal = refusal


_MALFORMED: Final = _Refusal(HTTPStatus.BAD_REQUEST, "not an HTTP/1.1 request", "malformed")
_HOST_MISSING: Final = _Refusal(HTTPStatus.BAD_REQUEST, "exactly one valid Host header is required", "malformed")
_CONNECT: Final = _Refusal(HTTPStatus.BAD_REQUEST, "CONNECT is for proxies", "malformed")
_FRAMING: Final = _Refusal(HTTPStatus.NOT_IMPLEMENTED, "Transfer-Encoding: chunked alone, in HTTP/1.1", "malformed")
_UPGRADE: Final = _Refusal(HTTPStatus.NOT_IMPLEMENTED, "Upgrade of a request with a body", "malformed")
_VERSION: Final = _Refusal(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "HTTP/1.0 and HTTP/1.1 alone", "malformed")
_PIPELINED: Final = _Refusal(HTTPStatus.BAD_REQUEST, f"more than {MAX_PIPELINED} requests wait", "malformed")
_TARGET: Final = _Refusal(HTTPStatus.REQUEST_URI_TOO_LONG, f"the target has over {MAX_TARGET} bytes", "too large")
_HEADERS: Final = _Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "too many or too large headers", "too large")
_SLOW: Final = _Refusal(HTTPStatus.REQUEST_TIMEOUT, "the request took too long to arrive", "slow request")
_FULL: Final = _Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections", "too many")


class GuardedProtocol(HttpToolsProtocol):
    """One connection. A request that has reached its handler is answered, whatever the client sends after it."""

    def __init__(self, front: Front, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self._front = front
        self._limits = front.settings
        self._handshake: asyncio.Task[None] | None = None
        self._early = b""
        self._lost = False
        self._timer: asyncio.TimerHandle | None = None
        self._reading = _Reading.NOTHING
        self._unanswered = 0
        """Requests whose headers are in and whose answer is not out."""
        self._refusal: _Refusal | None = None
        """What the client gets once everything before it is answered; nothing more is read."""
        self._head = 0
        self._moving = False
        self._unsent = 0
        self._opened = 0.0
        """When the connection was, until its first request begins."""
        self._begun = self._taken = self._deadline = self.loop.time()

    # ---- the connection ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        if len(self.connections) >= self._limits.max_connections:
            self._front.turned_away(_FULL.reason)
            if self._front.certificate:
                transport.abort()
            else:
                transport.write(_FULL.answer)
                transport.close()
        elif self._front.certificate:
            self.connections.add(self)  # a handshake counts as a connection
            transport.pause_reading()
            self._handshake = self.loop.create_task(self._secure(transport, self._front.certificate.context))
        else:
            self._open(transport)

    async def _secure(self, transport: asyncio.Transport, context: Any) -> None:
        """The handshake is begun here and not by the listening socket, which would allow it a minute."""
        try:
            secured = await self.loop.start_tls(
                transport,
                self,
                context,
                server_side=True,
                ssl_handshake_timeout=self._limits.header_timeout,
                ssl_shutdown_timeout=self._limits.answer_timeout,
            )
        except (OSError, RuntimeError):  # SSLError and ConnectionError; RuntimeError of a socket closed by then
            self._front.turned_away("handshake")
            self.connections.discard(self)
            transport.abort()
            return
        if secured is None or self._lost:
            self.connections.discard(self)
            return
        self._open(secured)
        early, self._early = self._early, b""
        if early:
            self.data_received(early)

    def _open(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._opened = self._taken = self.loop.time()
        self._deadline = self._opened + self._limits.first_byte_timeout
        self._timer = self.loop.call_later(LOOK, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        super().connection_lost(exc)
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        """End what has taken too long. A connection that is closing still counts: its client may not read."""
        now = self.loop.time()
        # asyncio's TLS transport has no buffer any more once it closes.
        unsent = self._unsent if self.transport.is_closing() else self.transport.get_write_buffer_size()
        if unsent == 0 or unsent < self._unsent:
            self._taken = now
        self._unsent = unsent
        if now - self._taken >= self._limits.answer_timeout:
            self._abort("slow reader")
        elif now >= self._deadline:
            self._end()
        if self._timer:
            self._timer = self.loop.call_later(LOOK, self._look)

    def _end(self) -> None:
        if self.transport.is_closing() or (self._reading is _Reading.NOTHING and self._unanswered):
            self._abort("slow reader" if self._unsent else "total")
        elif self._reading is _Reading.NOTHING or (self._reading is _Reading.BODY and self.cycle.response_complete):
            self._front.turned_away("idle" if self._reading is _Reading.NOTHING else "body after answer")
            self._close()
        else:
            self._refuse(_SLOW)

    def _abort(self, reason: str) -> None:
        self._front.turned_away(reason)
        self.transport.abort()

    def _close(self) -> None:
        self.transport.close()
        self._deadline = self.loop.time() + self._limits.answer_timeout

    # ---- requests ------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self.flow is None:  # with the handshake's last bytes
            self._early += data
            return
        if self._refusal or self._lost or self.transport.is_closing():
            return
        self._moving = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as ended:
            # An offer to speak something else, which a server may ignore (RFC 9110 §7.8).
            if rest := data[ended.args[0] :]:
                self.data_received(rest)
            return
        except httptools.HttpParserError as problem:
            cause = problem.__context__
            self._refuse(cause.refusal if isinstance(cause, _Refused) else _MALFORMED)
            return
        # The parser gathers a header, or a trailer, until it is whole: one without an end is never seen by `on_header`.
        self._head = self._head if self._moving else self._head + len(data)
        if self._head > self._limits.header_limit:
            self._refuse(_HEADERS)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._moving = True
        self._reading = _Reading.HEAD
        self._head = 0
        self._begun = self.loop.time()
        self._deadline = (self._opened or self._begun) + self._limits.header_timeout
        self._opened = 0.0

    def on_url(self, url: bytes) -> None:
        self._moving = True
        super().on_url(url)
        if len(self.url) > MAX_TARGET:
            raise _Refused(_TARGET)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._moving = True
        self._head += len(name) + len(value) + 4
        if self._head > self._limits.header_limit or len(self.headers) >= self._limits.header_count:
            raise _Refused(_HEADERS)
        if self._reading is _Reading.HEAD:  # else a trailer, which is dropped: it must not pass for a header
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._require_one_reading()
        if len(self.pipeline) >= MAX_PIPELINED:
            raise _Refused(_PIPELINED)
        self._reading = _Reading.BODY
        self._deadline = self.loop.time() + self._limits.body_timeout
        super().on_headers_complete()
        self._unanswered += 1

    def _require_one_reading(self) -> None:
        """Raises _Refused for what servers in a row could read differently."""
        version = self.parser.get_http_version()
        if version not in {"1.1", "1.0"}:
            raise _Refused(_VERSION)
        if self.parser.get_method() == b"CONNECT":
            raise _Refused(_CONNECT)
        hosts = 0
        for name, value in self.headers:
            if name == b"host":
                hosts += 1
                if not _HOST.fullmatch(value):
                    raise _Refused(_HOST_MISSING)
            elif name == b"transfer-encoding" and (value.lower() != b"chunked" or version == "1.0"):
                raise _Refused(_FRAMING)
        if hosts > 1 or (hosts == 0 and version == "1.1"):
            raise _Refused(_HOST_MISSING)
        # httptools reads no body then, whatever its length: the body's bytes would pass for the next request.
        if self.parser.should_upgrade() and any(map(_announces_body, self.headers)):
            raise _Refused(_UPGRADE)

    def on_body(self, body: bytes) -> None:
        self._moving = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._moving = True
        super().on_message_complete()
        self._reading = _Reading.NOTHING
        answered = self.cycle.response_complete
        self._deadline = self.loop.time() + self._limits.idle_timeout if answered else self._due()

    def _due(self) -> float:
        return self._begun + self._limits.total_timeout

    # ---- answers -------------------------------------------------------------------------------------------

    def on_response_complete(self) -> None:
        """In uvicorn's place, whose timer for every pause between requests `_look` makes unnecessary."""
        self.server_state.total_requests += 1
        self._unanswered -= 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._refusal:
            self._send_refusal(self._refusal)
        elif self._reading is _Reading.BODY:
            self._deadline = self.loop.time() + LINGER
        elif self._reading is _Reading.NOTHING:
            self._deadline = self.loop.time() + self._limits.idle_timeout

    def _refuse(self, refusal: _Refusal) -> None:
        """Read no more; answer with an error and close once everything before is answered."""
        self._refusal = refusal
        waits_for_body = self._reading is _Reading.BODY and not self.cycle.response_complete
        self._reading = _Reading.NOTHING
        if waits_for_body and self.pipeline:  # it waits behind others, so no handler has begun with it
            self.pipeline.popleft()
            self._unanswered -= 1
            waits_for_body = False
        self._deadline = self._due()
        if waits_for_body and self.cycle.response_started:
            self._abort(refusal.reason)
        elif waits_for_body or not self._unanswered:
            self._send_refusal(refusal)

    def _send_refusal(self, refusal: _Refusal) -> None:
        self._front.turned_away(refusal.reason)
        self.transport.write(refusal.answer)
        self._close()


def _announces_body(header: tuple[bytes, bytes]) -> bool:
    name, value = header
    return name == b"transfer-encoding" or (name == b"content-length" and value.strip(b" \t0") != b"")
