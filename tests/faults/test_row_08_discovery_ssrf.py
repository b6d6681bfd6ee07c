"""Row 8: discovery must not lead us anywhere but to the issuer.

Expected: redirects to another origin, keys on a host that is not the issuer's or listed, plain http and addresses that
are not of the issuer's network cause no connection there; a name is resolved once a connection and the checked address
is dialled, with the name in SNI and Host; proxies of the environment are not asked. The token gets
ISSUER_UNAVAILABLE, and the attempt counts as forbidden. A redirect within the origin is followed, at most three times.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry

from ca.errors import IssuerUnavailable
from ca.oidc.registry import IssuerRegistry
from ca.oidc.verifier import TokenVerifier
from ca.telemetry import Metrics
from tests.oidc import provider as misbehaving
from tests.oidc.internet import LocalInternet
from tests.oidc.pki import self_signed
from tests.oidc.provider import NOW, Provider
from tests.oidc.trusting import trusted

pytestmark = pytest.mark.anyio

PUBLIC = "93.184.216.34"


@asynccontextmanager
async def tokens_of(internet, *issuers):
    metrics = Metrics(CollectorRegistry())
    tokens = TokenVerifier(IssuerRegistry(issuers), metrics, internet)
    tokens.outcomes = lambda: {
        tuple(sample.labels.values()): sample.value
        for sample in next(iter(metrics.oidc_fetches.collect())).samples
        if sample.name.endswith("_total")
    }
    try:
        yield tokens
    finally:
        await tokens.aclose()


@pytest.fixture(scope="module")
def pem_and_idp(tmp_path_factory):
    """A provider that the internet knows as https://idp.example."""
    tls = self_signed(tmp_path_factory.mktemp("tls"), host="idp.example")
    with Provider(algorithm="ES256", tls=tls) as provider:
        yield tls[0].read_text(), provider


@pytest.fixture
def pem(pem_and_idp):
    return pem_and_idp[0]


@pytest.fixture
def idp(pem_and_idp):
    provider = pem_and_idp[1]
    provider.reset()
    provider.port = provider._socket.getsockname()[1]
    provider.issuer = "https://idp.example"
    return provider


async def refused(tokens, token) -> str:
    with pytest.raises(IssuerUnavailable) as unavailable:
        await tokens.verify(token, NOW)
    assert unavailable.value.retry_after >= 1
    return unavailable.value.detail


async def test_the_checked_address_is_dialled_and_the_name_stays_in_tls_and_host(idp, pem):
    internet = LocalInternet({"idp.example": [[PUBLIC]]}, {PUBLIC: idp.port})
    async with tokens_of(internet, trusted(idp.issuer, ca_cert=pem)) as tokens:
        assert await tokens.verify(idp.token(), NOW)
        assert internet.dialled == [PUBLIC]
        assert internet.resolved == ["idp.example"]
        assert tokens.outcomes() == {(idp.issuer, "ok"): 1}


@pytest.mark.parametrize(
    "answer",
    [
        "127.0.0.1",
        "10.1.2.3",
        "169.254.169.254",
        "::1",
        "fd00::1",
        "fe80::1",
        "::ffff:7f00:1",
        "64:ff9b::7f00:1",
        "0.0.0.0",
    ],
)
async def test_a_name_that_resolves_inside_is_not_dialled(idp, pem, answer):
    internet = LocalInternet({"idp.example": [[answer]]}, {answer: idp.port})
    async with tokens_of(internet, trusted(idp.issuer, ca_cert=pem)) as tokens:
        assert "network: private" in await refused(tokens, idp.token())
        assert answer not in await refused(tokens, idp.token()), "it would map our networks"
        assert internet.dialled == []
        assert not idp.fetches
        assert tokens.outcomes() == {(idp.issuer, "forbidden"): 1}


async def test_of_several_addresses_only_permitted_ones_are_dialled_in_turn(idp, pem):
    internet = LocalInternet({"idp.example": [["127.0.0.1", "1.1.1.1", "10.0.0.1", PUBLIC]]}, {PUBLIC: idp.port})
    async with tokens_of(internet, trusted(idp.issuer, ca_cert=pem)) as tokens:
        assert await tokens.verify(idp.token(), NOW)
    assert internet.dialled == ["1.1.1.1", PUBLIC]


async def test_dns_rebinding_reaches_nothing(idp, pem):
    """First public, then loopback: each connection goes to the address that its own answer was checked for."""
    idp.headers = {"Connection": "close"}
    internet = LocalInternet({"idp.example": [[PUBLIC], ["127.0.0.1"]]}, {PUBLIC: idp.port, "127.0.0.1": idp.port})
    async with tokens_of(internet, trusted(idp.issuer, ca_cert=pem)) as tokens:
        assert "its key set: the host's address is not one of the internet" in await refused(tokens, idp.token())
    assert internet.dialled == [PUBLIC]
    assert idp.fetches == {"discovery": 1}


async def test_a_private_issuer_is_reached_in_private_networks_but_at_no_metadata_service(idp, pem):
    for address, reached in (("10.1.2.3", True), ("fd00::5", True), ("169.254.169.254", False), ("fe80::1", False)):
        internet = LocalInternet({"idp.example": [[address]]}, {address: idp.port})
        async with tokens_of(internet, trusted(idp.issuer, ca_cert=pem, network="private")) as tokens:
            if reached:
                assert await tokens.verify(idp.token(), NOW)
            else:
                assert "link-local" in await refused(tokens, idp.token())
        assert internet.dialled == ([address] if reached else [])


async def test_localhost_that_resolves_elsewhere_is_not_dialled(provider):
    internet = LocalInternet({"localhost": [["10.0.0.1"]]})
    async with tokens_of(internet, trusted(provider.issuer)) as tokens:
        assert "not this machine's" in await refused(tokens, provider.token())
    assert internet.dialled == []


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest/meta-data/",
        "https://169.254.169.254/",
        "https://evil.example/",
        "//evil.example/x",
        "https://idp.example:8443/",
        "http://idp.example/",
        "https://user@idp.example/",
        "https://idp.example\\@evil.example/",
        "https://idp.example./",
        "file:///etc/passwd",
        "gopher://evil.example/",
    ],
)
@pytest.mark.parametrize("document", ["discovery", "jwks"])
async def test_a_redirect_to_another_origin_connects_to_nothing(idp, pem, document, target):
    idp.misbehave(document, misbehaving.redirect(target))
    everywhere = {PUBLIC: idp.port, "169.254.169.254": idp.port, "1.1.1.1": idp.port}
    internet = LocalInternet({"idp.example": [[PUBLIC]], "evil.example": [["1.1.1.1"]]}, everywhere)
    async with tokens_of(internet, trusted(idp.issuer, ca_cert=pem)) as tokens:
        assert "redirect to another host" in await refused(tokens, idp.token())
        assert tokens.outcomes() == {(idp.issuer, "forbidden"): 1}
    assert set(internet.dialled) == {PUBLIC}
    assert internet.resolved == ["idp.example"]


async def test_a_redirect_within_the_origin_is_followed_and_no_more_than_three(idp, pem):
    internet = LocalInternet({"idp.example": [[PUBLIC]]}, {PUBLIC: idp.port})
    idp.misbehave("discovery", misbehaving.redirect("/moved/discovery"))
    async with tokens_of(internet, trusted(idp.issuer, ca_cert=pem)) as tokens:
        assert await tokens.verify(idp.token(), NOW)
    idp.fetches.clear()
    idp.misbehave("discovery", misbehaving.redirect("/.well-known/openid-configuration"))
    async with tokens_of(internet, trusted(idp.issuer, ca_cert=pem)) as tokens:
        assert "more than 3 redirects" in await refused(tokens, idp.token())
    assert idp.fetches == {"discovery": 4}


ELSEWHERE = [
    "http://idp.example/jwks",
    "http://127.0.0.1/jwks",
    "file:///etc/passwd",
    "ftp://idp.example/jwks",
    "https://user:pass@idp.example/jwks",
    "https://idp.example\\@evil.example/jwks",
    "https://idp.example/a b",
    "https://idp.example/\r\nX: y",
    "https:///jwks",
    "https://idp.example:99999/jwks",
    "https://\u0131dp.example/jwks",
    "//evil.example/jwks",
    "data:,{}",
]


@pytest.mark.parametrize("uri", ELSEWHERE)
async def test_a_jwks_uri_that_is_not_plain_https_connects_to_nothing(idp, pem, uri):
    idp.metadata = {"jwks_uri": uri}
    internet = LocalInternet({"idp.example": [[PUBLIC]], "evil.example": [["1.1.1.1"]]}, {PUBLIC: idp.port})
    async with tokens_of(internet, trusted(idp.issuer, ca_cert=pem)) as tokens:
        assert "is not an https URL" in await refused(tokens, idp.token())
    assert internet.resolved == ["idp.example"]
    assert idp.fetches == {"discovery": 1}


@pytest.mark.parametrize(
    ("url", "keys", "reached"),
    [
        ("https://idp.example", {}, True),
        ("https://idp.example", {"jwks_hosts": ["other.example"]}, False),
        ("https://idp.example", {"jwks_hosts": ["keys.example"]}, True),
        ("https://idp.example", {"network": "private"}, False),
        ("https://idp.example", {"network": "private", "jwks_hosts": ["keys.example"]}, True),
        ("https://*.example", {}, False),
        ("https://*.example", {"jwks_hosts": ["keys.example"]}, True),
    ],
)
async def test_keys_on_another_host_are_for_fixed_public_issuers_and_listed_hosts(
    idp, pem, tmp_path, url, keys, reached
):
    """Google's keys are on another host; whoever names an issuer of a pattern must not name other hosts with it."""
    tls = self_signed(tmp_path, host="keys.example")
    with Provider(algorithm="ES256", tls=tls) as other:
        other.keys = idp.keys
        idp.metadata = {"jwks_uri": "https://keys.example/jwks"}
        ports = {PUBLIC: idp.port, "1.1.1.1": other._socket.getsockname()[1]}
        internet = LocalInternet({"idp.example": [[PUBLIC]], "keys.example": [["1.1.1.1"]]}, ports)
        entry = trusted(url, wildcard="*" in url, ca_cert=pem + tls[0].read_text(), **keys)
        async with tokens_of(internet, entry) as tokens:
            if reached:
                assert await tokens.verify(idp.token(), NOW)
            else:
                assert "jwks-hosts" in await refused(tokens, idp.token())
        assert other.fetches == ({"jwks": 1} if reached else {})
        assert ("keys.example" in internet.resolved) is reached


async def test_keys_of_a_public_issuer_are_not_fetched_inside(idp, pem):
    idp.metadata = {"jwks_uri": "https://keys.example/jwks"}
    internet = LocalInternet({"idp.example": [[PUBLIC]], "keys.example": [["10.0.0.1"]]}, {PUBLIC: idp.port})
    async with tokens_of(internet, trusted(idp.issuer, ca_cert=pem)) as tokens:
        assert "not one of the internet" in await refused(tokens, idp.token())
    assert internet.dialled == [PUBLIC]


@pytest.mark.parametrize("host", ["127.1", "0x7f000001", "2130706433", "localhost"])
async def test_numbers_that_a_resolver_reads_as_loopback_are_not_dialled(idp, pem, host):
    """The system's resolver takes these for 127.0.0.1, so the real one is asked."""
    idp.metadata = {"jwks_uri": f"https://{host}:{idp.port}/jwks"}
    internet = LocalInternet({"idp.example": [[PUBLIC]], host: [["127.0.0.1"]]}, {PUBLIC: idp.port})
    async with tokens_of(internet, trusted(idp.issuer, ca_cert=pem)) as tokens:
        assert "not one of the internet" in await refused(tokens, idp.token())
    async with tokens_of(None, trusted(f"https://{host}:*", wildcard=True)) as tokens:
        if host != "localhost":
            assert await refused(tokens, idp.token(iss=f"https://{host}:{idp.port}"))
    assert idp.fetches == {"discovery": 1}


async def test_proxies_of_the_environment_are_not_asked(provider, monkeypatch):
    asked = asyncio.Event()

    async def answer(reader, writer):
        asked.set()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    proxy = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy)
    async with tokens_of(None, trusted(provider.issuer)) as tokens:
        assert await tokens.verify(provider.token(), NOW)
    server.close()
    assert not asked.is_set()


async def test_a_configured_proxy_is_asked_for_the_name_with_its_password(idp, pem):
    """The proxy resolves the name; TLS is with the issuer, through it."""
    heads = []
    closed = asyncio.Event()

    async def tunnel(reader, writer):
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        there = await asyncio.open_connection("127.0.0.1", idp.port)
        await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))
        closed.set()

    server = await asyncio.start_server(tunnel, "127.0.0.1", 0)
    proxy = f"http://user:secret@127.0.0.1:{server.sockets[0].getsockname()[1]}"
    internet = LocalInternet({})
    async with tokens_of(internet, trusted(idp.issuer, ca_cert=pem, proxy=proxy)) as tokens:
        assert await tokens.verify(idp.token(), NOW)
    await closed.wait()
    server.close()
    assert heads[0].startswith("CONNECT idp.example:443 HTTP/1.1\r\n")
    assert "proxy-authorization: basic dxnlcjpzzwnyzxq=" in heads[0].lower()
    assert internet.resolved == internet.dialled == []


async def test_an_address_is_refused_before_a_proxy_is_asked_for_it(idp, pem):
    entry = trusted("https://idp.example", ca_cert=pem, proxy="http://127.0.0.1:1")
    async with tokens_of(None, entry) as tokens:
        assert "the connection failed" in await refused(tokens, idp.token()), "the proxy was tried"
    async with tokens_of(None, trusted("https://169.254.169.254", proxy="http://127.0.0.1:1")) as tokens:
        assert "not one of the internet" in await refused(tokens, idp.token(iss="https://169.254.169.254"))


async def pump(reader, writer):
    try:
        while chunk := await reader.read(1 << 16):
            writer.write(chunk)
            await writer.drain()
    except ConnectionError:
        pass
    writer.close()
