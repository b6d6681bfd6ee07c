"""Row 9: a key set may be anything.

Expected: each good key keeps working, whatever lies beside it; a document that is too large, endless, compressed,
slow or of an error status makes the issuer unavailable within bounded time and memory; no key of a kind that must not
verify does; an empty set verifies nothing. The Content-Type does not matter: providers serve keys under many, and
what counts is that it is strict JSON.
"""

from __future__ import annotations

import base64
import gzip
import json
import time
import tracemalloc

import pytest
from joserfc.jwk import ECKey, OctKey

from ca.errors import IssuerUnavailable, TokenAlgorithmRefused, TokenKeyUnknown, TokenSignatureInvalid
from ca.oidc.jwks import MAX_BYTES, MAX_KEYS, MAX_TRIED
from tests.oidc import provider as misbehaving
from tests.oidc.provider import NOW, make_key, sign
from tests.oidc.trusting import trusted, verifier

pytestmark = pytest.mark.anyio


def public(key, **members):
    return {name: value for name, value in (key.as_dict(private=False) | members).items() if value is not ...}


def number(value: int) -> str:
    return base64.urlsafe_b64encode(value.to_bytes((value.bit_length() + 7) // 8, "big")).decode().rstrip("=")


def rsa(n: int, e: int = 65537) -> dict[str, str]:
    return {"kty": "RSA", "n": number(n), "e": number(e)}


def private(key):
    return key.as_dict(private=True)


async def verified(provider, token=None, **keys):
    tokens = verifier(trusted(provider.issuer, **keys))
    try:
        return await tokens.verify(token or provider.token(), NOW)
    finally:
        await tokens.aclose()


POINT = public(make_key("ES256", "x"))
BAD_KEYS = {
    "off the curve": POINT | {"y": POINT["x"]},
    "point too short": POINT | {"x": "AA"},
    "point at infinity": POINT | {"x": number(0) or "AA", "y": "AA"},
    "unknown curve": POINT | {"crv": "P-999"},
    "secp256k1": POINT | {"crv": "secp256k1"},
    "no x": {name: value for name, value in POINT.items() if name != "x"},
    "x is a number": POINT | {"x": 5},
    "private": private(make_key("ES256", "x")),
    "secret": OctKey.generate_key(256, {"kid": "x"}).as_dict(),
    "RSA of 512 bits": rsa(3**323 | 1),
    "RSA of 1024 bits": rsa((1 << 1023) | 1),
    "RSA of 65536 bits": rsa((1 << 65535) | 1),
    "RSA with an even modulus": rsa((1 << 2047) + 2),
    "RSA with e of 1": rsa((1 << 2047) | 1, 1),
    "RSA with an even e": rsa((1 << 2047) | 1, 4),
    "RSA with a small factor": rsa(3 * ((1 << 2048) | 1)),
    "unknown kty": {"kty": "AKP", "alg": "ML-DSA-65", "pub": "AA"},
    "kty is a list": {"kty": ["EC"]},
    "kid is a number": POINT | {"kid": 5},
    "alg is a list": POINT | {"alg": ["ES256"]},
    "use is a number": POINT | {"use": 5},
    "key_ops is text": POINT | {"key_ops": "verify"},
    "not an object": "key",
    "null": None,
    "a list": [],
    "deep": {"kty": {"a": {"b": {"c": {}}}}},
}


@pytest.mark.parametrize("bad", BAD_KEYS.values(), ids=BAD_KEYS)
async def test_a_good_key_works_beside_a_bad_one(provider, bad):
    provider.published = [bad, public(provider.keys[0]), bad]
    started = time.process_time()
    assert await verified(provider)
    assert time.process_time() - started < 5


async def test_a_good_key_works_beside_all_bad_ones(provider):
    provider.published = [*BAD_KEYS.values(), public(provider.keys[0])]
    assert await verified(provider)


@pytest.mark.parametrize("order", [1, -1])
async def test_of_two_keys_that_share_a_kid_either_verifies_and_no_third(provider, order):
    """Ambiguous, but both are the issuer's: refusing the set would stop an issuer that rotates without new kids."""
    other = make_key("ES256")
    provider.published = [public(other), public(provider.keys[0])][::order]
    assert await verified(provider)
    assert await verified(provider, sign(other, provider.claims(), {"alg": "ES256", "kid": "key-1"}))
    with pytest.raises(TokenSignatureInvalid):
        await verified(provider, sign(make_key("ES256"), provider.claims(), {"alg": "ES256", "kid": "key-1"}))


async def test_a_secret_does_not_verify_even_where_the_issuer_says_so(provider):
    secret = OctKey.generate_key(256, {"kid": "key-1"})
    provider.published, provider.algorithms = [secret.as_dict()], ["HS256"]
    with pytest.raises(TokenAlgorithmRefused):
        await verified(provider, sign(secret, provider.claims(), {"alg": "HS256", "kid": "key-1"}))
    assert not provider.fetches


async def test_no_keys_verify_nothing(provider):
    provider.published = []
    with pytest.raises(TokenKeyUnknown):
        await verified(provider)
    with pytest.raises(TokenSignatureInvalid):
        await verified(provider, provider.token(header={"kid": ...}))


async def test_keys_beyond_a_hundred_are_not_read(provider):
    spare = public(make_key("ES256"), kid=...)
    provider.published = [*[spare | {"kid": str(each)} for each in range(MAX_KEYS - 1)], public(provider.keys[0])]
    assert await verified(provider)
    provider.published.insert(0, spare)
    with pytest.raises(TokenKeyUnknown):
        await verified(provider)


async def test_ten_thousand_keys_are_more_than_is_read(provider):
    entry = public(provider.keys[0])
    provider.published = [entry | {"kid": str(each)} for each in range(10_000)]
    with pytest.raises(IssuerUnavailable, match="more than 512 KiB"):
        await verified(provider)


@pytest.mark.parametrize(("keys", "accepted"), [(1, True), (3, True), (MAX_TRIED, True), (MAX_TRIED + 1, False)])
async def test_a_token_without_kid_is_tried_with_a_few_keys(provider, keys, accepted):
    provider.keys = [make_key("ES256", str(each)) for each in range(keys)]
    provider.published = [public(key) for key in provider.keys] + [public(make_key("ES384", "of another alg"))] * 50
    token = provider.token(header={"kid": ...})
    if accepted:
        assert await verified(provider, token)
    else:
        with pytest.raises(TokenKeyUnknown, match="its kid has to tell which"):
            await verified(provider, token)
        assert provider.fetches["jwks"] == 1, "newer keys would not help"


async def test_a_hundred_keys_of_one_kid_cost_no_more_than_a_few(provider):
    provider.published = [public(make_key("ES256")) for _ in range(20)]
    with pytest.raises(TokenKeyUnknown, match="its kid has to tell which"):
        await verified(provider)


DOCUMENTS = {
    "1 MiB": (misbehaving.huge, "more than"),
    "gzip": (misbehaving.body(gzip.compress(b" " * (50 << 20)), content_encoding="gzip"), "compressed answer"),
    "gzip, not said": (misbehaving.body(gzip.compress(b'{"keys": []}')), "refused"),
    "twice compressed": (misbehaving.body(b"{}", content_encoding="identity, gzip"), "compressed answer"),
    "500 with JSON": (misbehaving.status(500, b'{"keys": []}'), "status 500"),
    "206 with JSON": (misbehaving.status(206, b'{"keys": []}'), "status 206"),
    "HTML": (misbehaving.body(b"<html></html>"), "refused"),
    "doubled member": (misbehaving.body(b'{"keys": [], "keys": []}'), "twice"),
    "UTF-16": (misbehaving.body('{"keys": []}'.encode("utf-16")), "UTF-8"),
    "BOM": (misbehaving.body(b'\xef\xbb\xbf{"keys": []}'), "refused"),
    "depth": (misbehaving.body(b'{"keys":' + b"[" * 3000 + b"]" * 3000 + b"}"), "nested deeper"),
    "long number": (misbehaving.body(b'{"keys": [' + b"9" * 100_000 + b"]}"), "refused"),
    "object": (misbehaving.body(b'{"keys": {}}'), "not a JWK Set"),
}


@pytest.mark.parametrize(("how", "why"), DOCUMENTS.values(), ids=DOCUMENTS)
async def test_a_document_that_is_not_to_be_read_makes_the_issuer_unavailable(provider, how, why):
    provider.misbehave("jwks", how)
    with pytest.raises(IssuerUnavailable, match=why):
        await verified(provider)
    assert provider.fetches == {"discovery": 1, "jwks": 1}


@pytest.mark.parametrize("media_type", ["text/plain", "application/octet-stream", "application/jwk-set+json", "x"])
async def test_a_content_type_does_not_matter(provider, media_type):
    content = json.dumps(provider.documents()["jwks"]).encode()
    provider.misbehave("jwks", misbehaving.body(content, content_type=media_type))
    assert await verified(provider)


async def test_an_endless_answer_costs_its_limit(provider):
    provider.misbehave("jwks", misbehaving.endless)
    tracemalloc.start()
    try:
        with pytest.raises(IssuerUnavailable, match="more than 512 KiB"):
            await verified(provider)
        # The provider is in this process, and what its socket holds back counts with it.
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()
    assert provider.streamed < 100 * MAX_BYTES


@pytest.mark.parametrize("how", [misbehaving.drip, misbehaving.slow])
@pytest.mark.parametrize("document", ["discovery", "jwks"])
async def test_a_slow_answer_is_given_up(provider, monkeypatch, document, how):
    monkeypatch.setattr("ca.oidc.fetch._TIMEOUT", 0.3)
    provider.misbehave(document, how)
    with pytest.raises(IssuerUnavailable, match="no answer within"):
        await verified(provider)


async def test_ecdsa_signatures_of_zeros_and_in_der_are_refused(provider):
    """CVE-2022-21449 accepted r = s = 0."""
    header, payload, _ = provider.token().split(".")
    key = provider.keys[0]
    assert isinstance(key, ECKey)
    for signature in (bytes(64), b"\x30\x06\x02\x01\x00\x02\x01\x00", b"\x01" * 63, b"\xff" * 64, b"\x00" * 65):
        encoded = base64.urlsafe_b64encode(signature).decode().rstrip("=")
        with pytest.raises(TokenSignatureInvalid):
            await verified(provider, f"{header}.{payload}.{encoded}")
