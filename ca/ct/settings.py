"""`ct:` in the server's configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AwareDatetime, BeforeValidator, Field, field_validator, model_validator

from ca.documents import Settings

EMBEDDED = "embedded"
SWITCHED_OFF = "none"
_URL = ("https://", "http://")


def _without_login(url: str) -> str:
    """Records, metrics and readiness name a log by its URL. Raises ValueError."""
    if "@" in url:
        raise ValueError("a log's URL has no user and no password in it: records would show them, and no log asks")
    return url.rstrip("/")


class LogElsewhere(Settings):
    """A log that speaks RFC 6962 over HTTP, and what has to be known of it."""

    log: str
    """Its submission prefix, without `/ct/v1/…`."""
    log_key: Path
    """PEM. An SCT that nobody verified is no promise."""
    log_tls_ca: Path | None = None
    """PEM; trusted beside the system's roots for the connection to the log."""
    log_not_after_start: AwareDatetime | None = None
    """The log takes certificates that end then or later, and …"""
    log_not_after_limit: AwareDatetime | None = None
    """… before this: the bounds of a shard, by its own names."""

    @field_validator("log")
    @classmethod
    def _is_url(cls, value: str) -> str:
        if not value.startswith(_URL):
            raise ValueError("write the log's https:// URL; only logs elsewhere have fallbacks or are some")
        return _without_login(value)

    @model_validator(mode="after")
    def _term_is_in_order(self) -> Self:
        start, limit = self.log_not_after_start, self.log_not_after_limit
        if start and limit and start >= limit:
            raise ValueError("log-not-after-limit is not after log-not-after-start, so the log would take nothing")
        return self


def _stand_in_the_file(value: Any) -> Any:
    if isinstance(value, str):
        raise ValueError("is a list of logs, which only the configuration file can hold")  # noqa: TRY004 - pydantic's
    return value


class CTSettings(Settings):
    """The Certificate Transparency log that certificates go to before they go out."""

    log: str = EMBEDDED
    """`embedded`: the log in the directory `data`; a log's submission prefix, without `/ct/v1/…`; or, in so many words,
    `none`."""
    log_seen: Path | None = None
    """Where the embedded log's last checkpoints are kept against a restored old file, best on another volume."""
    log_key: Path | None = None
    """As those of `LogElsewhere`; log-key is required with a log elsewhere."""
    log_tls_ca: Path | None = None
    log_not_after_start: AwareDatetime | None = None
    log_not_after_limit: AwareDatetime | None = None
    fallbacks: Annotated[tuple[LogElsewhere, ...], BeforeValidator(_stand_in_the_file)] = Field(
        default=(), max_length=4
    )
    """Logs that are asked in this order where `log`, one elsewhere, does not answer."""
    fallback_after: float = Field(default=1.5, ge=0.05, le=5)
    """Seconds that a log may take before the next one is asked as well."""

    @property
    def elsewhere(self) -> tuple[LogElsewhere, ...]:
        """The logs elsewhere, in the order of preference."""
        if self.log in {EMBEDDED, SWITCHED_OFF}:
            return ()
        assert self.log_key is not None
        first = LogElsewhere.model_validate(
            {
                "log": self.log,
                "log-key": self.log_key,
                "log-tls-ca": self.log_tls_ca,
                "log-not-after-start": self.log_not_after_start,
                "log-not-after-limit": self.log_not_after_limit,
            }
        )
        return first, *self.fallbacks

    @field_validator("log")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value not in {EMBEDDED, SWITCHED_OFF} and not value.startswith(_URL):
            raise ValueError(f"write {EMBEDDED}, the log's https:// URL, or {SWITCHED_OFF} to issue without a log")
        return _without_login(value)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.log == EMBEDDED and (self.log_key or self.log_tls_ca):
            raise ValueError("log-key and log-tls-ca belong to a log elsewhere: write its URL, or leave them out")
        if self.log in {EMBEDDED, SWITCHED_OFF}:
            if self.fallbacks:
                raise ValueError(
                    f"fallbacks belong to a log elsewhere, and log is {self.log}: write its URL, or leave them out"
                )
            if self.log_not_after_start or self.log_not_after_limit:
                raise ValueError("log-not-after-start and -limit belong to a log elsewhere")
            return self
        if self.log_key is None:
            raise ValueError("log-key is missing: SCTs are verified with the log's public key before they are believed")
        urls = [log.log for log in self.elsewhere]
        if len(set(urls)) < len(urls):
            raise ValueError("a log is named twice; one that does not answer is no fallback for itself")
        return self
