"""`timestamp:` in the server's configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import model_validator

from ca.documents import Settings


class TimestampSettings(Settings):
    """A timestamp authority in this server; off unless it has a chain and a key."""

    chain: Path | None = None
    """PEM: the authority's own certificate first, the root last."""
    key: Path | None = None
    """PEM, not encrypted or encrypted with the password in `key-password-file`."""
    key_password_file: Path | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.chain is None) != (self.key is None):
            raise ValueError("chain and key belong together: give both, or neither to serve no timestamps")
        return self
