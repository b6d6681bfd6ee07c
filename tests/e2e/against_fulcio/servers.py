"""Fulcio v1.8.8 and Dayfly side by side: the same CA, the same issuers, the same log."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.e2e.instance import DAYFLY, CAFiles
from tests.e2e.processes import Child, Tools, free_port


@dataclass(frozen=True)
class Ask:
    """One HTTP request, byte for byte what both servers are sent."""

    method: str = "POST"
    path: str = "/api/v2/signingCert"
    headers: dict[str, str] | list[tuple[str, str]] | None = None
    content: bytes = b""


@dataclass(frozen=True)
class LogSettings:
    url: str
    key: Path


@dataclass(frozen=True)
class Pair:
    fulcio: httpx.Client
    dayfly: httpx.Client

    def ask(self, ask: Ask) -> tuple[httpx.Response, httpx.Response]:
        """Fulcio's answer and Dayfly's."""
        return send(self.fulcio, ask), send(self.dayfly, ask)


def send(client: httpx.Client, ask: Ask) -> httpx.Response:
    # Joined by hand: a client library would tidy the path up.
    url = f"{client.base_url}".rstrip("/") + ask.path
    return client.request(ask.method, url, headers=ask.headers, content=ask.content)


@contextmanager
def start_pair(
    tools: Tools, directory: Path, ca: CAFiles, identities: Path, log: LogSettings | None, name: str
) -> Iterator[Pair]:
    commands = {
        "fulcio": _fulcio(tools, ca, identities, log, name),
        "dayfly": _dayfly(directory, ca, identities, log),
    }
    with ExitStack() as stack:
        started = {}
        for server, (url, command) in commands.items():
            child = Child.start(f"{server}-{name}", command, directory, cwd=directory)
            started[url] = stack.enter_context(child)
        for url, child in started.items():
            child.wait_for_http(f"{url}/healthz")
        yield Pair(*(stack.enter_context(httpx.Client(base_url=url, trust_env=False, timeout=15)) for url in started))


def _fulcio(
    tools: Tools, ca: CAFiles, identities: Path, log: LogSettings | None, name: str
) -> tuple[str, list[str | Path]]:
    port, grpc, metrics = free_port(), free_port(), free_port()
    return f"http://127.0.0.1:{port}", [
        tools.binary("fulcio"),
        "serve",
        "--ca=fileca",
        f"--fileca-cert={ca.chain}",
        f"--fileca-key={ca.key}",
        "--fileca-key-passwd=unused",  # wanted even where the key is not encrypted
        f"--config-path={identities}",
        "--host=127.0.0.1",
        f"--port={port}",
        "--grpc-host=127.0.0.1",
        f"--grpc-port={grpc}",
        f"--metrics-port={metrics}",
        f"--legacy-unix-domain-socket=@fulcio-{os.getpid()}-{name}",
        "--log_type=prod",
        f"--ct-log-url={log.url if log else ''}",
        *([f"--ct-log-public-key-path={log.key}"] if log else []),
    ]


def _dayfly(directory: Path, ca: CAFiles, identities: Path, log: LogSettings | None) -> tuple[str, list[str | Path]]:
    port = free_port()
    return f"http://127.0.0.1:{port}", [
        DAYFLY,
        "serve",
        f"--listen=127.0.0.1:{port}",
        "--metrics-listen=none",
        f"--identity-config={identities}",
        f"--ca-cert={ca.chain}",
        f"--ca-key={ca.key}",
        f"--ct-log={log.url if log else 'none'}",
        *([f"--ct-log-key={log.key}"] if log else []),
        f"--data={directory}",
    ]
