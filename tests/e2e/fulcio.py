"""Fulcio v1.8.8 as a server: what it is started with."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.processes import Tools, free_port


@dataclass(frozen=True)
class LogSettings:
    """A Certificate Transparency log, by its submission prefix and the file of its public key."""

    url: str
    key: Path


def fulcio_command(
    tools: Tools,
    port: int,
    *,
    chain: Path,
    key: Path,
    identities: Path,
    log: LogSettings | None = None,
    algorithms: str = "",
    rpc_port: int = 0,
) -> list[str | Path]:
    """Serve on `port` of loopback, gRPC on `rpc_port` or any; without `log` Certificate Transparency is off."""
    return [
        tools.binary("fulcio"),
        "serve",
        "--ca=fileca",
        f"--fileca-cert={chain}",
        f"--fileca-key={key}",
        "--fileca-key-passwd=unused",  # wanted even where the key is not encrypted
        f"--config-path={identities}",
        "--host=127.0.0.1",
        f"--port={port}",
        "--grpc-host=127.0.0.1",
        f"--grpc-port={rpc_port or free_port()}",
        f"--metrics-port={free_port()}",
        f"--legacy-unix-domain-socket=@fulcio-{os.getpid()}-{port}",
        "--log_type=prod",
        f"--ct-log-url={log.url if log else ''}",
        *([f"--ct-log-public-key-path={log.key}"] if log else []),
        *([f"--client-signing-algorithms={algorithms}"] if algorithms else []),
    ]
