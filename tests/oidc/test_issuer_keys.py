from __future__ import annotations

import asyncio
import gzip
import json
import socket
import time
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import pytest
import structlog

from ca.errors import IssuerUnavailable
from ca.oidc.dialling import SystemInternet
from ca.oidc.issuer_keys import IssuerKeyCache
from ca.oidc.registry import IssuerRegistry
from tests.oidc import provider as misbehaving
from tests.oidc.pki import self_signed
from tests.oidc.provider import NOW, Provider, make_key
from tests.oidc.trusting import metrics, trusted

pytestmark = pytest.mark.anyio


def later(**delta: float) -> datetime:
    return NOW + timedelta(**delta)


@asynccontextmanager
async def cache(**bounds):
    keys = IssuerKeyCache(metrics(), **bounds)
    try:
        yield keys
    finally:
        await keys.aclose()


async def failure(keys: IssuerKeyCache, issuer: str, now: datetime = NOW) -> IssuerUnavailable:
    with pytest.raises(IssuerUnavailable) as unavailable:
        await keys.get(issuer, trusted(issuer), now)
    assert unavailable.value.metadata == {"issuer": issuer}
    assert unavailable.value.retry_after >= 1
    return unavailable.value


async def test_keys_are_fetched_once_however_many_ask(provider):
    async with cache() as keys:
        entry = trusted(provider.issuer)
        answers = await asyncio.gather(*(keys.get(provider.issuer, entry, NOW) for _ in range(50)))
        assert len({id(answer) for answer in answers}) == 1
        assert provider.fetches == {"discovery": 1, "jwks": 1}


async def test_a_client_that_goes_away_does_not_cancel_the_fetch_of_others(provider):
    async with cache() as keys:
        entry = trusted(provider.issuer)
        first = asyncio.create_task(keys.get(provider.issuer, entry, NOW))
        await asyncio.sleep(0)
        second = asyncio.create_task(keys.get(provider.issuer, entry, NOW))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).keys.named("key-1")
        assert provider.fetches["discovery"] == 1


@pytest.mark.parametrize(
    ("cache_control", "fresh"),
    [
        ("", 300),
        ("public", 300),
        ("max-age=600", 600),
        ('public, MAX-AGE="900"', 900),
        ("max-age=5", 60),
        ("max-age=0", 60),
        ("no-store", 60),
        ("no-cache, max-age=600", 60),
        ("max-age=86400", 3600),
        ("s-maxage=1000, max-age=700", 700),
        ("max-age=soon", 300),
        ("max-age=99999999999999", 3600),
    ],
)
async def test_keys_are_fresh_for_as_long_as_cache_control_says_within_bounds(provider, cache_control, fresh):
    provider.headers = {"Cache-Control": cache_control}
    async with cache() as keys:
        entry = trusted(provider.issuer)
        for seconds, fetches in ((0, 1), (fresh - 1, 1), (fresh, 2)):
            await keys.get(provider.issuer, entry, later(seconds=seconds))
            assert provider.fetches["jwks"] == fetches


async def test_a_clock_that_is_set_back_makes_keys_old(provider):
    async with cache() as keys:
        entry = trusted(provider.issuer)
        await keys.get(provider.issuer, entry, NOW)
        await keys.get(provider.issuer, entry, later(seconds=-5))
        assert provider.fetches["jwks"] == 1
        await keys.get(provider.issuer, entry, later(days=-1))
        assert provider.fetches["jwks"] == 2


async def test_newer_keys_are_fetched_at_most_once_a_minute(provider):
    async with cache() as keys:
        entry = trusted(provider.issuer)
        await keys.get(provider.issuer, entry, NOW)
        provider.rotate("next")
        assert (await keys.get_newer(provider.issuer, entry, NOW)).keys.named("next")
        provider.rotate("after")
        for seconds in (0, 1, 59.9):
            assert not (await keys.get_newer(provider.issuer, entry, later(seconds=seconds))).keys.named("after")
        assert provider.fetches["jwks"] == 2
        newer = await asyncio.gather(*(keys.get_newer(provider.issuer, entry, later(seconds=60)) for _ in range(20)))
        assert all(each.keys.named("after") for each in newer)
        assert provider.fetches["jwks"] == 3


async def test_keys_serve_for_an_hour_more_while_the_issuer_is_down(provider):
    async with cache() as keys:
        entry = trusted(provider.issuer)
        fetched = await keys.get(provider.issuer, entry, NOW)
        provider.misbehave("jwks", misbehaving.status(500))
        with structlog.testing.capture_logs() as logs:
            assert await keys.get(provider.issuer, entry, later(seconds=300)) is fetched
        assert logs[0]["event"] == "issuer unavailable"
        assert await keys.get(provider.issuer, entry, later(seconds=359)) is fetched
        assert provider.fetches["jwks"] == 2, "no attempt for every request"
        assert await keys.get(provider.issuer, entry, later(seconds=300 + 3599)) is fetched
        assert "status 500" in (await failure(keys, provider.issuer, later(seconds=300 + 3600))).detail
        provider.misbehave("jwks", None)
        assert await keys.get(provider.issuer, entry, later(seconds=300 + 3700)) is not fetched


async def test_keys_taken_back_are_taken_back_while_the_issuer_answers(provider):
    async with cache() as keys:
        entry = trusted(provider.issuer)
        await keys.get(provider.issuer, entry, NOW)
        provider.keys = []
        assert len((await keys.get(provider.issuer, entry, later(seconds=300))).keys) == 0


async def test_nobody_can_tell_whether_there_is_a_newer_key_while_the_issuer_is_down(provider):
    async with cache() as keys:
        entry = trusted(provider.issuer)
        fetched = await keys.get(provider.issuer, entry, NOW)
        provider.misbehave("jwks", misbehaving.status(503))
        for _ in range(3):
            with pytest.raises(IssuerUnavailable):
                await keys.get_newer(provider.issuer, entry, later(seconds=1))
        assert provider.fetches["jwks"] == 2
        assert await keys.get(provider.issuer, entry, later(seconds=1)) is fetched


async def test_a_dead_issuer_is_asked_less_and_less_often_and_trusted_again_at_once(provider):
    provider.misbehave("discovery", misbehaving.status(500))
    async with cache() as keys:
        asked = 0
        for pause in (5, 10, 20, 40, 60, 60, 60):
            begun = NOW + timedelta(seconds=asked)
            for seconds in (0, pause / 2, pause - 0.1):
                error = await failure(keys, provider.issuer, begun + timedelta(seconds=seconds))
                assert 1 <= error.retry_after <= pause
            assert keys.broken(begun) == {provider.issuer: 1}
            asked += pause
        assert provider.fetches["discovery"] == 7
        provider.misbehave("discovery", None)
        assert await keys.get(provider.issuer, trusted(provider.issuer), later(seconds=asked))
        assert keys.broken(later(seconds=asked)) == {provider.issuer: 0}
        provider.misbehave("discovery", misbehaving.status(500))
        with pytest.raises(IssuerUnavailable) as unavailable:
            await keys.get_newer(provider.issuer, trusted(provider.issuer), later(seconds=asked))
        assert unavailable.value.retry_after == 5, "counted from the start again"


MISBEHAVIOURS = {
    "500": (misbehaving.status(500), "status 500 instead of 200"),
    "404": (misbehaving.status(404), "status 404 instead of 200"),
    "204": (misbehaving.status(204, b""), "status 204"),
    "304": (misbehaving.status(304, b""), "status 304"),
    "redirect to another port": (misbehaving.redirect("http://localhost:1/moved/x"), "redirect to another host"),
    "redirect to another host": (misbehaving.redirect("http://127.0.0.1:{port}/moved/x"), "redirect to another host"),
    "redirect to another scheme": (misbehaving.redirect("https://localhost:{port}/moved/x"), "redirect to another host"),
    "redirect with a user": (misbehaving.redirect("http://u@localhost:{port}/moved/x"), "redirect to another host"),
    "redirect to a file": (misbehaving.redirect("file:///etc/passwd"), "redirect to another host"),
    "redirect to itself": (misbehaving.redirect(""), "more than 3 redirects"),
    "huge": (misbehaving.huge, "an answer of more than"),
    "gzip": (misbehaving.body(gzip.compress(b"{}"), content_encoding="gzip"), "compressed answer"),
    "brotli": (misbehaving.body(b"x", content_encoding="br"), "compressed answer"),
    "no JSON": (misbehaving.body(b"<html>"), "refused: not JSON"),
    "empty": (misbehaving.body(b""), "refused: not JSON"),
    "list": (misbehaving.body(b"[]"), "refused: not a JSON object"),
    "duplicates": (misbehaving.body(b'{"keys":[],"keys":[]}'), "'keys' appears twice"),
    "deep": (misbehaving.body(b'{"keys":' + b"[" * 5000 + b"]" * 5000 + b"}"), "nested deeper"),
    "NaN": (misbehaving.body(b'{"keys":NaN}'), "NaN"),
    "UTF-16": (misbehaving.body('{"keys":[]}'.encode("utf-16")), "not UTF-8"),
}  # fmt: skip


@pytest.mark.parametrize(("how", "why"), MISBEHAVIOURS.values(), ids=MISBEHAVIOURS)
@pytest.mark.parametrize(("document", "name"), [("discovery", "discovery document"), ("jwks", "key set")])
async def test_a_misbehaving_issuer_is_unavailable_for_a_reason(provider, document, name, how, why):
    provider.misbehave(document, how)
    async with cache() as keys:
        error = await failure(keys, provider.issuer)
        assert f"its {name}: " in error.detail
        assert why in error.detail
        assert len(error.detail) < 400


@pytest.mark.parametrize("entries", [None, {}, "x", 5])
async def test_a_key_set_without_keys_is_refused(provider, entries):
    provider.misbehave("jwks", misbehaving.body(json.dumps({"keys": entries}).encode()))
    async with cache() as keys:
        assert "not a JWK Set" in (await failure(keys, provider.issuer)).detail


async def test_redirects_on_the_same_host_are_followed(provider):
    for document in ("discovery", "jwks"):
        provider.misbehave(document, misbehaving.redirect(f"/moved/{document}"))
    async with cache() as keys:
        assert (await keys.get(provider.issuer, trusted(provider.issuer), NOW)).keys.named("key-1")


async def test_a_slow_issuer_is_given_up(provider, monkeypatch):
    monkeypatch.setattr("ca.oidc.fetch._TIMEOUT", 0.3)
    provider.misbehave("discovery", misbehaving.slow)
    async with cache() as keys:
        started = time.monotonic()
        assert "no answer within" in (await failure(keys, provider.issuer)).detail
        assert time.monotonic() - started < 3


async def test_an_answer_that_trickles_is_given_up(monkeypatch):
    monkeypatch.setattr("ca.oidc.fetch._TIMEOUT", 0.5)

    gone = asyncio.Event()

    async def trickle(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        try:
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.05)
        except ConnectionError:
            writer.close()
            gone.set()

    server = await asyncio.start_server(trickle, "127.0.0.1", 0)
    async with cache() as keys:
        issuer = f"http://localhost:{server.sockets[0].getsockname()[1]}"
        assert "no answer within" in (await failure(keys, issuer)).detail
    await gone.wait()
    server.close()


async def test_a_name_that_does_not_resolve_says_so():
    async with cache() as keys:
        assert "does not resolve" in (await failure(keys, "https://no-such-host.invalid")).detail


@pytest.mark.parametrize("host", ["xn--a", "oidc.xn--99999999.example", "xn--"])
async def test_a_name_that_is_no_idna_is_unavailable_like_any_other(host):
    """A wildcard's star takes such labels from whoever writes the token."""
    async with cache() as keys:
        error = await failure(keys, f"https://{host}")
    assert "not a URL that can be fetched" in error.detail or "does not resolve" in error.detail


async def test_a_closed_port_says_so():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with cache() as keys:
            error = await failure(keys, f"http://localhost:{unused.getsockname()[1]}")
    assert "the connection failed" in error.detail


async def test_what_is_not_http_says_so():
    async def answer(reader, writer):
        writer.write(b"SSH-2.0-OpenSSH_9.9\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with cache() as keys:
        error = await failure(keys, f"http://localhost:{server.sockets[0].getsockname()[1]}")
        assert "not HTTP" in error.detail
        error = await failure(keys, f"https://localhost:{server.sockets[0].getsockname()[1]}")
        assert "TLS handshake failed" in error.detail
    server.close()


async def test_a_private_ca_has_to_be_named(tmp_path):
    tls = self_signed(tmp_path)
    with Provider(algorithm="ES256", tls=tls) as provider:
        async with cache() as keys:
            error = await failure(keys, provider.issuer)
            assert "certificate is not trusted" in error.detail
            assert "ca-cert" in error.detail
            entry = trusted(provider.issuer, ca_cert=tls[0].read_text())
            other = self_signed(tmp_path)
            wrong = trusted(provider.issuer, ca_cert=other[0].read_text())
        async with cache() as keys:
            assert (await keys.get(provider.issuer, entry, NOW)).keys.named("key-1")
        async with cache() as keys:
            with pytest.raises(IssuerUnavailable, match="not trusted"):
                await keys.get(provider.issuer, wrong, NOW)


async def test_a_certificate_for_another_host_is_refused(tmp_path):
    tls = self_signed(tmp_path, host="other.example")
    with Provider(algorithm="ES256", tls=tls) as provider:
        async with cache() as keys:
            entry = trusted(provider.issuer, ca_cert=tls[0].read_text())
            with pytest.raises(IssuerUnavailable, match="not trusted"):
                await keys.get(provider.issuer, entry, NOW)


async def test_proxies_of_the_environment_are_not_used(provider, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with cache() as keys:
        assert await keys.get(provider.issuer, trusted(provider.issuer), NOW)


@pytest.mark.parametrize("issuer", ["https://evil.example", "", None, 5, ["x"], "{issuer}/", "{issuer}\n", "{ISSUER}"])
async def test_a_document_of_another_issuer_is_refused(provider, issuer):
    if isinstance(issuer, str):
        issuer = issuer.replace("{issuer}", provider.issuer).replace("{ISSUER}", provider.issuer.upper())
    provider.metadata = {"issuer": issuer}
    async with cache() as keys:
        assert "its issuer is " in (await failure(keys, provider.issuer)).detail
        assert provider.fetches["jwks"] == 0


async def test_an_issuer_with_a_trailing_slash_is_asked_at_the_right_place():
    with Provider("/tenant/", algorithm="ES256") as provider:
        async with cache() as keys:
            assert await keys.get(provider.issuer, trusted(provider.issuer), NOW)


@pytest.mark.parametrize(
    "uri",
    [
        None,
        5,
        "",
        "jwks",
        "http://issuer.example/jwks",
        "http://10.0.0.1/jwks",
        "ftp://localhost/",
        "https://u:p@localhost/jwks",
        "https://",
        "file:///etc/passwd",
        "https://[::1",
    ],
)
async def test_a_jwks_uri_that_is_not_https_is_refused(provider, uri):
    provider.metadata = {"jwks_uri": uri}
    async with cache() as keys:
        assert "jwks_uri" in (await failure(keys, provider.issuer)).detail


async def test_keys_may_be_published_on_another_host(provider):
    with Provider(algorithm="ES256") as other:
        other.keys = [make_key("ES256", "elsewhere")]
        provider.metadata = {"jwks_uri": f"{other.issuer}/jwks"}
        async with cache() as keys:
            assert (await keys.get(provider.issuer, trusted(provider.issuer), NOW)).keys.named("elsewhere")


@pytest.mark.parametrize(
    ("advertised", "algorithms"),
    [
        (None, {"RS256"}),
        ([], {"RS256"}),
        (["HS256", "none"], {"RS256"}),
        (["ES256", "none", "HS256", 5, None, ["x"]], {"ES256"}),
        (["RS256", "EdDSA"], {"RS256", "EdDSA"}),
    ],
)
async def test_algorithms_are_those_advertised_that_are_asymmetric(provider, advertised, algorithms):
    provider.algorithms = advertised
    async with cache() as keys:
        assert (await keys.get(provider.issuer, trusted(provider.issuer), NOW)).algorithms == algorithms


@pytest.mark.parametrize("advertised", ["RS256", {"RS256": 1}, 5, True])
async def test_advertised_algorithms_have_to_be_a_list(provider, advertised):
    provider.algorithms = advertised
    async with cache() as keys:
        assert "is not a list" in (await failure(keys, provider.issuer)).detail


async def test_ages_are_told_by_entry_and_of_a_pattern_the_oldest():
    with Provider("/a", algorithm="ES256") as first, Provider("/b", algorithm="ES256") as second:
        entry = trusted("http://localhost:*/*", wildcard=True)
        fixed = trusted(first.issuer)
        async with cache() as keys:
            assert keys.ages(NOW) == {}
            await keys.get(first.issuer, entry, NOW)
            await keys.get(second.issuer, entry, later(seconds=7))
            await keys.get(first.issuer, fixed, later(seconds=8))
            assert keys.ages(later(seconds=10)) == {entry.url: 10.0, fixed.url: 2.0}


async def test_invented_issuers_of_a_wildcard_do_not_displace_real_ones(provider):
    entry = trusted("http://localhost:*", wildcard=True)
    async with cache(most_of_a_wildcard=3) as keys:
        real = await keys.get(provider.issuer, entry, NOW)
        for minute in range(8):
            with pytest.raises(IssuerUnavailable):
                await keys.get(f"http://localhost:{minute + 1}", entry, later(seconds=61 * minute))
        assert await keys.get(provider.issuer, entry, later(seconds=1)) is real
        assert len(keys._wildcard[entry.url]) == 3


async def test_closing_ends_a_fetch(provider):
    provider.misbehave("discovery", misbehaving.slow)
    keys = IssuerKeyCache(metrics())
    waiting = asyncio.create_task(keys.get(provider.issuer, trusted(provider.issuer), NOW))
    await asyncio.sleep(0.05)
    await keys.aclose()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_keys_of_issuers_that_stay_as_they_are_survive_a_new_configuration(provider):
    async with cache() as keys:
        await keys.get(provider.issuer, trusted(provider.issuer), NOW)
        now = trusted(provider.issuer, audience="another")
        keys.keep(IssuerRegistry([now, trusted("https://new.example")]))
        await keys.get(provider.issuer, now, NOW)
        assert provider.fetches == {"discovery": 1, "jwks": 1}


@pytest.mark.parametrize(
    "left", [[], [{"enabled": False}], [{"network": "private"}]], ids=["removed", "switched off", "reached otherwise"]
)
async def test_keys_of_issuers_that_are_removed_switched_off_or_reached_otherwise_are_dropped(provider, left):
    async with cache() as keys:
        entry = trusted(provider.issuer)
        await keys.get(provider.issuer, entry, NOW)
        keys.keep(IssuerRegistry([trusted(provider.issuer, **members) for members in left]))
        assert keys.ages(NOW) == {}
        await keys.get(provider.issuer, entry, NOW)
        assert provider.fetches == {"discovery": 2, "jwks": 2}


class Recording(SystemInternet):
    """Keeps the sockets that were made."""

    def __init__(self) -> None:
        super().__init__()
        self.sockets: list[socket.socket] = []

    async def dial(self, address, port, seconds):
        stream = await super().dial(address, port, seconds)
        self.sockets.append(stream.get_extra_info("socket"))
        return stream


async def test_no_connection_outlives_the_fetch_that_it_was_made_for(provider):
    internet = Recording()
    async with cache(internet=internet) as keys:
        await keys.get(provider.issuer, trusted(provider.issuer), NOW)
        assert [sock.fileno() for sock in internet.sockets] == [-1], "one for both documents, and it is closed"


async def test_a_wildcard_keeps_its_issuers_while_it_stays_and_loses_them_with_it(provider):
    pattern = provider.issuer.replace("localhost", "*")
    async with cache() as keys:
        entry = trusted(pattern, wildcard=True, network="private")
        await keys.get(provider.issuer, entry, NOW)
        keys.keep(IssuerRegistry([entry]))
        assert keys.ages(NOW) == {pattern: 0}
        keys.keep(IssuerRegistry([trusted(provider.issuer)]))
        assert keys.ages(NOW) == {}


async def test_whoever_waits_for_an_issuer_that_is_removed_meanwhile_gets_what_it_waits_for(provider):
    async with cache() as keys:
        waiting = asyncio.create_task(keys.get(provider.issuer, trusted(provider.issuer), NOW))
        await asyncio.sleep(0)
        keys.keep(IssuerRegistry([]))
        assert (await waiting).keys
        assert keys.ages(NOW) == {}
