from __future__ import annotations

import base64
import json
import string

import pytest

from ca.errors import ClaimInvalid, ClaimMissing, TokenAlgorithmRefused, TokenMalformed, TokenMissing
from ca.oidc.jws import parse_token

HEADER = b'{"alg":"RS256","kid":"k"}'
PAYLOAD = b'{"iss":"https://issuer.example"}'


def encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def token(header: bytes = HEADER, payload: bytes = PAYLOAD, signature: bytes = b"signature") -> str:
    return ".".join(encode(part) for part in (header, payload, signature))


def test_a_token_comes_apart():
    parsed = parse_token(token())
    assert (parsed.jws.algorithm, parsed.jws.key_id, parsed.unverified_issuer) == (
        "RS256",
        "k",
        "https://issuer.example",
    )
    assert parsed.unverified_claims == {"iss": "https://issuer.example"}
    assert parsed.jws.signing_input.decode() == token().rpartition(".")[0]
    assert parsed.jws.signature == b"signature"


def test_whitespace_around_a_token_is_tolerated():
    assert parse_token(f" \t{token()}\r\n") == parse_token(token())


def test_a_token_does_not_show_in_its_repr():
    shown = repr(parse_token(token(payload=b'{"iss":"i","sub":"secret-subject"}')))
    assert "secret-subject" not in shown
    assert "signature" not in shown


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "EdDSA"},
        {"alg": "RS256", "kid": ""},
        {"alg": "ES256", "typ": "at+jwt", "x5c": ["MIIB"], "jku": "https://evil.example", "x5u": "x", "unknown": 1},
        {"alg": "ES256", "cty": "json"},
    ],
)
def test_unknown_and_unused_header_members_are_ignored(header):
    assert parse_token(token(json.dumps(header).encode())).jws.algorithm == header["alg"]


def test_large_claims_stay_exact():
    assert parse_token(token(payload=b'{"iss":"i","n":9007199254740993}')).unverified_claims["n"] == 9007199254740993


@pytest.mark.parametrize("text", ["", "  \r\n", "\t"])
def test_no_token_is_a_missing_token(text):
    with pytest.raises(TokenMissing):
        parse_token(text)


MALFORMED = {
    "one part": ("abc", "1 parts"),
    "two parts": (token().rpartition(".")[0], "2 parts"),
    "four parts": (token() + ".abc", "4 parts"),
    "five parts, a JWE": ("a.b.c.d.e", "JWE"),
    "JSON serialization": ('{"payload":"x","protected":"y","signature":"z"}', "1 parts"),
    "only dots": ("..", "header is empty"),
    "empty header": ("." + token().partition(".")[2], "header is empty"),
    "empty payload": (token(payload=b""), "payload is empty"),
    "empty signature": (token(signature=b""), "signature is empty"),
    "too long": (token(payload=b'{"iss":"' + b"a" * 16384 + b'"}'), "characters; at most 16384"),
    "not ASCII": (token() + "ż", "outside of ASCII"),
    "lone surrogate": (token() + "\ud800", "outside of ASCII"),
    "padding": (token(signature=b"a") + "==", "not base64url"),
    "padding in the payload": (
        f"{encode(HEADER)}.{base64.urlsafe_b64encode(PAYLOAD).decode()}==.c2ln",
        "not base64url",
    ),
    "base64 plus": (f"{encode(HEADER)}.{encode(PAYLOAD)}.ab+d", "not base64url"),
    "base64 slash": (f"{encode(HEADER)}.{encode(PAYLOAD)}.ab/d", "not base64url"),
    "space inside": (f"{encode(HEADER)}.{encode(PAYLOAD)}.ab cd", "not base64url"),
    "newline inside": (f"{encode(HEADER)}.{encode(PAYLOAD)}.ab\ncd", "not base64url"),
    "NUL inside": (f"{encode(HEADER)}.{encode(PAYLOAD)}.ab\0d", "not base64url"),
    "length of 1 modulo 4": (f"{encode(HEADER)}.{encode(PAYLOAD)}.abcde", "not base64url"),
    "unused bits set": (f"{encode(HEADER)}.{encode(PAYLOAD)}.YR", "not base64url"),
    "form feed around": ("\f" + token(), "not base64url"),
    "header no JSON": (token(header=b"{"), "header is refused: not JSON"),
    "header a list": (token(header=b"[]"), "header is refused: not a JSON object"),
    "header a string": (token(header=b'"RS256"'), "header is refused: not a JSON object"),
    "header twice alg": (token(header=b'{"alg":"RS256","alg":"none"}'), "'alg' appears twice"),
    "header UTF-16": (token(header=HEADER.decode().encode("utf-16")), "header is refused: not UTF-8"),
    "header with BOM": (token(header=b"\xef\xbb\xbf" + HEADER), "header is refused"),
    "no alg": (token(header=b"{}"), "no alg"),
    "alg null": (token(header=b'{"alg":null}'), "alg in its header is not a string"),
    "alg list": (token(header=b'{"alg":["RS256"]}'), "alg in its header is not a string"),
    "alg number": (token(header=b'{"alg":256}'), "alg in its header is not a string"),
    "kid number": (token(header=b'{"alg":"RS256","kid":1}'), "kid in its header is not a string"),
    "kid null": (token(header=b'{"alg":"RS256","kid":null}'), "kid in its header is not a string"),
    "kid list": (token(header=b'{"alg":"RS256","kid":["k"]}'), "kid in its header is not a string"),
    "typ number": (token(header=b'{"alg":"RS256","typ":1}'), "typ in its header is not a string"),
    "crit": (token(header=b'{"alg":"RS256","crit":["exp"]}'), "header has crit"),
    "crit empty": (token(header=b'{"alg":"RS256","crit":[]}'), "header has crit"),
    "crit null": (token(header=b'{"alg":"RS256","crit":null}'), "header has crit"),
    "b64 false": (token(header=b'{"alg":"RS256","b64":false}'), "header has b64"),
    "b64 true": (token(header=b'{"alg":"RS256","b64":true}'), "header has b64"),
    "zip": (token(header=b'{"alg":"RS256","zip":"DEF"}'), "header has zip"),
    "enc": (token(header=b'{"alg":"RS256","enc":"A256GCM"}'), "header has enc"),
    "jwk": (token(header=b'{"alg":"RS256","jwk":{"kty":"RSA"}}'), "header has jwk"),
    "cty JWT": (token(header=b'{"alg":"RS256","cty":"JWT"}'), "nested"),
    "cty jwt": (token(header=b'{"alg":"RS256","cty":"jwt"}'), "nested"),
    "payload a list": (token(payload=b"[]"), "payload is refused: not a JSON object"),
    "payload text": (token(payload=b"hello"), "payload is refused: not JSON"),
    "payload twice sub": (token(payload=b'{"iss":"i","sub":"a","sub":"b"}'), "'sub' appears twice"),
    "payload twice deep": (token(payload=b'{"iss":"i","x":{"a":1,"a":2}}'), "'a' appears twice"),
    "payload NaN": (token(payload=b'{"iss":"i","exp":NaN}'), "NaN"),
    "payload Infinity": (token(payload=b'{"iss":"i","exp":Infinity}'), "Infinity"),
    "payload 1e400": (token(payload=b'{"iss":"i","exp":1e400}'), "beyond the range"),
    "payload 10^5000": (token(payload=b'{"iss":"i","exp":1' + b"0" * 5000 + b"}"), "not JSON"),
    "payload lone surrogate": (token(payload=b'{"iss":"i","sub":"\\ud800"}'), "lone surrogate"),
    "payload deep": (token(payload=b'{"iss":"i","x":' + b"[" * 3000 + b"]" * 3000 + b"}"), "nested deeper"),
    "payload UTF-16": (token(payload=PAYLOAD.decode().encode("utf-16")), "payload is refused: not UTF-8"),
    "payload Latin-1": (token(payload=b'{"iss":"\xe9"}'), "payload is refused: not UTF-8"),
}


@pytest.mark.parametrize(("text", "why"), MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_strict_token_is_refused(text, why):
    with pytest.raises(TokenMalformed) as refused:
        parse_token(text)
    assert why in refused.value.detail
    assert len(refused.value.detail) < 200


@pytest.mark.parametrize(
    "algorithm",
    [
        "none",
        "None",
        "nOnE",
        "",
        "HS256",
        "HS512",
        "RS1",
        "ES256K",
        "Ed448",
        "RSA-OAEP",
        "rs256",
        "RS256\n",
        "dir",
        "ML-DSA-65",
    ],
)
def test_other_algorithms_are_refused_by_name(algorithm):
    header = json.dumps({"alg": algorithm}).encode()
    with pytest.raises(TokenAlgorithmRefused, match="is none of RS256, RS384"):
        parse_token(token(header))


def test_a_token_without_iss_says_so():
    for payload in (b"{}", b'{"iss":null}', b'{"Iss":"https://issuer.example"}'):
        with pytest.raises(ClaimMissing, match="no iss claim") as refused:
            parse_token(token(payload=payload))
        assert refused.value.metadata == {"claim": "iss"}


@pytest.mark.parametrize("issuer", [5, [], {}, True, "", "a" * 1025, ["https://issuer.example"]])
def test_an_iss_that_is_no_url_is_refused(issuer):
    with pytest.raises(ClaimInvalid, match="iss claim"):
        parse_token(token(payload=json.dumps({"iss": issuer}).encode()))


def test_every_byte_of_the_base64url_alphabet_is_read():
    alphabet = string.ascii_letters + string.digits + "-_"
    parsed = parse_token(f"{encode(HEADER)}.{encode(PAYLOAD)}.{alphabet}")
    assert encode(parsed.jws.signature) == alphabet
