"""Sigstore's timestamp authority (RFC 3161)."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from tests.e2e.processes import Child, Tools, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class TimestampAuthority:
    url: str
    chain: bytes
    """PEM, the signer first."""

    def write_chain(self, directory: Path) -> Path:
        path = directory / "timestamps.pem"
        path.write_bytes(self.chain)
        return path


@contextmanager
def timestamp_authority(tools: Tools, directory: Path) -> Iterator[TimestampAuthority]:
    """It insists on port 2112 for its metrics, so there can be one on a machine."""
    port = free_port()
    command = [
        tools.binary("timestamp-server"),
        "serve",
        "--host=127.0.0.1",
        f"--port={port}",
        "--timestamp-signer=memory",
        "--disable-ntp-monitoring",
    ]
    with Child.start("timestamp-server", command, directory) as child:
        url = f"http://127.0.0.1:{port}/api/v1/timestamp"
        child.wait_for_http(f"{url}/certchain")
        yield TimestampAuthority(url, httpx.get(f"{url}/certchain", trust_env=False).content)
