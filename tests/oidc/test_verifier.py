from __future__ import annotations

import asyncio
import base64
import hmac
import json
from datetime import timedelta

import pytest
from joserfc.jwk import OctKey
from joserfc.jws import JWSRegistry

from ca.errors import (
    AudienceMismatch,
    ClaimInvalid,
    ClaimMissing,
    IssuerDisabled,
    IssuerNotTrusted,
    IssuerUnavailable,
    TokenAlgorithmRefused,
    TokenExpired,
    TokenKeyUnknown,
    TokenMalformed,
    TokenNotYetValid,
    TokenSignatureInvalid,
)
from ca.oidc.registry import IssuerRegistry
from tests.oidc import provider as misbehaving
from tests.oidc.provider import ALGORITHMS, NOW, Provider, make_key, sign
from tests.oidc.trusting import trusted, verifier

pytestmark = pytest.mark.anyio

MINUTE = 60
T = int(NOW.timestamp())


async def verified(provider: Provider, token: str, now=NOW):
    tokens = verifier(provider.issuer)
    try:
        return await tokens.verify(token, now)
    finally:
        await tokens.aclose()


async def refusal(provider: Provider, token: str, error: type, now=NOW):
    with pytest.raises(error) as refused:
        await verified(provider, token, now)
    for part in token.split("."):
        assert len(part) < 8 or part not in str(refused.value)
    return refused.value


def b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def hs256(secret: bytes, claims: dict) -> str:
    signing_input = f"{b64(json.dumps({'alg': 'HS256'}).encode())}.{b64(json.dumps(claims).encode())}"
    return f"{signing_input}.{b64(hmac.digest(secret, signing_input.encode(), 'sha256'))}"


# ---- accepted ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_token_of_a_trusted_issuer_is_believed(algorithm):
    with Provider(algorithm=algorithm) as provider:
        token = await verified(provider, provider.token(email="ada@example.com", run_id=12345678901234567890123))
    assert token.issuer == token.trusted.url == provider.issuer
    assert token.claims["email"] == "ada@example.com"
    assert token.claims["run_id"] == 12345678901234567890123


HONEST = {
    "several audiences": {"aud": ["other", "sigstore"]},
    "one audience in a list": {"aud": ["sigstore"]},
    "no iat": {"iat": ...},
    "iat null": {"iat": None},
    "old iat": {"iat": T - 10 * 365 * 86400},
    "iat slightly ahead": {"iat": T + 299},
    "no nbf": {"nbf": ...},
    "nbf zero": {"nbf": 0},
    "nbf slightly ahead": {"nbf": T + 299},
    "fractional times": {"exp": T + 0.5, "iat": T - 0.5, "nbf": T + 1.25},
    "last second": {"exp": T + 1},
    "no sub": {"sub": ...},
    "sub null": {"sub": None},
    "azp of another client": {"azp": "other"},
    "nonce": {"nonce": "n", "jti": "j", "at_hash": "h"},
    "claims that mean something to others": {"crit": ["x"], "alg": "none", "cnf": {"jkt": "x"}},
    "nested claims": {"kubernetes.io": {"pod": {"name": "p"}, "serviceaccount": {"name": "s"}}},
    "distributed claims with their source": {"_claim_names": {"g": "s"}, "_claim_sources": {"s": {"endpoint": "e"}}},
    "no distributed claims": {"_claim_names": {}, "_claim_sources": {}},
}


@pytest.mark.parametrize("claims", HONEST.values(), ids=HONEST)
async def test_honest_tokens_are_accepted_as_go_oidc_does(provider, claims):
    token = await verified(provider, provider.token(**claims))
    assert token.issuer == provider.issuer


@pytest.mark.parametrize(
    "header", [{"kid": ...}, {"kid": ""}, {"typ": ...}, {"typ": "at+jwt"}, {"jku": "https://evil.example"}]
)
async def test_header_members_that_vary_between_issuers_do_not_matter(provider, header):
    provider.keys = [make_key("ES256", "other"), make_key("RS256", "rsa"), make_key("ES256", "mine")]
    provider.keys[-1] = make_key("ES256", "mine")
    assert await verified(provider, provider.token(header=header))


async def test_whitespace_around_a_token_is_tolerated(provider):
    assert await verified(provider, f"  {provider.token()}\n")


async def test_a_wildcard_issuer_is_known_by_its_concrete_url(provider):
    tokens = verifier(trusted("http://localhost:*", wildcard=True))
    token = await tokens.verify(provider.token(), NOW)
    assert (token.issuer, token.trusted.url) == (provider.issuer, "http://localhost:*")
    assert tokens.jwks_ages(NOW) == {"http://localhost:*": 0.0}
    await tokens.aclose()


async def test_a_rotated_key_is_found_and_the_old_one_is_not(provider):
    tokens = verifier(provider.issuer)
    old = provider.token()
    await tokens.verify(old, NOW)
    provider.rotate("second")
    await tokens.verify(provider.token(), NOW)
    with pytest.raises(TokenKeyUnknown):
        await tokens.verify(old, NOW)
    assert provider.fetches["jwks"] == 2
    await tokens.aclose()


async def test_a_rotated_key_without_kid_is_found(provider):
    provider.keys = [make_key("ES256", None)]
    tokens = verifier(provider.issuer)
    await tokens.verify(provider.token(), NOW)
    provider.rotate(None)
    await tokens.verify(provider.token(), NOW)
    assert provider.fetches["jwks"] == 2
    await tokens.aclose()


# ---- nothing is fetched ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "error"),
    [
        ({"iss": "https://evil.example"}, IssuerNotTrusted),
        ({"iss": "{issuer}/"}, IssuerNotTrusted),
        ({"iss": "{issuer}\n"}, IssuerNotTrusted),
        ({"iss": "{ISSUER}"}, IssuerNotTrusted),
        ({"iss": ...}, ClaimMissing),
        ({"iss": ["{issuer}"]}, ClaimInvalid),
    ],
)
async def test_nothing_is_fetched_for_an_issuer_that_is_not_trusted(provider, claims, error):
    iss = claims["iss"]
    if isinstance(iss, str):
        claims = {"iss": iss.replace("{issuer}", provider.issuer).replace("{ISSUER}", provider.issuer.upper())}
    await refusal(provider, provider.token(**claims), error)
    assert not provider.fetches


async def test_nothing_is_fetched_for_what_is_no_token(provider):
    await refusal(provider, provider.token() + ".x", TokenMalformed)
    await refusal(provider, provider.token(header={"alg": "ES256", "crit": []}), TokenMalformed)
    await refusal(provider, sign(OctKey.generate_key(256), provider.claims(), {"alg": "HS256"}), TokenAlgorithmRefused)
    assert not provider.fetches


async def test_a_bad_signature_by_a_known_key_fetches_nothing_more(provider):
    tokens = verifier(provider.issuer)
    await tokens.verify(provider.token(), NOW)
    forged = sign(make_key("ES256"), provider.claims(), {"alg": "ES256", "kid": "key-1"})
    for _ in range(3):
        with pytest.raises(TokenSignatureInvalid):
            await tokens.verify(forged, NOW)
    assert provider.fetches["jwks"] == 1
    await tokens.aclose()


async def test_unknown_keys_fetch_once_a_minute(provider):
    tokens = verifier(provider.issuer)
    for second in range(0, 150, 6):
        forged = sign(make_key("ES256"), provider.claims(), {"alg": "ES256", "kid": f"kid-{second}"})
        with pytest.raises(TokenKeyUnknown, match=f'publishes no key "kid-{second}"'):
            await tokens.verify(forged, NOW + timedelta(seconds=second))
    assert provider.fetches["jwks"] == 1 + 3
    await tokens.aclose()


# ---- signatures --------------------------------------------------------------------------------------------------


async def test_forgeries_of_every_known_kind_are_refused(provider):
    key = provider.keys[0]
    claims = provider.claims()
    header, payload, signature = provider.token().split(".")
    stranger = make_key("ES256")
    pem, jwk = key.as_pem(private=False), json.dumps(key.as_dict(private=False)).encode()
    other_claims = b64(json.dumps(provider.claims(sub="root")).encode())
    with_x, none = b64(b'{"alg":"ES256","kid":"key-1","x":1}'), b64(b'{"alg":"none"}')
    forgeries = {
        "another key": (sign(stranger, claims, {"alg": "ES256", "kid": "key-1"}), TokenSignatureInvalid),
        "another key, no kid": (sign(stranger, claims, {"alg": "ES256"}), TokenSignatureInvalid),
        "another payload": (f"{header}.{other_claims}.{signature}", TokenSignatureInvalid),
        "another header": (f"{with_x}.{payload}.{signature}", TokenSignatureInvalid),
        "zeros": (f"{header}.{payload}.{b64(bytes(64))}", TokenSignatureInvalid),
        "alg none": (f"{none}.{payload}.{signature}", TokenAlgorithmRefused),
        "alg none, no signature": (f"{none}.{payload}.", TokenMalformed),
        "HMAC with the PEM": (hs256(pem, claims), TokenAlgorithmRefused),
        "HMAC with the JWK": (hs256(jwk, claims), TokenAlgorithmRefused),
        "own key in the header": (
            sign(stranger, claims, {"alg": "ES256", "jwk": stranger.as_dict(private=False)}),
            TokenMalformed,
        ),
        "another algorithm": (sign(make_key("RS256"), claims, {"alg": "RS256", "kid": "key-1"}), TokenAlgorithmRefused),
        "unknown kid": (sign(key, claims, {"alg": "ES256", "kid": "other"}), TokenKeyUnknown),
    }  # fmt: skip
    for name, (token, error) in forgeries.items():
        assert await refusal(provider, token, error), name


async def test_an_algorithm_that_the_issuer_does_not_advertise_is_refused(provider):
    provider.algorithms = ["RS256"]
    error = await refusal(provider, provider.token(), TokenAlgorithmRefused)
    assert "alg ES256 is not one that issuer" in error.detail
    assert "RS256" in error.detail


@pytest.mark.parametrize("members", [{"use": "enc"}, {"key_ops": ["sign"]}, {"alg": "ES384"}, {"alg": "RS256"}])
async def test_a_key_is_not_used_for_what_it_is_not_for(provider, members):
    provider.published = [provider.keys[0].as_dict(private=False) | members]
    await refusal(provider, provider.token(), TokenKeyUnknown)
    await refusal(provider, provider.token(header={"kid": ...}), TokenSignatureInvalid)


async def test_rs256_by_a_key_for_ps256_is_refused():
    with Provider(algorithm="RS256") as provider:
        provider.published = [provider.keys[0].as_dict(private=False) | {"alg": "PS256"}]
        await refusal(provider, provider.token(), TokenAlgorithmRefused)


async def test_a_secret_published_by_the_issuer_verifies_nothing(provider):
    secret = OctKey.generate_key(256, {"kid": "key-1"})
    provider.published = [secret.as_dict()]
    provider.algorithms = ["HS256", "ES256"]
    await refusal(provider, sign(secret, provider.claims(), {"alg": "HS256", "kid": "key-1"}), TokenAlgorithmRefused)


async def test_one_issuer_does_not_speak_for_another(provider):
    with Provider(algorithm="ES256") as other:
        tokens = verifier(provider.issuer, other.issuer)
        posing = other.token(iss=provider.issuer)
        with pytest.raises(TokenSignatureInvalid):
            await tokens.verify(posing, NOW)
        await tokens.aclose()


async def test_a_dead_issuer_is_not_the_clients_fault(provider):
    provider.misbehave("jwks", misbehaving.status(500))
    error = await refusal(provider, provider.token(), IssuerUnavailable)
    assert error.retry_after >= 1
    assert error.public_message.startswith(
        'There was an error processing the identity token: issuer "http://localhost:'
    )


# ---- claims ------------------------------------------------------------------------------------------------------

REFUSED = {
    "audience": ({"aud": "foo"}, AudienceMismatch, 'audience "foo" is not "sigstore"'),
    "audience in another case": ({"aud": "Sigstore"}, AudienceMismatch, 'audience "Sigstore" is not "sigstore"'),
    "audience with a newline": ({"aud": "sigstore\n"}, AudienceMismatch, 'audience "sigstore\\n" is not'),
    "audience prefix": ({"aud": "sigstore-evil"}, AudienceMismatch, "is not"),
    "audience empty": ({"aud": ""}, AudienceMismatch, 'audience "" is not'),
    "audiences": ({"aud": ["a", "b"]}, AudienceMismatch, 'audience "a, b" does not have "sigstore"'),
    "audiences none": ({"aud": []}, AudienceMismatch, "does not have"),
    "audience long": ({"aud": "x" * 5000}, AudienceMismatch, "xxx…"),
    "audience joined": ({"aud": "a, sigstore"}, AudienceMismatch, "is not"),
    "audience missing": ({"aud": ...}, ClaimMissing, "no aud claim"),
    "audience null": ({"aud": None}, ClaimMissing, "no aud claim"),
    "audience number": ({"aud": 5}, ClaimInvalid, "aud claim is neither"),
    "audience object": ({"aud": {"sigstore": 1}}, ClaimInvalid, "aud claim is neither"),
    "audiences mixed": ({"aud": ["sigstore", 5]}, ClaimInvalid, "aud claim is neither"),
    "audiences nested": ({"aud": [["sigstore"]]}, ClaimInvalid, "aud claim is neither"),
    "expired": ({"exp": T - 1}, TokenExpired, "it expired at 2026-06-01T11:59:59Z, and it is 2026-06-01T12:00:00Z"),
    "expires now": ({"exp": T}, TokenExpired, "expired"),
    "expired half a second ago": ({"exp": T - 0.5}, TokenExpired, "expired"),
    "exp zero": ({"exp": 0}, TokenExpired, "1970"),
    "exp missing": ({"exp": ...}, ClaimMissing, "no exp claim"),
    "exp null": ({"exp": None}, ClaimMissing, "no exp claim"),
    "exp string": ({"exp": str(T + 300)}, ClaimInvalid, "exp claim is not a number"),
    "exp true": ({"exp": True}, ClaimInvalid, "exp claim is not a number"),
    "exp list": ({"exp": [T + 300]}, ClaimInvalid, "exp claim is not a number"),
    "exp negative": ({"exp": -1}, ClaimInvalid, "exp claim is not a time"),
    "exp in milliseconds": ({"exp": (T + 300) * 1000}, ClaimInvalid, "exp claim is not a time in seconds"),
    "exp 1e300": ({"exp": 1e300}, ClaimInvalid, "exp claim is not a time"),
    "exp 10^4000": ({"exp": 10**4000}, ClaimInvalid, "exp claim is not a time"),
    "exp in 2101": ({"exp": 4_133_980_800}, ClaimInvalid, "before 2100"),
    "exp NaN": ({"exp": float("nan")}, TokenMalformed, "NaN is not a JSON number"),
    "exp Infinity": ({"exp": float("inf")}, TokenMalformed, "Infinity is not a JSON number"),
    "nbf ahead": ({"nbf": T + 301}, TokenNotYetValid, "not valid before 2026-06-01T12:05:01Z (nbf)"),
    "nbf string": ({"nbf": "0"}, ClaimInvalid, "nbf claim is not a number"),
    "nbf milliseconds": ({"nbf": T * 1000}, ClaimInvalid, "nbf claim is not a time"),
    "nbf negative": ({"nbf": -5}, ClaimInvalid, "nbf claim is not a time"),
    "iat ahead": ({"iat": T + 301}, TokenNotYetValid, "in the future, at 2026-06-01T12:05:01Z (iat)"),
    "iat string": ({"iat": "now"}, ClaimInvalid, "iat claim is not a number"),
    "iat false": ({"iat": False}, ClaimInvalid, "iat claim is not a number"),
    "sub number": ({"sub": 5}, ClaimInvalid, "sub claim is not a string"),
    "sub object": ({"sub": {}}, ClaimInvalid, "sub claim is not a string"),
    "sub list": ({"sub": ["x"]}, ClaimInvalid, "sub claim is not a string"),
    "sub lone surrogate": ({"sub": "\ud800"}, TokenMalformed, "lone surrogate"),
    "distributed without source": ({"_claim_names": {"g": "s"}}, ClaimInvalid, "a source that _claim_sources does not"),
    "distributed with another source": (
        {"_claim_names": {"g": "s"}, "_claim_sources": {"t": {}}},
        ClaimInvalid,
        "a source that _claim_sources does not have",
    ),
    "distributed names a list": ({"_claim_names": ["g"]}, ClaimInvalid, "have to be objects"),
    "distributed sources a list": ({"_claim_names": {"g": "s"}, "_claim_sources": []}, ClaimInvalid, "have to be"),
    "distributed source a string": ({"_claim_names": {"g": "s"}, "_claim_sources": {"s": "x"}}, ClaimInvalid, "source"),
    "distributed source by number": ({"_claim_names": {"g": 5}, "_claim_sources": {"5": {}}}, ClaimInvalid, "source"),
    "deep": ({"x": [[[[[[[[1]]]]]]]]}, TokenMalformed, "nested deeper"),
}


@pytest.mark.parametrize(("claims", "error", "why"), REFUSED.values(), ids=REFUSED)
async def test_a_claim_that_does_not_hold_is_refused_and_named(provider, claims, error, why):
    refused = await refusal(provider, provider.token(**claims), error)
    assert why in refused.detail
    assert refused.public_message.startswith("There was an error processing the identity token: ")
    assert len(refused.detail) < 400
    assert refused.detail.isprintable()
    if error in {ClaimInvalid, ClaimMissing}:
        assert refused.metadata["claim"] in {*claims, "_claim_names"}


@pytest.mark.parametrize(
    "payload",
    [
        b'{"iss":"{issuer}","aud":"sigstore","exp":{exp},"sub":"a","sub":"b"}',
        b'{"iss":"https://evil.example","iss":"{issuer}","aud":"sigstore","exp":{exp}}',
        b'{"iss":"{issuer}","aud":"sigstore","exp":{exp},"exp":9999999999}',
        b'{"iss":"{issuer}","aud":"sigstore","exp":1e400}',
        b'\xef\xbb\xbf{"iss":"{issuer}","aud":"sigstore","exp":{exp}}',
        b'[{"iss":"{issuer}","aud":"sigstore","exp":{exp}}]',
        b'{"iss":"{issuer}","aud":"sigstore","exp":{exp}}{}',
    ],
)
async def test_a_signature_does_not_excuse_ambiguous_claims(provider, payload):
    content = payload.replace(b"{issuer}", provider.issuer.encode()).replace(b"{exp}", str(T + 300).encode())
    await refusal(provider, sign(provider.keys[0], content, {"alg": "ES256", "kid": "key-1"}), TokenMalformed)


async def test_a_signature_does_not_excuse_an_ambiguous_header(provider):
    key = provider.keys[0]
    payload = b64(json.dumps(provider.claims()).encode())
    for header in (
        b'{"alg":"none","alg":"ES256","kid":"key-1"}',
        b'{"alg":"ES256","kid":"other","kid":"key-1"}',
        b'{"alg":"ES256","kid":"key-1","b64":false,"crit":["b64"]}',
        b'{"alg":"ES256","kid":"key-1","zip":"DEF"}',
    ):
        signing_input = f"{b64(header)}.{payload}"
        signature = b64(JWSRegistry.algorithms["ES256"].sign(signing_input.encode(), key))
        await refusal(provider, f"{signing_input}.{signature}", TokenMalformed)


@pytest.mark.parametrize(("left", "error"), [([{"enabled": False}], IssuerDisabled), ([], IssuerNotTrusted)])
async def test_an_issuer_that_is_switched_off_while_its_keys_are_waited_for_brings_nothing(provider, left, error):
    tokens = verifier(provider.issuer)
    waiting = asyncio.create_task(tokens.verify(provider.token(), NOW))
    await asyncio.sleep(0)
    tokens.use(IssuerRegistry([trusted(provider.issuer, **members) for members in left]))
    with pytest.raises(error):
        await waiting
    await tokens.aclose()


async def test_new_issuers_are_trusted_at_once_and_old_ones_are_forgotten_with_their_keys(provider):
    tokens = verifier(provider.issuer)
    assert await tokens.verify(provider.token(), NOW)
    tokens.use(IssuerRegistry([]))
    assert tokens.jwks_ages(NOW) == {}
    with pytest.raises(IssuerNotTrusted):
        await tokens.verify(provider.token(), NOW)
    tokens.use(IssuerRegistry([trusted(provider.issuer, enabled=False)]))
    with pytest.raises(IssuerDisabled):
        await tokens.verify(provider.token(), NOW)
    tokens.use(IssuerRegistry([trusted(provider.issuer)]))
    assert await tokens.verify(provider.token(), NOW)
    assert provider.fetches == {"discovery": 2, "jwks": 2}
    await tokens.aclose()


async def test_a_token_that_is_being_verified_keeps_the_rules_it_began_with(provider):
    tokens = verifier(provider.issuer)
    begun = asyncio.create_task(tokens.verify(provider.token(), NOW))
    await asyncio.sleep(0)
    tokens.use(IssuerRegistry([trusted(provider.issuer, audience="another")]))
    assert (await begun).trusted.audience == "sigstore"
    await tokens.aclose()
