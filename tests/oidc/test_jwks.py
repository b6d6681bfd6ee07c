from __future__ import annotations

import base64
import time

import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc.jwk import OKPKey, RSAKey

from ca.oidc.jwks import MAX_KEYS, import_keys
from ca.oidc.jws import parse_jws
from tests.oidc.provider import ALGORITHMS, make_key, sign

ISSUER = "https://issuer.example"


@pytest.fixture(scope="module")
def rsa_key():
    return make_key("RS256", "rsa")


def public(key, **members):
    entry = key.as_dict(private=False) | members
    return {name: value for name, value in entry.items() if value is not ...}


def signed(key, algorithm: str):
    return parse_jws(sign(key, {"iss": ISSUER}, {"alg": algorithm}))


def number(value: int) -> str:
    return base64.urlsafe_b64encode(value.to_bytes((value.bit_length() + 7) // 8, "big")).decode().rstrip("=")


def imported(*entries):
    with structlog.testing.capture_logs() as logs:
        keys = import_keys(ISSUER, entries)
    return keys, logs


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_key_verifies_what_it_signed_and_with_that_algorithm_alone(algorithm):
    key = make_key(algorithm)
    keys, logs = imported(public(key, alg=algorithm))
    assert not logs
    (candidate,) = keys.named("key-1")
    assert candidate.algorithms == {algorithm}
    assert candidate.verifies(signed(key, algorithm))
    assert not candidate.verifies(signed(make_key(algorithm), algorithm))


def test_an_rsa_key_without_alg_takes_pkcs1_and_pss(rsa_key):
    keys, _ = imported(public(rsa_key))
    assert keys.named("rsa")[0].algorithms == {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
    for algorithm in ("RS256", "PS512"):
        assert keys.named("rsa")[0].verifies(signed(rsa_key, algorithm))


def test_a_token_without_kid_can_mean_every_key(rsa_key):
    keys, _ = imported(public(rsa_key), public(make_key("ES256", None)))
    assert len(keys.named(None)) == len(keys.named("")) == 2
    assert keys.named("other") == ()


def test_keys_that_share_a_kid_are_all_kept_in_order(rsa_key):
    other = make_key("ES256", "rsa")
    keys, _ = imported(public(rsa_key), public(other))
    assert ["RS256" in key.algorithms for key in keys.named("rsa")] == [True, False]


@pytest.mark.parametrize(
    "members",
    [
        {"use": "enc"},
        {"use": ["sig"]},
        {"key_ops": ["encrypt"]},
        {"alg": "RSA-OAEP"},
        {"alg": "HS256"},
        {"alg": "none"},
        {"alg": "ES256"},
    ],
)
def test_keys_for_other_uses_are_left_out_silently(rsa_key, members):
    keys, logs = imported(public(rsa_key, **members))
    assert (len(keys), logs) == (0, [])


def test_a_key_agreement_key_is_left_out_silently():
    keys, logs = imported(public(OKPKey.generate_key("X25519")))
    assert (len(keys), logs) == (0, [])


def bad_keys():
    ec = make_key("ES256")
    weak = rsa.generate_private_key(65537, 1024)
    return {
        "not an object": ("text", "not a JSON object"),
        "null": (None, "not a JSON object"),
        "no kty": ({}, "not an RSA, EC or OKP key"),
        "kty a list": ({"kty": ["RSA"]}, "not an RSA, EC or OKP key"),
        "secret key": ({"kty": "oct", "k": "c2VjcmV0", "kid": "o"}, "not an RSA, EC or OKP key"),
        "post-quantum": ({"kty": "AKP", "alg": "ML-DSA-65", "pub": "AA"}, "not an RSA, EC or OKP key"),
        "kid a number": (public(ec, kid=5), "kid"),
        "point off the curve": (public(ec, x=number(5)), ""),
        "no y": (public(ec, y=...), ""),
        "x a number": (public(ec, x=5), ""),
        "x no base64": (public(ec, x="*"), ""),
        "unknown curve": (public(ec, crv="P-1"), ""),
        "wrong curve": (public(ec, crv="P-384"), ""),
        "wrong kty": (public(ec, kty="RSA"), ""),
        "crv a list": (public(ec, crv=["P-256"]), ""),
        "unknown use with key_ops": (public(ec, use="other", key_ops=["verify"]), ""),
        "private key": (ec.as_dict(private=True), "private key"),
        "RSA of 1024 bits": (public(RSAKey.import_key(weak)), "1024 bits"),
        "RSA with exponent 1": ({"kty": "RSA", "n": number(weak.public_key().public_numbers().n), "e": "AQ"}, ""),
        "RSA with even modulus": ({"kty": "RSA", "n": number(1 << 2047), "e": "AQAB"}, ""),
        "RSA of zero": ({"kty": "RSA", "n": "AA", "e": "AQAB"}, ""),
        "RSA of 65536 bits": ({"kty": "RSA", "n": number((1 << 65535) + 1), "e": "AQAB"}, ""),
        "Ed25519 of small order": ({"kty": "OKP", "crv": "Ed25519", "x": "A" * 43}, "small order"),
        "Ed25519 too short": ({"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}, ""),
    }  # fmt: skip


BAD_KEYS = bad_keys()


@pytest.mark.parametrize(("entry", "why"), BAD_KEYS.values(), ids=BAD_KEYS)
def test_a_bad_key_is_skipped_with_a_warning_and_costs_no_other(entry, why):
    good = make_key("ES256", "good")
    keys, logs = imported(entry, public(good))
    assert len(keys) == 1
    assert keys.named("good")[0].verifies(signed(good, "ES256"))
    (warning,) = logs
    assert (warning["log_level"], warning["event"]) == ("warning", "issuer's key skipped")
    assert why in warning["why"]
    assert "c2VjcmV0" not in str(warning)


def test_no_more_than_a_hundred_keys_are_read():
    key = public(make_key("ES256"))
    keys, logs = imported(*([key] * (MAX_KEYS + 1)))
    assert len(keys) == MAX_KEYS
    assert logs[0]["event"] == "issuer publishes too many keys"


def test_signatures_of_other_shapes_do_not_verify():
    key = make_key("ES256")
    keys, _ = imported(public(key))
    header, payload, signature = sign(key, {"iss": ISSUER}, {"alg": "ES256"}).split(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    for forged in (bytes(64), b"\xff" * 64, raw + b"\0", raw[:-1], der, b"\0"):
        text = f"{header}.{payload}.{base64.urlsafe_b64encode(forged).decode().rstrip('=')}"
        assert not keys.named("key-1")[0].verifies(parse_jws(text))


def test_a_private_key_is_refused_before_it_costs_anything():
    """joserfc looks for the factors of a modulus that comes with `d` alone, for seconds where there are none."""
    number = base64.urlsafe_b64encode(b"\xc1" * 300).decode()
    started = time.process_time()
    assert len(import_keys(ISSUER, [{"kty": "RSA", "n": number, "e": "AQAB", "d": number}] * 100)) == 0
    assert time.process_time() - started < 0.5
