from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ca.keys.settings import CASettings
from tests.certificate.pki import CA
from tests.keys.pems import private_pem

NOW = datetime(2026, 11, 3, 12, 30, 15, tzinfo=UTC)


@pytest.fixture
def logs():
    with capture_logs() as records:
        yield records


@pytest.fixture
def write(tmp_path: Path):
    """Write a CA's pair, mode 0600, and return its settings."""

    def pair(ca: CA, key_pem: bytes | None = None, *, directory: Path = tmp_path) -> CASettings:
        directory.mkdir(exist_ok=True)
        chain, key = directory / "chain.pem", directory / "key.pem"
        chain.write_text("".join(ca.chain.pems))
        key.touch(mode=0o600)
        key.write_bytes(key_pem or private_pem(ca.key))
        return CASettings(cert=chain, key=key)

    return pair
