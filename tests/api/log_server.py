"""Logs behind their endpoints on loopback, alone."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ca.api.app import log_application
from ca.api.ctlog import CTLogEndpoints, ServedLog
from ca.api.health import Health
from ca.ct.embedded.directory import LogDirectory, Shard
from ca.ct.embedded.engine import DEFAULT_LIMITS, EmbeddedLog, Limits
from ca.ct.embedded.keys import load_keys
from ca.ct.embedded.reader import Reader
from ca.ct.submission import AcceptedRoots
from ca.http.settings import HTTPSettings
from ca.main import clock
from tests.certificate.pki import CA
from tests.ct.embedded.builders import submission
from tests.dev.server import listener, serving

OLD, NEW = "log.example.com/ctlog/2026h1", "log.example.com/ctlog"


@dataclass
class Served:
    """A running server with an old log that is read alone, and a current one."""

    client: httpx.Client
    old: ServedLog
    current: ServedLog
    log: EmbeddedLog
    directory: Path

    @property
    def log_key(self) -> EllipticCurvePublicKey:
        return self.current.log_key

    @property
    def note_key(self) -> Ed25519PublicKey:
        return self.current.note_key

    def get(self, path: str, **parameters: Any) -> httpx.Response:
        return self.client.get(f"/ctlog/{path}", params=parameters)

    def add(self, function: str, *chain: bytes, prefix: str = "/ctlog") -> httpx.Response:
        body = {"chain": [b64encode(der).decode() for der in chain]}
        return self.client.post(f"{prefix}/ct/v1/{function}", json=body)


@contextmanager
def running_logs(directory: Path, ca: CA, entries: int = 0, limits: Limits = DEFAULT_LIMITS) -> Iterator[Served]:
    """Logs whose current one has `entries` to begin with, of no CA; it takes more under the root of `ca`."""
    logs = LogDirectory(directory)
    with ExitStack() as stack:
        old, current = logs.create(OLD, clock()), logs.create(NEW, clock())
        asyncio.run(_fill(logs, old, 3, freeze=True))
        asyncio.run(_fill(logs, current, entries))
        log = logs.open(current, clock, limits=limits)
        stack.callback(lambda: asyncio.run(log.aclose()))
        roots = AcceptedRoots([ca.chain.certificates[-1]])
        served = [_served(shard, path, roots, stack) for shard, path in ((old, "/ctlog/2026h1"), (current, "/ctlog"))]
        served[1] = ServedLog("/ctlog", served[1].reader, lambda: roots, served[1].log_key, served[1].note_key, log.add)
        socket = listener()
        url = f"http://127.0.0.1:{socket.getsockname()[1]}"
        app = log_application(
            CTLogEndpoints(served[1], served[:1]), Health(None, {"embedded": log}, clock), HTTPSettings()
        )
        stack.enter_context(serving(app, socket))
        client = stack.enter_context(httpx.Client(base_url=url))
        yield Served(client, *served, log, directory)


def _served(shard: Shard, prefix: str, roots: AcceptedRoots, stack: ExitStack) -> ServedLog:
    keys = load_keys(shard.directory)
    log_key = keys.log_key.public_key()
    reader = Reader.open(shard.database, log_key)
    stack.callback(reader.close)
    return ServedLog(prefix, reader, lambda: roots, log_key, keys.note_key.public_key(), None)


async def _fill(logs: LogDirectory, shard: Shard, entries: int, *, freeze: bool = False) -> None:
    log = logs.open(shard, clock)
    for first in range(0, entries, DEFAULT_LIMITS.pending):
        numbers = range(first, min(first + DEFAULT_LIMITS.pending, entries))
        await asyncio.gather(*(log.add(submission(number)) for number in numbers))
    if freeze:
        await log.freeze()
    await log.aclose()
