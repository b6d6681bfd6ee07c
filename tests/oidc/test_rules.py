"""What an operator asks of an issuer's tokens beyond what Fulcio asks."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ca.errors import AudienceMismatch, ClaimInvalid, ClaimMissing, TokenAlgorithmRefused, TokenExpired
from tests.oidc.provider import NOW, make_key
from tests.oidc.trusting import trusted, verifier

pytestmark = pytest.mark.anyio

T = int(NOW.timestamp())


async def verified(provider, claims=None, **keys):
    tokens = verifier(trusted(provider.issuer, **keys))
    try:
        return await tokens.verify(provider.token(**(claims or {})), NOW)
    finally:
        await tokens.aclose()


ACCEPTED = {
    "an algorithm of the list": ({"algorithms": ["RS256", "ES256"]}, {}),
    "client-id beside audiences": ({"audiences": ["other"]}, {}),
    "another audience": ({"audiences": ["other", "third"]}, {"aud": "third"}),
    "another audience in a list": ({"audiences": ["other"]}, {"aud": ["x", "other"]}),
    "one audience": ({"sole_audience": True}, {}),
    "one audience in a list": ({"sole_audience": True}, {"aud": ["sigstore"]}),
    "one other audience": ({"sole_audience": True, "audiences": ["other"]}, {"aud": ["other"]}),
    "a client of the list": ({"azp": ["a", "b"]}, {"azp": "b"}),
    "just young enough": ({"max_token_age": 600}, {"iat": T - 600}),
    "of the future, within the leeway": ({"max_token_age": 600}, {"iat": T + 200}),
}


@pytest.mark.parametrize(("keys", "claims"), ACCEPTED.values(), ids=ACCEPTED)
async def test_what_a_rule_allows_is_accepted(provider, keys, claims):
    assert await verified(provider, claims, **keys)


REFUSED = {
    "another algorithm": ({"algorithms": ["RS256", "EdDSA"]}, {}, TokenAlgorithmRefused, "EdDSA, RS256"),
    "no audience of these": ({"audiences": ["other"]}, {"aud": "third"}, AudienceMismatch, "is not"),
    "a prefix": ({"audiences": ["other"]}, {"aud": "other-evil"}, AudienceMismatch, "is not"),
    "audiences joined": ({"audiences": ["other"]}, {"aud": "sigstore,other"}, AudienceMismatch, "is not"),
    "two audiences": ({"sole_audience": True}, {"aud": ["sigstore", "x"]}, AudienceMismatch, "2 audiences"),
    "two accepted ones": (
        {"sole_audience": True, "audiences": ["other"]},
        {"aud": ["sigstore", "other"]},
        AudienceMismatch,
        "2 audiences",
    ),
    "the same audience twice": ({"sole_audience": True}, {"aud": ["sigstore"] * 2}, AudienceMismatch, "2 audiences"),
    "another client": ({"azp": ["a"]}, {"azp": "b"}, ClaimInvalid, "azp"),
    "another client's prefix": ({"azp": ["a"]}, {"azp": "a "}, ClaimInvalid, "azp"),
    "clients in a list": ({"azp": ["a"]}, {"azp": ["a"]}, ClaimInvalid, "azp"),
    "no client": ({"azp": ["a"]}, {}, ClaimMissing, "azp"),
    "client null": ({"azp": ["a"]}, {"azp": None}, ClaimMissing, "azp"),
    "a second too old": ({"max_token_age": 600}, {"iat": T - 601}, TokenExpired, "600 seconds"),
    "no age": ({"max_token_age": 600}, {"iat": ...}, ClaimMissing, "iat"),
}


@pytest.mark.parametrize(("keys", "claims", "error", "why"), REFUSED.values(), ids=REFUSED)
async def test_what_a_rule_forbids_is_refused(provider, keys, claims, error, why):
    with pytest.raises(error, match=why):
        await verified(provider, claims, **keys)
    assert await verified(provider, claims | ({"aud": "sigstore"} if "aud" in claims else {})), "without the rule"


async def test_nothing_is_fetched_for_an_algorithm_that_is_not_accepted(provider):
    with pytest.raises(TokenAlgorithmRefused):
        await verified(provider, algorithms=["RS256"])
    assert not provider.fetches


async def test_a_rule_does_not_add_what_the_issuer_does_not_sign_with(provider):
    provider.algorithms = ["RS256"]
    with pytest.raises(TokenAlgorithmRefused):
        await verified(provider, algorithms=["RS256", "ES256"])


async def test_of_two_issuers_each_token_meets_its_own_rules(provider):
    """One issuer with two audiences is one entry; two issuers do not lend each other theirs."""
    tokens = verifier(trusted(provider.issuer, audiences=["a"]), trusted("http://localhost:*", wildcard=True))
    assert await tokens.verify(provider.token(aud="a"), NOW)
    await tokens.aclose()
    tokens = verifier(trusted("http://localhost:*", wildcard=True), trusted("https://other.example", audiences=["a"]))
    with pytest.raises(AudienceMismatch):
        await tokens.verify(provider.token(aud="a"), NOW)
    await tokens.aclose()


async def test_a_tokens_age_is_counted_from_now(provider):
    tokens = verifier(trusted(provider.issuer, max_token_age=60))
    token = provider.token()
    assert await tokens.verify(token, NOW + timedelta(seconds=60))
    with pytest.raises(TokenExpired):
        await tokens.verify(token, NOW + timedelta(seconds=61))
    await tokens.aclose()


async def test_keys_for_several_algorithms_are_told_apart(provider):
    provider.keys = [make_key("RS256", "key-1"), make_key("ES256", "key-1")]
    assert await verified(provider, algorithms=["ES256"])
