"""The server of a worker: bounded as HTTP's connections are, and stopped with them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import grpc
import structlog

from ca.errors import ConfigurationError
from ca.rpc.calls import Calls

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ca.http.settings import HTTPSettings
    from ca.rpc.calls import Method
    from ca.rpc.settings import RPCSettings
    from ca.rpc.tls import ServedPair

STREAMS: Final = 100
"""Calls at once on one connection, as nginx and Go's servers have it."""
SILENCE: Final = 60
"""Seconds without a byte after which a client with calls under way is asked whether it is still there."""


class RPCServer:
    """gRPC beside HTTP, in the same event loop."""

    def __init__(
        self,
        methods: Mapping[str, Method],
        settings: RPCSettings,
        http: HTTPSettings,
        tls: ServedPair | None,
        grace: float,
    ) -> None:
        """`grace`: the seconds that calls in flight get at shutdown."""
        self._calls = Calls(methods, http)
        self._listen = settings.listen
        self._tls = tls
        self._grace = grace
        self._server = grpc.aio.server(options=_options(http), maximum_concurrent_rpcs=http.max_connections)
        self._server.add_generic_rpc_handlers((self._calls,))
        self._stopping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises ConfigurationError if the address cannot be listened at."""
        try:
            if self._tls:
                self._server.add_secure_port(self._listen, self._tls.credentials())
            else:
                self._server.add_insecure_port(self._listen)
        except RuntimeError as problem:
            raise ConfigurationError(
                f"--grpc-listen: cannot listen on {self._listen}; choose another address or port"
            ) from problem
        await self._server.start()
        structlog.get_logger("server").info("listening", protocol="gRPC", address=self._listen)

    def stop(self) -> None:
        """Take no more calls, and give those in flight their grace."""
        self._stopping = self._stopping or asyncio.create_task(self._stop())

    async def stopped(self) -> None:
        self.stop()
        await self._stopping  # type: ignore[misc]  # `stop` has just made it

    async def _stop(self) -> None:
        ends = asyncio.get_running_loop().time() + self._grace
        await self._server.stop(self._grace)
        await self._calls.finish(max(0, ends - asyncio.get_running_loop().time()))


def _options(http: HTTPSettings) -> list[tuple[str, int]]:
    """https://github.com/grpc/grpc/blob/master/include/grpc/impl/channel_arg_names.h

    Pings more frequent than every five minutes end a connection, as gRPC has it by default.
    """
    return [
        ("grpc.so_reuseport", 1),  # the parent holds the address against others
        ("grpc.max_receive_message_length", http.body_limit),
        ("grpc.max_metadata_size", http.header_limit),
        ("grpc.absolute_max_metadata_size", http.header_limit),
        ("grpc.max_allowed_incoming_connections", http.max_connections),
        ("grpc.max_concurrent_streams", STREAMS),
        ("grpc.server_handshake_timeout_ms", _milliseconds(http.header_timeout)),
        ("grpc.max_connection_idle_ms", _milliseconds(http.idle_timeout)),
        ("grpc.keepalive_time_ms", _milliseconds(SILENCE)),
        ("grpc.keepalive_timeout_ms", _milliseconds(http.answer_timeout)),
    ]


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
