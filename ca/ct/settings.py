"""`ct:` in the server's configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import field_validator, model_validator

from ca.documents import Settings

SWITCHED_OFF = "none"


class CTSettings(Settings):
    """The Certificate Transparency log that certificates go to before they go out."""

    log: str
    """The log's submission prefix, without `/ct/v1/…`, or `none` in so many words."""
    log_key: Path | None = None
    """PEM. Required with a log: an SCT that nobody verified is no promise."""
    log_tls_ca: Path | None = None
    """PEM; trusted beside the system's roots for the connection to the log."""

    @field_validator("log")
    @classmethod
    def _is_url(cls, value: str) -> str:
        if value != SWITCHED_OFF and not value.startswith(("https://", "http://")):
            raise ValueError(f"write the log's https:// URL, or {SWITCHED_OFF} to issue without a log")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _has_key(self) -> Self:
        if self.log != SWITCHED_OFF and self.log_key is None:
            raise ValueError("log-key is missing: SCTs are verified with the log's public key before they are believed")
        return self
