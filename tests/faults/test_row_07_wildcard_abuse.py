"""Row 7: a wildcard must not be made to mean what its author did not mean.

Expected: an `iss` that does not match to the byte is ISSUER_NOT_TRUSTED, and no name is resolved nor anything
connected for it. Of those that match, a bounded number is asked at a bounded rate, each at most once a minute while it
does not answer, and inventing issuers keeps no real one from being verified.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from ca.errors import IssuerNotTrusted, IssuerUnavailable
from ca.oidc.issuer_keys import IssuerKeyCache
from ca.oidc.registry import IssuerRegistry
from ca.oidc.verifier import TokenVerifier
from ca.oidc.wildcard import BURST
from tests.oidc.internet import LocalInternet
from tests.oidc.provider import NOW
from tests.oidc.trusting import metrics, trusted

pytestmark = pytest.mark.anyio

EKS = trusted("https://oidc.eks.*.amazonaws.com/id/*", wildcard=True)
GITHUB = trusted("https://token.actions.githubusercontent.com/*", wildcard=True)

NOT_MEANT = [
    "http://localhost:3000?https://oidc.eks.us-west-2.amazonaws.com/id/X",
    "http://localhost:3000/https://oidc.eks.us-west-2.amazonaws.com/id/X",
    "https://localhost:3000#https://oidc.eks.us-west-2.amazonaws.com/id/X",
    "https://oidc.eks.localhost\\@us-west-2.amazonaws.com/id/X",
    "https://oidc.eks.u@evil.amazonaws.com/id/X",
    "https://evil@oidc.eks.us-west-2.amazonaws.com/id/X",
    "https://oidc.eks.us%2fwest.amazonaws.com/id/X",
    "https://oidc.eks.us-west-2.amazonaws.com/id/../X",
    "https://oidc.eks.us-west-2.amazonaws.com/id/%2e%2e",
    "https://oidc.eks.us-west-2.amazonaws.com/id/X\n",
    "https://oidc.eks.us-west-2.amazonaws.com/id/X\r",
    "https://oidc.eks.us-west-2.amazonaws.com/id/X\x00",
    " https://oidc.eks.us-west-2.amazonaws.com/id/X",
    "https://oidc.eks.us-west-2.amazonaws.com./id/X",
    "https://oidc.eks.us-west-2.amazonaws.com:443/id/X",
    "https://OIDC.eks.us-west-2.amazonaws.com/id/X",
    "HTTPS://oidc.eks.us-west-2.amazonaws.com/id/X",
    "https://oidc.eks.us-west-2.amazonaws.com/id/X?y",
    "https://oidc.eks.us-west-2.amazonaws.com/id/X#y",
    "https://oidc.eks.us-west-2.amazonaws.com/id/X/",
    "https://oidc.eks.us.west.amazonaws.com/id/X",
    "https://oidc.eks.us-west-2.amazonaws.com.evil.example/id/X",
    "https://oidc.eks.us-west-2.amazonaws\u3002com/id/X",
    "https://oidc.e\u212as.us-west-2.amazonaws.com/id/X",
    "https://oidc.eks.\uff55s.amazonaws.com/id/X",
    "https://[::ffff:127.0.0.1]/id/X",
    "https://2130706433/id/X",
    "https://0x7f000001/id/X",
    "https://127.1/id/X",
    "https://token.actions.githubusercontent.com/../x",
    "https://token.actions.githubusercontent.com/a/b",
    "https://token.actions.githubusercontent.com@evil.example/a",
    "",
]


@asynccontextmanager
async def verifying(internet, *issuers):
    tokens = TokenVerifier(IssuerRegistry(issuers), metrics(), internet)
    try:
        yield tokens
    finally:
        await tokens.aclose()


@pytest.mark.parametrize("issuer", NOT_MEANT[:-1])
async def test_an_issuer_that_is_not_meant_causes_nothing(provider, issuer):
    internet = LocalInternet({})
    async with verifying(internet, EKS, GITHUB) as tokens:
        with pytest.raises(IssuerNotTrusted):
            await tokens.verify(provider.token(iss=issuer), NOW)
    assert internet.resolved == internet.dialled == []


async def test_a_star_does_not_reach_inside():
    """`https://*` matches `https://localhost`; whoever wrote it did not mean this machine."""
    internet = LocalInternet({"localhost": [["127.0.0.1"]], "metadata": [["169.254.169.254"]]})
    cache = IssuerKeyCache(metrics(), internet)
    for host in ("localhost", "metadata"):
        with pytest.raises(IssuerUnavailable, match="not one of the internet"):
            await cache.get(f"https://{host}", trusted("https://*", wildcard=True), NOW)
    assert internet.dialled == []
    await cache.aclose()


async def test_of_overlapping_wildcards_the_narrower_decides(provider):
    wide = trusted("http://localhost:*", wildcard=True, audience="wide")
    narrow = trusted(provider.issuer[:-1] + "*", wildcard=True)
    for order in ((wide, narrow), (narrow, wide)):
        async with verifying(None, *order) as tokens:
            assert (await tokens.verify(provider.token(), NOW)).trusted is narrow


async def test_invented_issuers_are_asked_at_a_bounded_rate(provider):
    internet = LocalInternet({})
    async with verifying(internet, GITHUB) as tokens:
        for second in range(0, 120, 10):
            for number in range(200):
                token = provider.token(iss=f"https://token.actions.githubusercontent.com/{second}-{number}")
                with pytest.raises(IssuerUnavailable) as unavailable:
                    await tokens.verify(token, NOW + timedelta(seconds=second))
                assert 1 <= unavailable.value.retry_after <= 60
        assert len(internet.resolved) <= BURST + 110
        assert tokens.broken_issuers(NOW + timedelta(seconds=110)).keys() == {GITHUB.url}


async def test_an_invented_issuer_is_asked_once_a_minute_even_if_it_was_forgotten():
    internet = LocalInternet({})
    cache = IssuerKeyCache(metrics(), internet, most_of_a_wildcard=2)
    urls = [f"https://token.actions.githubusercontent.com/{number}" for number in range(6)]
    for second in range(59):
        for url in urls:
            with pytest.raises(IssuerUnavailable):
                await cache.get(url, GITHUB, NOW + timedelta(seconds=second))
    assert len(internet.resolved) == 2, "those that are remembered are not forgotten for others"
    with pytest.raises(IssuerUnavailable):
        await cache.get(urls[5], GITHUB, NOW + timedelta(seconds=61))
    assert len(internet.resolved) == 3
    await cache.aclose()


async def test_a_real_issuer_is_verified_while_others_are_invented(provider):
    entry = trusted("http://localhost:*", wildcard=True)
    async with verifying(None, entry) as tokens:
        assert await tokens.verify(provider.token(), NOW)
        for port in range(1, 100):
            with pytest.raises(IssuerUnavailable):
                await tokens.verify(provider.token(iss=f"http://localhost:{port}"), NOW)
        provider.rotate()
        assert await tokens.verify(provider.token(), NOW), "not even a new key has to wait"


async def test_a_pattern_has_its_own_bound():
    internet = LocalInternet({})
    cache = IssuerKeyCache(metrics(), internet)
    for number in range(BURST + 5):
        with pytest.raises(IssuerUnavailable):
            await cache.get(f"https://token.actions.githubusercontent.com/{number}", GITHUB, NOW)
    assert len(internet.resolved) == BURST
    with pytest.raises(IssuerUnavailable, match="does not answer as it should"):
        await cache.get("https://oidc.eks.a.amazonaws.com/id/b", EKS, NOW)
    assert len(internet.resolved) == BURST + 1
    await cache.aclose()
