"""`http:` in the server's configuration."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from ca.documents import Settings

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Seconds = Annotated[float, Field(gt=0, le=600)]


class HTTPSettings(Settings):
    """How long, how large and how many; who is believed about clients' addresses; TLS."""

    body_limit: int = Field(default=64 * 1024, ge=16 * 1024, le=4 * 1024 * 1024)
    """Bytes. The floor leaves room for the largest token with a CSR; the ceiling is Fulcio's own limit."""
    header_limit: int = Field(default=32 * 1024, ge=20 * 1024, le=1024 * 1024)
    """Bytes of names and values together. The floor leaves room for the largest token; the ceiling is Go's default."""
    header_count: int = Field(default=100, ge=20, le=1000)
    max_connections: int = Field(default=2048, ge=1, le=100_000)
    """At once, in each worker."""
    first_byte_timeout: Seconds = 10
    """From the connection, or the end of its TLS handshake, to the first byte."""
    header_timeout: Seconds = 10
    """From the connection, or a later request's first byte, to the end of the headers; also of a TLS handshake."""
    body_timeout: Seconds = 10
    """From the end of the headers to the end of the body."""
    idle_timeout: Seconds = 10
    """From an answer to the next request's first byte."""
    answer_timeout: Seconds = 10
    """Without one byte of an answer being taken."""
    total_timeout: Seconds = 60
    """From a request's first byte to its answer's last."""
    drain_delay: float = Field(default=0, ge=0, le=300)
    """Seconds between the signal to stop, when readiness goes, and its obedience."""
    cors_origins: tuple[str, ...] = ("*",)
    """Web pages that may ask for certificates; `*` for any, as Fulcio has it. There are no cookies to protect."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks whose X-Forwarded-For is believed."""
    log_client: Literal["address", "network", "none"] = "address"
    """What of a client's address the records have; a network is an IPv4 /24 or an IPv6 /48."""
    tls_certificate: Path | None = None
    """PEM: the server's certificate first, intermediates after it."""
    tls_key: Path | None = None
    """PEM, not encrypted."""

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        for proxy in proxies:
            try:
                ipaddress.ip_network(proxy)
            except ValueError as problem:
                raise ValueError(f"{problem}; write a network such as 10.0.0.0/8, or one address") from None
        return proxies

    @model_validator(mode="after")
    def _have_both_or_neither(self) -> HTTPSettings:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("`tls-certificate` and `tls-key` go together: set both, or neither for plain HTTP")
        return self

    @property
    def proxies(self) -> tuple[Network, ...]:
        return tuple(map(ipaddress.ip_network, self.trusted_proxies))
