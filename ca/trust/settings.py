"""`trust:` in the server's configuration: what clients are told besides the CA and its CT log."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, AwareDatetime, Field, model_validator

from ca.documents import Settings

EARLIEST = datetime(2020, 1, 1, tzinfo=UTC)
"""Where a period begins that the operator does not give: before anything was signed."""


def _origin_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"https", "http"} or not parts.hostname or parts.query or parts.fragment or "@" in value:
        raise ValueError("write the URL as clients reach it, such as https://ca.example.com")
    return value.rstrip("/")


def _bare_url(value: str) -> str:
    url = _origin_url(value)
    if urlsplit(url).path:
        # sigstore-python joins absolute paths to it, which drops a prefix; gRPC knows none.
        raise ValueError("write it without a path: clients would drop it")
    return url


URL = Annotated[str, AfterValidator(_origin_url)]


class Window(Settings):
    """When something was or is in use: RFC 3339 with a zone, such as 2026-01-01T00:00:00Z."""

    start: AwareDatetime = EARLIEST
    end: AwareDatetime | None = None

    @model_validator(mode="after")
    def _is_in_order(self) -> Self:
        if self.end and self.end <= self.start:
            raise ValueError("it ends before it starts")
        return self


class CertificateAuthority(Window):
    """Another CA whose certificates are to verify: one that was used before, such as a Fulcio."""

    url: URL
    chain: Path
    """PEM: the issuing certificate first, the root last."""


class CTLog(Window):
    """Another CT log whose SCTs are to verify, such as one that was used before."""

    url: URL
    public_key: Path
    """PEM."""


class OIDCService(Window):
    """Where people log in."""

    url: URL


class RekorLog(Window):
    """A log of signatures that the operator runs."""

    url: URL
    public_key: Path
    """PEM."""
    version: Literal[1, 2] = 2
    """The log's major API version: 2 for rekor-tiles."""
    origin: str | None = None
    """The first line of its checkpoints, if that is not the URL's host."""


class TimestampAuthority(Window):
    """An RFC 3161 timestamp authority that the operator runs."""

    url: URL
    """With its path, such as https://tsa.example.com/api/v1/timestamp."""
    chain: Path
    """PEM: its own certificate first, the root last."""


class TrustSettings(Settings):
    """What the trusted root and the signing configuration say."""

    url: Annotated[str, AfterValidator(_bare_url)] | None = None
    """The CA as clients reach it. Without it there is no signing configuration."""
    operator: str | None = Field(default=None, min_length=1, max_length=200)
    """Who runs the instance; by default the host of `url`."""
    certificate_authorities: tuple[CertificateAuthority, ...] = ()
    ct_logs: tuple[CTLog, ...] = ()
    oidc: tuple[OIDCService, ...] = ()
    rekor: tuple[RekorLog, ...] = ()
    timestamp_authorities: tuple[TimestampAuthority, ...] = ()
