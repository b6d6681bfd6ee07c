"""Fulcio v1.8.8 and Dayfly side by side: the same CA, the same issuers, the same log."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.e2e.fulcio import LogSettings, fulcio_command
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
class Pair:
    fulcio: httpx.Client
    dayfly: httpx.Client
    fulcio_rpc: str = ""
    """HOST:PORT of gRPC."""
    dayfly_rpc: str = ""

    def ask(self, ask: Ask) -> tuple[httpx.Response, httpx.Response]:
        """Fulcio's answer and Dayfly's."""
        return send(self.fulcio, ask), send(self.dayfly, ask)


def send(client: httpx.Client, ask: Ask) -> httpx.Response:
    # Joined by hand: a client library would tidy the path up.
    url = f"{client.base_url}".rstrip("/") + ask.path
    return client.request(ask.method, url, headers=ask.headers, content=ask.content)


@dataclass(frozen=True)
class Setup:
    """What both servers are given."""

    tools: Tools
    directory: Path
    ca: CAFiles
    identities: Path
    log: LogSettings | None = None
    algorithms: str = ""
    """The allow-list of client signing algorithms, with commas; empty for the default."""

    @contextmanager
    def running(self, name: str) -> Iterator[Pair]:
        """`name` tells the files of these processes from those of another pair."""
        ports = {"fulcio": free_port(), "dayfly": free_port()}
        rpc = {"fulcio": free_port(), "dayfly": free_port()}
        commands = {
            "fulcio": self._fulcio(ports["fulcio"], rpc["fulcio"]),
            "dayfly": self._dayfly(ports["dayfly"], rpc["dayfly"]),
        }
        with ExitStack() as stack:
            environment = dict(os.environ)
            if self.algorithms:
                environment["DAYFLY_CLIENT_SIGNING_ALGORITHMS"] = self.algorithms
            children = {
                server: stack.enter_context(
                    Child.start(f"{server}-{name}", command, self.directory, cwd=self.directory, env=environment)
                )
                for server, command in commands.items()
            }
            for server, child in children.items():
                child.wait_for_http(f"http://127.0.0.1:{ports[server]}/healthz")
            clients = {server: stack.enter_context(_client(port)) for server, port in ports.items()}
            yield Pair(**clients, **{f"{server}_rpc": f"127.0.0.1:{port}" for server, port in rpc.items()})

    def _fulcio(self, port: int, rpc_port: int) -> list[str | Path]:
        return fulcio_command(
            self.tools,
            port,
            chain=self.ca.chain,
            key=self.ca.key,
            identities=self.identities,
            log=self.log,
            algorithms=self.algorithms,
            rpc_port=rpc_port,
        )

    def _dayfly(self, port: int, rpc_port: int) -> list[str | Path]:
        return [
            DAYFLY,
            "serve",
            f"--listen=127.0.0.1:{port}",
            f"--grpc-listen=127.0.0.1:{rpc_port}",
            "--metrics-listen=none",
            f"--identity-config={self.identities}",
            f"--ca-cert={self.ca.chain}",
            f"--ca-key={self.ca.key}",
            f"--ct-log={self.log.url if self.log else 'none'}",
            *([f"--ct-log-key={self.log.key}"] if self.log else []),
            f"--data={self.directory}",
        ]


def _client(port: int) -> httpx.Client:
    return httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=15)
