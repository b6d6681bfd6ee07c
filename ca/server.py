"""Processes, sockets and signals: an application in uvicorn's workers, metrics on a listener of their own."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
import socket
import threading
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
import uvicorn
from prometheus_client import REGISTRY, CollectorRegistry

from ca.errors import ConfigurationError
from ca.http.front import Front
from ca.http.metrics import MetricsPage, shared_directory
from ca.http.protocol import GuardedProtocol
from ca.http.settings import HTTPSettings
from ca.supervisor import Supervisor
from ca.telemetry import Metrics, configure_logging

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractAsyncContextManager

    from starlette.types import ASGIApp, Receive, Scope, Send

    from ca.telemetry import LogSettings

    Build = Callable[[Metrics, Front], AbstractAsyncContextManager[ASGIApp]]

GRACE = 30
"""Seconds that requests in flight get at shutdown: more than the CT budget, so that none dies after its SCT."""
NO_METRICS = "none"
OTHER_FILES = 128
"""Descriptors for everything but clients: databases, identity providers, logs."""
SCRAPERS = 16
"""Connections to the metrics."""


class Worker:
    """One worker process as an ASGI application: builds when the server starts, releases when it stops."""

    def __init__(
        self, build: Build, log: LogSettings, registry: CollectorRegistry | None = None, front: Front | None = None
    ) -> None:
        """`build` raises ConfigurationError; several processes pickle it.

        `registry` is None in a process of several: its values live in files that the parent serves. `front` is the
        one of the connections.
        """
        self._build = build
        self._log = log
        self._registry = registry or CollectorRegistry()
        self._front = front or Front(HTTPSettings())
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif self._app is not None:
            await self._app(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        configure_logging(self._log)
        self._front.metrics = metrics = Metrics(self._registry)
        try:
            async with self._build(metrics, self._front) as self._app:
                if self._front.settings.drain_delay:
                    _drain_first(self._front)
                _relieve_collector()
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except ConfigurationError as problem:
            await send({"type": "lifespan.startup.failed", "message": str(problem)})
            return
        await send({"type": "lifespan.shutdown.complete"})


def _relieve_collector() -> None:
    """Requests leave few cycles: looked for after every 700 new objects, by default, they cost 3 % of the CPU.

    What is there after the start stays, and need not be looked at again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, *gc.get_threshold()[1:])


def _drain_first(front: Front) -> None:
    """Let readiness go, and uvicorn's handler of SIGTERM wait; a second signal waits for nothing."""
    loop = asyncio.get_running_loop()
    stop: Any = signal.getsignal(signal.SIGTERM)

    def drain(number: int, frame: Any) -> None:
        if front.draining:
            stop(number, frame)
            return
        front.draining = True
        structlog.get_logger("server").info("draining", seconds=front.settings.drain_delay)
        loop.call_soon_threadsafe(loop.call_later, front.settings.drain_delay, stop, number, frame)

    signal.signal(signal.SIGTERM, drain)


def run(
    build: Build,
    bound: socket.socket,
    log: LogSettings,
    http: HTTPSettings,
    *,
    workers: int = 1,
    metrics_listen: str = NO_METRICS,
) -> None:
    """Serve what `build` makes on a socket of `bind` until SIGINT or SIGTERM.

    Raises ConfigurationError where metrics cannot be served, or so many connections.
    """
    _allow_files(http.max_connections + OTHER_FILES)
    front = Front(http)
    app = partial(Worker, build, log, REGISTRY if workers == 1 else None, front)
    config = config_of(app, front, factory=True, workers=workers, lifespan="on")
    with ExitStack() as stack:
        if workers > 1:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(stack.enter_context(shared_directory()))
        if metrics_listen != NO_METRICS:
            stack.enter_context(_serving_metrics(metrics_listen, shared=workers > 1))
        structlog.get_logger("server").info("listening", address=address_of(bound), workers=workers, pid=os.getpid())
        if workers > 1:
            Supervisor(config, sockets=[bound]).run()
        else:
            uvicorn.Server(config).run([bound])


def config_of(app: Any, front: Front, **more: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=partial(GuardedProtocol, front),  # type: ignore[arg-type]  # uvicorn calls it and asks no more of it
        ws="none",  # else a library that happens to be installed answers upgrades
        # A server on uvloop lost connections that `start_tls` had secured, within three of them.
        loop="asyncio" if front.certificate else "uvloop",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE,
        timeout_worker_healthcheck=GRACE,  # a worker is long in starting on a busy machine
        **more,
    )


def _allow_files(needed: int) -> None:
    """Raise the soft limit on open files as far as is needed and allowed, as Go's programs do."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise ConfigurationError(
            f"http.max-connections: {needed - OTHER_FILES} connections need {needed} open files, and the system allows "
            f"{hard}; lower the one, or raise the other (LimitNOFILE= of systemd, --ulimit nofile= of containers)"
        )
    if soft != resource.RLIM_INFINITY and needed > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


@contextmanager
def _serving_metrics(listen: str, *, shared: bool) -> Iterator[None]:
    """Serve Prometheus' text format from a thread of this process, under the same limits as clients."""
    front = Front(HTTPSettings.model_validate({"max-connections": SCRAPERS}))
    with bind(listen, "--metrics-listen") as bound:
        server = uvicorn.Server(config_of(MetricsPage(shared=shared), front, lifespan="off"))
        thread = threading.Thread(target=server.run, args=([bound],), name="metrics", daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.force_exit = server.should_exit = True
            thread.join()


def bind(listen: str, flag: str) -> socket.socket:
    """A socket at HOST:PORT that does not listen yet. Raises ConfigurationError naming the flag that changes it."""
    host, port = split_address(listen)
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError as problem:
        bound.close()
        raise ConfigurationError(
            f"{flag}: cannot listen on {listen}: {problem.strerror}; choose another address or port"
        ) from problem
    bound.set_inheritable(True)  # for worker processes
    return bound


def address_of(bound: socket.socket) -> str:
    """HOST:PORT of a socket: with the port that the system chose where 0 was asked for."""
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def split_address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)
