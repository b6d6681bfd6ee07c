"""Which addresses are one client."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from ca.limits.client import client_network, within


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.1", "192.0.2.1/32"),
        ("::ffff:192.0.2.1", "192.0.2.1/32"),
        ("::FFFF:c000:201", "192.0.2.1/32"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
    ],
)
def test_a_client_is_an_ipv4_address_or_an_ipv6_64(address: str, client: str) -> None:
    assert client_network(address) == ip_network(client)


@pytest.mark.parametrize(
    "address", ["", "unix", "192.0.2.1:443", "192.0.2", "192.0.2.1, 192.0.2.2", "[::1]", "1::2::3"]
)
def test_what_is_no_address_is_no_client(address: str) -> None:
    assert client_network(address) is None


@pytest.mark.parametrize(
    ("address", "network", "is_within"),
    [
        ("192.0.2.7", "192.0.2.0/24", True),
        ("::ffff:192.0.2.7", "192.0.2.0/24", True),
        ("192.0.3.7", "192.0.2.0/24", False),
        ("2001:db8::1", "2001:db8::/32", True),
        ("2001:db8::1", "2001:db8::1/128", True),
        ("2001:db9::1", "2001:db8::/32", False),
        ("192.0.2.7", "::/0", False),
        ("2001:db8::1", "0.0.0.0/0", False),
    ],
)
def test_networks_hold_clients_of_their_own_kind(address: str, network: str, is_within: bool) -> None:
    client = client_network(address)
    assert client
    assert within(client, ip_network(network)) is is_within
