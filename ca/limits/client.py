"""Client addresses, as limits count them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

Network = IPv4Network | IPv6Network
_SITE_PREFIX: Final = 64


def client_network(address: str) -> Network | None:
    """Who counts as one client: an IPv4 address, or the /64 from which one machine takes any address it likes.

    None where it is no address, as at a Unix socket. An IPv4 client of a socket for both families comes as
    ::ffff:192.0.2.1 and is the client that it is (RFC 4291 §2.5.5.2).
    """
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is None:
            return IPv6Network((int(parsed), _SITE_PREFIX), strict=False)
        parsed = parsed.ipv4_mapped
    assert isinstance(parsed, IPv4Address)
    return IPv4Network(parsed)


def within(client: Network, network: Network) -> bool:
    """Whether a client is of a network of the configuration; part of its /64 is enough."""
    return client.version == network.version and client.overlaps(network)
