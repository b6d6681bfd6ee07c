"""Which addresses an issuer may be reached at: server-side request forgery ends here."""

from __future__ import annotations

from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

IPAddress = IPv4Address | IPv6Address

# IANA's special-purpose registries (RFC 6890): what is not the public internet, or hides another address inside.
# Written out, because what ipaddress calls global differs between versions of Python.
_SPECIAL_IPV4: Final = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",  # carriers' NAT, RFC 6598
            "127.0.0.0/8",
            "169.254.0.0/16",  # link-local, with the metadata services of clouds
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",  # 6to4 relays
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/3",  # multicast, reserved, broadcast
        ),
    )
)
_GLOBAL_IPV6: Final = IPv6Network("2000::/3")
_SPECIAL_IPV6: Final = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # Teredo among them, which holds an IPv4 address
            "2001:db8::/32",
            "2002::/16",  # 6to4, which holds an IPv4 address
            "3fff::/20",
        ),
    )
)
_PRIVATE: Final = tuple(
    ip_network(network) for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
)
_NAT64: Final = IPv6Network("64:ff9b::/96")


class Scope(Enum):
    """How far the addresses of an issuer may reach."""

    PUBLIC = "public"
    """The internet alone."""
    LOOPBACK = "loopback"
    """This machine alone: for issuers whose configured URL names it."""
    PRIVATE = "private"
    """The operator's own networks, this machine and the internet; link-local addresses never."""

    def permits(self, address: IPAddress) -> bool:
        """Whether a connection may go there.

        Of IPv4 inside of IPv6, NAT64 alone counts, as what the IPv4 address itself is: a machine without IPv4 reaches
        issuers that have nothing else in this way.
        """
        if isinstance(address, IPv6Address) and address in _NAT64 and self is not Scope.LOOPBACK:
            return self.permits(IPv4Address(address.packed[-4:]))  # RFC 6052 §2.2
        loopback = address == _LOOPBACK_IPV6 or (isinstance(address, IPv4Address) and address.is_loopback)
        match self:
            case Scope.PUBLIC:
                return _is_public(address)
            case Scope.LOOPBACK:
                return loopback
            case Scope.PRIVATE:
                return loopback or _is_public(address) or any(address in network for network in _PRIVATE)


_LOOPBACK_IPV6: Final = IPv6Address("::1")


def literal(host: str) -> IPAddress | None:
    """The address that a URL's host is, in brackets or not; None for a name."""
    try:
        return ip_address(host.strip("[]"))
    except ValueError:
        return None


def _is_public(address: IPAddress) -> bool:
    match address:
        case IPv4Address():
            return not any(address in network for network in _SPECIAL_IPV4)
        case IPv6Address():
            return address in _GLOBAL_IPV6 and not any(address in network for network in _SPECIAL_IPV6)
