"""What happens to every call before and after its method: an id, a log record, one status."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import grpc
import structlog

from ca.errors import DayflyError, InternalError, MalformedRequest, MethodUnknown
from ca.http.forwarded import client_address, network_of
from ca.rpc.messages import status_details

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from ca.http.settings import HTTPSettings

    Context = grpc.aio.ServicerContext[Any, Any]

HEALTH: Final = "/grpc.health.v1.Health/Check"
MAX_MESSAGE: Final = 1000
"""Bytes of a status's message. It travels twice, in base64 and with up to three bytes for one, and clients take 8 KiB
of metadata (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#responses)."""
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
_STATUS = {code.value[0]: code for code in grpc.StatusCode}


@dataclass(slots=True)
class Call:
    """One call, for its method."""

    read: Callable[[], Awaitable[bytes]]
    """The message, once. Raises MalformedRequest if none comes."""
    unverified_metadata: list[tuple[str, str]] = field(repr=False)
    client: str
    """The address that it comes from; empty where there is none."""
    record: dict[str, Any]
    """What its log record will say; methods add their fields."""
    left: bool = False
    """The client cancelled, its deadline passed, or it is gone."""

    async def has_left(self) -> bool:
        return self.left

    def only(self, name: str) -> str:
        """The metadata of that name, if there is one alone."""
        values = [value for key, value in self.unverified_metadata if key == name]
        return values[0] if len(values) == 1 else ""


Method = Callable[[Call], Awaitable[bytes]]
"""To the answer's message, or an error of `ca.errors`."""


class Calls(grpc.GenericRpcHandler):
    """Methods by path, such as `/dev.sigstore.fulcio.v2.CA/GetTrustBundle`."""

    def __init__(self, methods: Mapping[str, Method], settings: HTTPSettings) -> None:
        self._settings = settings
        self._services = {path.split("/")[1] for path in methods}
        self._handlers = {path: self._handler(path, method) for path, method in methods.items()}
        self._going_on: set[asyncio.Task[bytes | DayflyError]] = set()
        self._log = structlog.get_logger().bind()  # at once: a lazy one binds again on every record

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        path = handler_call_details.method
        return self._handlers.get(path) or self._handler(path, partial(self._unknown, path))

    async def finish(self, seconds: float) -> None:
        """Wait for calls whose clients have left, and which are finished all the same."""
        if self._going_on:
            await asyncio.wait(self._going_on, timeout=seconds)

    def _handler(self, path: str, method: Method) -> grpc.RpcMethodHandler[bytes, bytes]:
        # A stream of messages, of which one is read: so the time that it may take to come is ours to bound.
        return grpc.stream_unary_rpc_method_handler(partial(self._serve, path, method))

    async def _unknown(self, path: str, _call: Call) -> bytes:
        service, _, method = path.removeprefix("/").rpartition("/")
        if service in self._services:
            raise MethodUnknown(f"unknown method {method[:100]} for service {service}")
        raise MethodUnknown(f"unknown service {service[:100]}")

    async def _serve(self, path: str, method: Method, messages: AsyncIterator[bytes], context: Context) -> bytes:
        call = self._call(path, partial(self._message, messages), context)
        answering = asyncio.create_task(self._answered(path, method, call))
        self._going_on.add(answering)
        answering.add_done_callback(self._going_on.discard)
        try:
            # Not to be cancelled with its client: what has begun is finished, for it may be in the log.
            outcome = await asyncio.shield(answering)
        except asyncio.CancelledError:
            call.left = True
            raise
        request_id = call.record["request_id"]
        if isinstance(outcome, DayflyError):
            message = _shortened(outcome.public_message)
            details = ("grpc-status-details-bin", status_details(outcome, message, request_id))
            await context.abort(_STATUS[outcome.code], message, (("x-request-id", request_id), details))
        context.set_trailing_metadata((("x-request-id", request_id),))
        return outcome

    def _call(self, path: str, read: Callable[[], Awaitable[bytes]], context: Context) -> Call:
        metadata = [(key, value) for key, value in context.invocation_metadata() or () if isinstance(value, str)]
        client = self._client(context.peer(), metadata)
        call = Call(read, metadata, client, {})
        asked = call.only("x-request-id")
        request_id = asked if _REQUEST_ID.fullmatch(asked) else secrets.token_hex(12)
        call.record |= {"request_id": request_id, "method": "gRPC", "path": path[:200]}
        if self._settings.log_client != "none" and client:
            call.record["client"] = client if self._settings.log_client == "address" else network_of(client)
        return call

    def _client(self, peer: str, unverified_metadata: list[tuple[str, str]]) -> str:
        """`peer` is as gRPC spells it: `ipv4:192.0.2.1:4711`, `ipv6:%5B2001:db8::1%5D:4711`."""
        family, _, address = unquote(peer).partition(":")
        if family not in {"ipv4", "ipv6"}:
            return ""
        host = address.rpartition(":")[0].strip("[]")
        if not self._settings.trusted_proxies:
            return host
        lines = [value.encode() for key, value in unverified_metadata if key == "x-forwarded-for"]
        return client_address(host, lines, self._settings.proxies)

    async def _answered(self, path: str, method: Method, call: Call) -> bytes | DayflyError:
        """The answer of the method, recorded."""
        started = perf_counter()
        outcome: bytes | DayflyError
        try:
            outcome = await method(call)
        except DayflyError as refusal:
            outcome = refusal
        except Exception as bug:  # noqa: BLE001 - whatever it was, the client gets no text of it; the log gets the cause
            self._log.exception("unexpected error", request_id=call.record["request_id"], exc_info=bug)
            outcome = InternalError(f"request {call.record['request_id']}")
        record = call.record
        record["status"] = 0
        if isinstance(outcome, DayflyError):
            record["status"] = int(outcome.code)
            record |= {"reason": outcome.reason, "detail": outcome.public_message}
        record["seconds"] = round(perf_counter() - started, 6)
        if path == HEALTH and record["status"] == 0:
            self._log.debug("request", **record)
        else:
            self._log.info("request", **record)
        return outcome

    async def _message(self, messages: AsyncIterator[bytes]) -> bytes:
        try:
            async with asyncio.timeout(self._settings.body_timeout):
                async for message in messages:
                    return message
        except TimeoutError:
            raise MalformedRequest("the request took too long to arrive") from None
        # gRPC ends it itself for a message that is too large, and tells the client.
        raise MalformedRequest(f"the call ended without a message of at most {self._settings.body_limit} bytes")


def _shortened(message: str) -> str:
    encoded = message.encode()
    return message if len(encoded) <= MAX_MESSAGE else f"{encoded[:MAX_MESSAGE].decode(errors='ignore')}…"
