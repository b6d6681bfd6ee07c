from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from ca.keys.ceremony import write_ca
from tests.api.conftest import ca
from tests.oidc.conftest import provider, shared_provider
from tests.oidc.provider import Provider

__all__ = ["ca", "provider", "shared_provider"]

ServerFile = Callable[..., Path]


@pytest.fixture
def server_file(tmp_path: Path, provider: Provider) -> ServerFile:
    """Write a whole server's configuration that trusts the provider, with members replaced; `...` leaves one out."""

    def write(**members: object) -> Path:
        if not (tmp_path / "ca").exists():
            write_ca(tmp_path / "ca", "Dayfly tests", "Dayfly tests", datetime.now(UTC))
        honest = {"issuer-url": provider.issuer, "client-id": "sigstore", "type": "email"}
        (tmp_path / "identity.yaml").write_text(yaml.safe_dump({"oidc-issuers": {provider.issuer: honest}}))
        settings = {
            "identity-config": "identity.yaml",
            "ca": {"cert": "ca/chain.pem", "key": "ca/intermediate.key.pem"},
            "ct": {"log": "none"},
            "metrics": {"listen": "none"},
        }
        settings |= {name.replace("_", "-"): value for name, value in members.items()}
        path = tmp_path / "ca.yaml"
        path.write_text(yaml.safe_dump({name: value for name, value in settings.items() if value is not ...}))
        return path

    return write
