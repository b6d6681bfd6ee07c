"""`grpc:` in the server's configuration. Sizes, times, proxies and records are those of `http:`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import model_validator

from ca.documents import Settings
from ca.documents.address import Address

SWITCHED_OFF = "none"


class RPCSettings(Settings):
    """Where to listen, and TLS."""

    listen: Literal["none"] | Address = SWITCHED_OFF
    tls_certificate: Path | None = None
    """PEM: the server's certificate first, intermediates after it."""
    tls_key: Path | None = None
    """PEM, not encrypted."""

    @model_validator(mode="after")
    def _have_both_or_neither(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("`tls-certificate` and `tls-key` go together: set both, or neither for gRPC without TLS")
        return self
