"""Whom a request comes from, where a proxy stands in front."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import ASGIApp, Receive, Scope, Send

    from ca.http.settings import Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Forwarded:
    """Sets `scope["client"]` to the address that trusted proxies saw; what anybody else claims is ignored."""

    def __init__(self, app: ASGIApp, trusted: Sequence[Network]) -> None:
        self._app = app
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["client"]:
            lines = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
            host, port = scope["client"]
            client = client_address(host, lines, self._trusted)
            scope["client"] = (client, port if client == host else 0)
        await self._app(scope, receive, send)


def client_address(peer: str, unverified_lines: Sequence[bytes], trusted: Sequence[Network]) -> str:
    """The nearest address that no trusted proxy has, reading X-Forwarded-For from the right.

    Each proxy appends the address it saw, so an entry counts only if whoever wrote it is trusted. An entry that is
    no address ends the walk at the proxy that passed it on.
    """
    nearest = peer
    entries = b",".join(unverified_lines).decode("latin-1").split(",")
    while (address := parse_address(nearest)) and any(address in network for network in trusted) and entries:
        further = parse_address(_without_port(entries.pop().strip()))
        if further is None:
            break
        nearest = str(further)
    return nearest


def network_of(host: str) -> str:
    """The network of an address, too large to name a person: an IPv4 /24 or an IPv6 /48."""
    address = parse_address(host)
    if address is None:
        return ""
    return str(ipaddress.ip_network((address, 24 if address.version == 4 else 48), strict=False))


def parse_address(text: str) -> Address | None:
    """An IPv4 address that a dual-stack socket wrote as IPv6 is the IPv4 address (RFC 4291 §2.5.5.2)."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _without_port(entry: str) -> str:
    """Some proxies write `192.0.2.1:4711` and `[2001:db8::1]:4711`."""
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry
