"""Whose word about a client's address counts."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from ca.http.forwarded import client_address, network_of
from ca.http.settings import HTTPSettings

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))


@pytest.mark.parametrize(
    ("peer", "lines", "client"),
    [
        ("10.0.0.1", [b"192.0.2.7"], "192.0.2.7"),
        ("10.0.0.1", [b"192.0.2.7, 10.0.0.2"], "192.0.2.7"),
        ("10.0.0.1", [b"192.0.2.7", b"10.0.0.2"], "192.0.2.7"),
        ("10.0.0.1", [b"203.0.113.9, 192.0.2.7"], "192.0.2.7"),
        ("10.0.0.1", [b"10.0.0.9, 192.0.2.7, 10.0.0.2"], "192.0.2.7"),
        ("10.0.0.1", [b"192.0.2.7:4711"], "192.0.2.7"),
        ("10.0.0.1", [b"[2001:DB9::1]:4711"], "2001:db9::1"),
        ("::ffff:10.0.0.1", [b"192.0.2.7"], "192.0.2.7"),
        ("2001:db8::1", [b"192.0.2.7"], "192.0.2.7"),
        ("10.0.0.1", [b"10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [b""], "10.0.0.1"),
        ("10.0.0.1", [b"unknown"], "10.0.0.1"),
        ("10.0.0.1", [b"192.0.2.7, garbage"], "10.0.0.1"),
        ("10.0.0.1", [b"192.0.2.7, \xff, 10.0.0.2"], "10.0.0.2"),
        ("192.0.2.1", [b"203.0.113.9"], "192.0.2.1"),
        ("192.0.2.1", [b"203.0.113.9, 10.0.0.1"], "192.0.2.1"),
        ("not an address", [b"203.0.113.9"], "not an address"),
    ],
)
def test_the_client_is_the_nearest_address_that_no_trusted_proxy_has(
    peer: str, lines: list[bytes], client: str
) -> None:
    assert client_address(peer, lines, TRUSTED) == client


def test_networks_in_records_name_nobody() -> None:
    assert network_of("192.0.2.7") == network_of("::ffff:192.0.2.7") == "192.0.2.0/24"
    assert network_of("2001:db8:1:2::3") == "2001:db8:1::/48"
    assert network_of("a socket") == ""


@pytest.mark.parametrize("proxy", ["10.0.0.1/8", "proxy.example.com", "*", "", "10.0.0.0/33"])
def test_what_is_no_network_is_refused(proxy: str) -> None:
    with pytest.raises(ValueError, match="trusted-proxies"):
        HTTPSettings.model_validate({"trusted-proxies": [proxy]})
