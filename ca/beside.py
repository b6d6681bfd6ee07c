"""gRPC beside HTTP: in every worker, at one address, stopped by the same signals."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ca.errors import ConfigurationError
from ca.http.tls import LOOK_AGAIN
from ca.rpc.settings import SWITCHED_OFF
from ca.server import GRACE, address_of, bind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from datetime import datetime

    from ca.api.health import Health
    from ca.api.signing import Signing
    from ca.api.trust import Trust
    from ca.config import ServerSettings
    from ca.rpc.settings import RPCSettings
    from ca.rpc.tls import ServedPair
    from ca.telemetry import Metrics


def check(settings: RPCSettings, now: datetime) -> None:
    """Raises ConfigurationError if the settings could not be served."""
    if settings.listen != SWITCHED_OFF:
        _pair(settings, now)


@contextmanager
def reserved(settings: ServerSettings) -> Iterator[ServerSettings]:
    """The settings with the address that gRPC's listeners share, held against everybody else.

    Raises ConfigurationError if somebody has it.
    """
    if settings.grpc.listen == SWITCHED_OFF:
        yield settings
        return
    with bind(settings.grpc.listen, "--grpc-listen") as held:
        # Only now: with this from the start, another server's listeners would share as well, and nobody notice.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        grpc = settings.grpc.model_copy(update={"listen": address_of(held)})
        yield settings.model_copy(update={"grpc": grpc})


@asynccontextmanager
async def serving(
    settings: ServerSettings,
    parts: tuple[Signing, Trust, Health],
    metrics: Metrics,
    clock: Callable[[], datetime],
) -> AsyncIterator[None]:
    """Answer calls until the end, or the signal that ends HTTP; `settings` are those of `reserved`."""
    if settings.grpc.listen == SWITCHED_OFF:
        yield
        return
    pair = _pair(settings.grpc, clock())
    from ca.rpc.server import RPCServer
    from ca.rpc.services import methods_of

    server = RPCServer(methods_of(*parts), settings.grpc, settings.http, pair, GRACE)
    await server.start()
    following = asyncio.create_task(_follow(pair, metrics, clock)) if pair else None
    try:
        with _at_stop(server.stop):
            yield
    finally:
        await server.stopped()
        if following:
            following.cancel()


def _pair(settings: RPCSettings, now: datetime) -> ServedPair | None:
    """None for gRPC without TLS. Raises ConfigurationError."""
    # gRPC takes this from the environment alone, and would write lines of its own about what clients do.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        import_module("ca.rpc.services")
        from ca.rpc.tls import ServedPair
    except ImportError as problem:
        raise ConfigurationError("grpc: listen: gRPC needs the extra `grpc`: dayfly[grpc]") from problem
    if settings.tls_certificate and settings.tls_key:
        return ServedPair(settings.tls_certificate, settings.tls_key, now)
    return None


async def _follow(pair: ServedPair, metrics: Metrics, clock: Callable[[], datetime]) -> None:
    while True:
        now = clock()
        with suppress(ConfigurationError):  # files that change this moment; the next look finds them whole
            pair.reload(now)
        metrics.grpc_tls_expiry_seconds.set((pair.not_after - now).total_seconds())
        metrics.grpc_tls_reload_failed.set(1 if pair.last_reload_error else 0)
        await asyncio.sleep(LOOK_AGAIN)


@contextmanager
def _at_stop(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` in the event loop with the signals that stop HTTP, before it drains: one grace is for both.

    Only the main thread is given signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()

    def handle(before: Any, number: int, frame: Any) -> None:
        loop.call_soon_threadsafe(stop)
        if callable(before):
            before(number, frame)

    with ExitStack() as stack:
        for number in (signal.SIGINT, signal.SIGTERM):
            before = signal.getsignal(number)
            signal.signal(number, partial(handle, before))
            stack.callback(signal.signal, number, before)
        yield
