"""`ct:` in the server's configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import field_validator, model_validator

from ca.documents import Settings

EMBEDDED = "embedded"
SWITCHED_OFF = "none"


class CTSettings(Settings):
    """The Certificate Transparency log that certificates go to before they go out."""

    log: str = EMBEDDED
    """`embedded`: the log in the directory `data`; a log's submission prefix, without `/ct/v1/…`; or, in so many words,
    `none`."""
    log_seen: Path | None = None
    """Where the embedded log's last checkpoints are kept against a restored old file, best on another volume."""
    log_key: Path | None = None
    """PEM. Required with a log elsewhere: an SCT that nobody verified is no promise."""
    log_tls_ca: Path | None = None
    """PEM; trusted beside the system's roots for the connection to the log."""

    @field_validator("log")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value not in {EMBEDDED, SWITCHED_OFF} and not value.startswith(("https://", "http://")):
            raise ValueError(f"write {EMBEDDED}, the log's https:// URL, or {SWITCHED_OFF} to issue without a log")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.log == EMBEDDED and (self.log_key or self.log_tls_ca):
            raise ValueError("log-key and log-tls-ca belong to a log elsewhere: write its URL, or leave them out")
        if self.log not in {EMBEDDED, SWITCHED_OFF} and self.log_key is None:
            raise ValueError("log-key is missing: SCTs are verified with the log's public key before they are believed")
        return self
