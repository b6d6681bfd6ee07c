"""Row 10: keys come and go, and tokens with invented keys come in floods.

Expected: a new `kid` is accepted at once; however many unknown `kid` and bad signatures come, an issuer is asked for
them at most once in sixty seconds; a key that is withdrawn is refused when its set is old; keys are fetched again before
they are old, so that nobody waits; while the issuer is down its keys serve as long as the operator says, at no
request's cost, and then its tokens get ISSUER_UNAVAILABLE.
"""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from ca.errors import IssuerUnavailable, TokenKeyUnknown, TokenSignatureInvalid
from ca.oidc.issuer_keys import IssuerKeyCache
from ca.oidc.registry import IssuerRegistry
from ca.oidc.verifier import TokenVerifier
from ca.telemetry import Metrics
from tests.oidc import provider as misbehaving
from tests.oidc.provider import NOW, make_key, sign
from tests.oidc.trusting import metrics, trusted

pytestmark = pytest.mark.anyio


def later(**delta: float):
    return NOW + timedelta(**delta)


@pytest.fixture
async def keys():
    cache = IssuerKeyCache(metrics())
    yield cache
    await cache.aclose()


@pytest.fixture
async def tokens(provider):
    verifying = TokenVerifier(IssuerRegistry([trusted(provider.issuer)]), metrics())
    yield verifying
    await verifying.aclose()


async def fetched(known) -> None:
    """Until what was begun in the background has ended."""
    if known.fetch:
        await known.fetch


async def test_a_flood_of_unknown_keys_and_bad_signatures_fetches_once_a_minute(provider, tokens):
    await tokens.verify(provider.token(), NOW)
    stranger = make_key("ES256")
    forged = [
        *[sign(stranger, provider.claims(), {"alg": "ES256", "kid": f"random-{each}"}) for each in range(60)],
        sign(stranger, provider.claims(), {"alg": "ES256"}),
        sign(stranger, provider.claims(), {"alg": "ES256", "kid": ""}),
        sign(stranger, provider.claims(), {"alg": "ES256", "kid": "key-1"}),
    ]
    for second in (1, 30, 60):
        answers = await asyncio.gather(
            *(tokens.verify(token, later(seconds=second)) for token in forged), return_exceptions=True
        )
        assert {type(answer) for answer in answers} == {TokenKeyUnknown, TokenSignatureInvalid}
        assert provider.fetches["jwks"] == 2
        assert await tokens.verify(provider.token(), later(seconds=second))
    await asyncio.gather(*(tokens.verify(token, later(seconds=61)) for token in forged), return_exceptions=True)
    assert provider.fetches == {"discovery": 3, "jwks": 3}


async def test_bad_signatures_by_a_known_key_fetch_nothing(provider, tokens):
    await tokens.verify(provider.token(), NOW)
    for second in range(0, 200, 10):
        forged = sign(make_key("ES256"), provider.claims(later(seconds=second)), {"alg": "ES256", "kid": "key-1"})
        with pytest.raises(TokenSignatureInvalid):
            await tokens.verify(forged, later(seconds=second))
    assert provider.fetches["jwks"] == 1


async def test_a_new_key_is_accepted_at_once_and_waited_for_together(provider, tokens):
    await tokens.verify(provider.token(), NOW)
    provider.rotate()
    assert all(await asyncio.gather(*(tokens.verify(provider.token(), later(seconds=1)) for _ in range(50))))
    assert provider.fetches["jwks"] == 2


async def test_a_withdrawn_key_is_refused_when_its_set_is_old(provider, tokens):
    old = provider.token(exp=int(later(hours=1).timestamp()))
    await tokens.verify(old, NOW)
    provider.rotate()
    await tokens.verify(old, later(seconds=200))
    with pytest.raises(TokenKeyUnknown):
        await tokens.verify(old, later(seconds=300))


async def test_keys_in_use_are_fetched_before_they_are_old_and_nobody_waits(provider, keys):
    entry = trusted(provider.issuer)
    first = await keys.get(provider.issuer, entry, NOW)
    known = keys._fixed[provider.issuer]
    provider.misbehave("discovery", misbehaving.slow)
    assert await keys.get(provider.issuer, entry, later(seconds=250)) is first, "answered while the fetch hangs"
    assert known.fetch
    await asyncio.sleep(0)
    known.fetch.cancel()
    await asyncio.gather(known.fetch, return_exceptions=True)
    provider.misbehave("discovery", None)
    await keys.get(provider.issuer, entry, later(seconds=251))
    await fetched(known)
    assert provider.fetches["jwks"] == 2
    second = await keys.get(provider.issuer, entry, later(seconds=299))
    assert second is not first
    assert await keys.get(provider.issuer, entry, later(seconds=480)) is second, "its age counts from its own fetch"


async def test_keys_in_use_are_kept_fresh_between_tokens(provider, keys):
    entry = trusted(provider.issuer)
    await keys.get(provider.issuer, entry, NOW)
    known = keys._fixed[provider.issuer]
    for seconds in range(0, 7300, 5):
        keys.keep_fresh(later(seconds=seconds))
        await fetched(known)
    assert provider.fetches["jwks"] == 1 + 3600 // 240 - 1, "for an hour after its last token"


async def test_an_issuer_that_is_down_costs_no_request_time_while_its_keys_serve(provider, keys):
    entry = trusted(provider.issuer)
    first = await keys.get(provider.issuer, entry, NOW)
    known = keys._fixed[provider.issuer]
    provider.misbehave("jwks", misbehaving.status(500))
    await keys.get(provider.issuer, entry, later(seconds=250))
    await fetched(known)
    provider.misbehave("discovery", misbehaving.slow)
    for minute in range(6, 60):
        answer = await asyncio.wait_for(keys.get(provider.issuer, entry, later(minutes=minute)), 1)
        assert answer is first


@pytest.mark.parametrize("allowed", [0, 100, 3600, 86400])
async def test_old_keys_serve_as_long_as_the_operator_says(provider, allowed):
    counted = Metrics(CollectorRegistry())
    cache = IssuerKeyCache(counted)
    entry = trusted(provider.issuer, stale_if_error=allowed)
    await cache.get(provider.issuer, entry, NOW)
    provider.misbehave("discovery", misbehaving.status(500))
    if allowed:
        assert await cache.get(provider.issuer, entry, later(seconds=300 + allowed - 1))
        assert counted.oidc_stale_keys_used.labels(provider.issuer)._value.get() == 1
    with pytest.raises(IssuerUnavailable):
        await cache.get(provider.issuer, entry, later(seconds=300 + allowed))
    await cache.aclose()


async def test_an_entry_that_says_otherwise_how_to_reach_it_begins_anew(provider, keys):
    await keys.get(provider.issuer, trusted(provider.issuer), NOW)
    with pytest.raises(IssuerUnavailable):
        await keys.get(provider.issuer, trusted(provider.issuer, proxy="http://127.0.0.1:1"), NOW)


async def test_an_error_of_ours_opens_the_breaker_like_any_other(provider, keys, monkeypatch):
    def broken(*_):
        raise RuntimeError("a defect")

    monkeypatch.setattr("ca.oidc.jwks.import_keys", broken)
    for _ in range(3):
        with pytest.raises(IssuerUnavailable, match="an error here"):
            await keys.get(provider.issuer, trusted(provider.issuer), NOW)
    assert provider.fetches["jwks"] == 1


# ---- keys in a file ----------------------------------------------------------------------------------------------


def write(path, *signing) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({"keys": [key.as_dict(private=False) for key in signing]}))
    fresh.replace(path)


async def test_a_key_file_is_read_again_when_it_changes_and_nothing_is_fetched(provider, tmp_path):
    path = tmp_path / "keys.json"
    write(path, provider.keys[0])
    entry = trusted(provider.issuer, jwks_file=str(path))
    tokens = TokenVerifier(IssuerRegistry([entry]), metrics())
    old = provider.token()
    assert await tokens.verify(old, NOW)
    provider.rotate()
    with pytest.raises(TokenKeyUnknown):
        await tokens.verify(provider.token(), NOW)
    write(path, provider.keys[0])
    assert await tokens.verify(provider.token(), NOW)
    with pytest.raises(TokenKeyUnknown):
        await tokens.verify(old, NOW)
    for broken in ("", "{}", "no JSON", "x" * (1 << 20)):
        path.write_text(broken)
        assert await tokens.verify(provider.token(), NOW), "the last good keys"
        assert tokens.broken_issuers(NOW) == {provider.issuer: 1}
    path.unlink()
    assert await tokens.verify(provider.token(), NOW)
    write(path, provider.keys[0])
    assert await tokens.verify(provider.token(), NOW)
    assert tokens.broken_issuers(NOW) == {provider.issuer: 0}
    assert not provider.fetches
    await tokens.aclose()


async def test_a_key_file_that_never_was_good_makes_the_issuer_unavailable(provider, tmp_path, keys):
    entry = trusted(provider.issuer, jwks_file=str(tmp_path / "missing.json"))
    with pytest.raises(IssuerUnavailable, match="in a file here that cannot be read"):
        await keys.get(provider.issuer, entry, NOW)
    assert not provider.fetches
