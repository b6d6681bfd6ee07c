"""A real server on loopback around an application, and a clock that tests move."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send


@dataclass
class Clock:
    now: datetime

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **step: float) -> None:
        self.now += timedelta(**step)


class Replaceable:
    """An application that each test puts its own into."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


def listener() -> socket.socket:
    """A listening socket, so that the port is known before the application that names it is made."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock


@contextmanager
def serving(app: ASGIApp, sock: socket.socket, *, lifespan: Literal["on", "off"] = "off") -> Iterator[None]:
    config = uvicorn.Config(
        app,
        log_config=None,
        lifespan=lifespan,
        access_log=False,
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=1,  # without it, a client that never closes keeps the server for ever
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.005)
        yield
    finally:
        server.should_exit = True
        thread.join()
        sock.close()
