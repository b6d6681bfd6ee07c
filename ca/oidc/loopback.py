"""Which URLs name this machine, and so may be spoken to without TLS."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit


def is_loopback(url: str) -> bool:
    """Whether the URL itself names a loopback host: localhost, 127.0.0.0/8 or ::1. Nothing is resolved."""
    try:
        host = urlsplit(url).hostname
        return host == "localhost" or (host is not None and ip_address(host).is_loopback)
    except ValueError:
        return False
