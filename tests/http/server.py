"""A guarded server on loopback, and clients that write bytes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from socket import create_connection, socket
from typing import Any

import uvicorn
from prometheus_client import CollectorRegistry
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ca.http.front import Front
from ca.http.settings import HTTPSettings
from ca.main import clock
from ca.server import config_of
from ca.telemetry import Metrics
from tests.dev.server import listener

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
SHORT = {f"{name}-timeout": 1 for name in ("first-byte", "header", "body", "idle", "answer")}


@dataclass
class Echo:
    """Answers with the body it read; `/large` with four megabytes, `/slow` after a while, `/deaf` without reading."""

    headers: list[list[tuple[bytes, bytes]]] = field(default_factory=list)
    finished: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = b"" if request.url.path == "/deaf" else await request.body()
        self.headers.append(scope["headers"])
        if request.url.path == "/slow":
            await asyncio.sleep(2)
        answer = Response(b"x" * (4 << 20) if request.url.path == "/large" else body or b"empty")
        await answer(scope, receive, send)
        self.finished += 1


@dataclass
class Guarded:
    app: Echo
    front: Front
    address: tuple[str, int]

    def ended(self, reason: str) -> float:
        assert self.front.metrics
        name = "dayfly_connections_ended_total"
        return self.front.metrics.registry.get_sample_value(name, {"reason": reason}) or 0

    def connect(self) -> socket:
        return create_connection(self.address, timeout=10)

    def exchange(self, *parts: bytes) -> bytes:
        """All that the server says to these bytes until it closes."""
        with self.connect() as client:
            for part in parts:
                client.sendall(part)
            return rest(client)


def rest(client: socket) -> bytes:
    received = b""
    try:
        while part := client.recv(1 << 16):
            received += part
    except ConnectionResetError:
        pass
    return received


@contextmanager
def guarded(**settings: Any) -> Iterator[Guarded]:
    front, app, bound = Front(HTTPSettings.model_validate({**SHORT, **settings})), Echo(), listener()
    front.metrics = Metrics(CollectorRegistry())
    if front.certificate:
        front.certificate.load(clock())
    config = config_of(app, front, lifespan="off")
    config.loop = "asyncio"  # which closes in threads
    config.timeout_graceful_shutdown = 1
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([bound],))
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.005)
        yield Guarded(app, front, bound.getsockname())
    finally:
        server.should_exit = True
        thread.join()
        bound.close()
