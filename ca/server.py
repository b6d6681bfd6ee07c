"""Processes, sockets and signals: an application in uvicorn's workers, metrics on a listener of their own."""

from __future__ import annotations

import os
import socket
import tempfile
from functools import partial
from typing import TYPE_CHECKING

import structlog
from prometheus_client import REGISTRY, CollectorRegistry, start_http_server

from ca.errors import ConfigurationError
from ca.telemetry import Metrics, configure_logging

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from starlette.types import ASGIApp, Receive, Scope, Send

    from ca.telemetry import LogSettings

    Build = Callable[[Metrics], AbstractAsyncContextManager[ASGIApp]]

GRACE = 30
"""Seconds that requests in flight get at shutdown: more than the CT budget, so that none dies after its SCT."""
NO_METRICS = "none"


class Worker:
    """One worker process as an ASGI application: builds when the server starts, releases when it stops."""

    def __init__(self, build: Build, log: LogSettings, registry: CollectorRegistry | None = None) -> None:
        """`build` raises ConfigurationError; several processes pickle it.

        `registry` is None in a process of several: its values live in files that the parent serves.
        """
        self._build = build
        self._log = log
        self._registry = registry or CollectorRegistry()
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif self._app is not None:
            await self._app(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        configure_logging(self._log)
        try:
            async with self._build(Metrics(self._registry)) as self._app:
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except ConfigurationError as problem:
            await send({"type": "lifespan.startup.failed", "message": str(problem)})
            return
        await send({"type": "lifespan.shutdown.complete"})


def run(
    build: Build, bound: socket.socket, log: LogSettings, *, workers: int = 1, metrics_listen: str = NO_METRICS
) -> None:
    """Serve what `build` makes on a socket of `bind` until SIGINT or SIGTERM.

    Raises ConfigurationError where metrics cannot be served.
    """
    import uvicorn

    from ca.supervisor import Supervisor

    config = uvicorn.Config(
        partial(Worker, build, log, REGISTRY if workers == 1 else None),
        factory=True,
        workers=workers,
        http="httptools",
        ws="none",  # else a library that happens to be installed answers upgrades
        loop="uvloop",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE,
        timeout_worker_healthcheck=GRACE,  # a worker is long in starting on a busy machine
    )
    with tempfile.TemporaryDirectory(prefix="dayfly-metrics-") as metrics_directory:
        if workers > 1:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = metrics_directory
        if metrics_listen != NO_METRICS:
            _serve_metrics(metrics_listen, shared=workers > 1)
        structlog.get_logger("server").info("listening", address=address_of(bound), workers=workers, pid=os.getpid())
        if workers > 1:
            Supervisor(config, sockets=[bound]).run()
        else:
            uvicorn.Server(config).run([bound])


def _serve_metrics(listen: str, *, shared: bool) -> None:
    """Serve Prometheus' text format in a thread of this process."""
    registry = REGISTRY
    if shared:
        from prometheus_client.multiprocess import MultiProcessCollector

        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    host, port = split_address(listen)
    try:
        start_http_server(port, host, registry)
    except OSError as problem:
        raise _cannot_listen(listen, "--metrics-listen", problem) from problem


def bind(listen: str, flag: str) -> socket.socket:
    """A socket at HOST:PORT that does not listen yet. Raises ConfigurationError naming the flag that changes it."""
    host, port = split_address(listen)
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError as problem:
        bound.close()
        raise _cannot_listen(listen, flag, problem) from problem
    bound.set_inheritable(True)  # for worker processes
    return bound


def _cannot_listen(listen: str, flag: str, problem: OSError) -> ConfigurationError:
    return ConfigurationError(f"{flag}: cannot listen on {listen}: {problem.strerror}; choose another address or port")


def address_of(bound: socket.socket) -> str:
    """HOST:PORT of a socket: with the port that the system chose where 0 was asked for."""
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def split_address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)
