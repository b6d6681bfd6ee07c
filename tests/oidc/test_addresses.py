from __future__ import annotations

from ipaddress import ip_address

import pytest

from ca.oidc.addresses import Scope, literal

PUBLIC = [
    "1.1.1.1",
    "93.184.216.34",
    "172.32.0.1",
    "100.128.0.1",
    "2606:4700::1111",
    "2a00:1450:4001::1",
    "64:ff9b::101:101",
]
"""NAT64 of 1.1.1.1 among them."""
LOOPBACK = ["127.0.0.1", "127.255.255.254", "::1"]
OWN = ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "fd00::1", "fc00::1", "64:ff9b::a00:1"]
NOBODYS = [
    "0.0.0.0",
    "0.1.2.3",
    "169.254.169.254",
    "192.0.0.170",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:1.1.1.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::e000:1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "3fff::1",
    "5f00::1",
    "fe80::1",
    "fe80::1%lo",
    "fec0::1",
    "fd00:ec2::254%eth0",
    "ff02::1",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_the_internet_is_permitted_but_for_issuers_of_this_machine(address):
    assert [scope for scope in Scope if scope.permits(ip_address(address))] == [Scope.PUBLIC, Scope.PRIVATE]


@pytest.mark.parametrize("address", LOOPBACK)
def test_this_machine_is_for_issuers_that_name_it_and_for_private_ones(address):
    assert [scope for scope in Scope if scope.permits(ip_address(address))] == [Scope.LOOPBACK, Scope.PRIVATE]


@pytest.mark.parametrize("address", OWN)
def test_networks_of_ones_own_are_for_private_issuers(address):
    assert [scope for scope in Scope if scope.permits(ip_address(address))] == [Scope.PRIVATE]


@pytest.mark.parametrize("address", NOBODYS[:-2])
def test_what_no_issuer_has_is_permitted_to_none(address):
    assert not [scope for scope in Scope if scope.permits(ip_address(address))]


@pytest.mark.parametrize(
    "host", ["127.1", "0x7f000001", "2130706433", "017700000001", "localhost", "", "1.1.1.1.", "a"]
)
def test_what_only_a_resolver_takes_for_an_address_is_a_name(host):
    assert literal(host) is None
