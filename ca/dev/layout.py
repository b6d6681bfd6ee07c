"""Where a development instance keeps its files, and what `dayfly dev-token` reads of them.

Apart from the server, so that asking for a token does not load one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ca.dev.tokens import load_or_create_issuer_key, mint_token, parse_claims
from ca.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

ISSUER_PATH: Final = "/issuer"


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance's files and URLs."""

    directory: Path
    url: str

    @property
    def issuer(self) -> str:
        return self.url + ISSUER_PATH

    @property
    def ca(self) -> Path:
        return self.directory / "ca"

    @property
    def issuer_key(self) -> Path:
        return self.directory / "issuer.key.pem"

    @property
    def identity_config(self) -> Path:
        return self.directory / "identity.yaml"

    @property
    def signing_config(self) -> Path:
        return self.directory / "signing_config.json"

    @property
    def trusted_root(self) -> Path:
        return self.directory / "trusted_root.json"

    @property
    def tuf(self) -> Path:
        return self.directory / "tuf"

    @property
    def tuf_keys(self) -> Path:
        return self.directory / "tuf-keys"


def token(directory: Path, email: str, claims: Sequence[str], now: datetime) -> str:
    """A token of the instance in `directory`. Raises ConfigurationError where there is none."""
    try:
        recorded = json.loads((directory / "instance.json").read_text())
        instance = Instance(directory, recorded["url"])
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise ConfigurationError(
            f"{directory}: no development instance; start one with `dayfly dev --data {directory}`"
        ) from problem
    key = load_or_create_issuer_key(instance.issuer_key)
    return mint_token(key, instance.issuer, email, parse_claims(claims), now)
