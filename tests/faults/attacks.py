"""Tokens as attackers make them, for a provider whose key they do not have."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from joserfc.jws import JWSRegistry

from tests.oidc.provider import Provider, make_key, sign


def b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def compact(header: Any, payload: Any, signature: bytes = b"signature") -> str:
    parts = (part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload))
    return ".".join([*map(b64, parts), b64(signature)])


def hs256(secret: bytes, claims: dict[str, Any]) -> str:
    signing_input = f"{b64(json.dumps({'alg': 'HS256', 'kid': 'key-1'}).encode())}.{b64(json.dumps(claims).encode())}"
    return f"{signing_input}.{b64(hmac.digest(secret, signing_input.encode(), 'sha256'))}"


def truly_signed(provider: Provider, header: bytes, payload: bytes) -> str:
    """By the provider's own key, whatever the parts say: its signature excuses nothing."""
    signing_input = f"{b64(header)}.{b64(payload)}"
    return f"{signing_input}.{b64(JWSRegistry.algorithms['ES256'].sign(signing_input.encode(), provider.keys[0]))}"


def without_a_fetch(provider: Provider, now: datetime) -> Iterator[tuple[str, str, str]]:
    """Name, token and expected reason of those that are refused for what they are, before anybody is asked."""
    claims = provider.claims(now)
    honest = provider.token(now)
    header, payload, signature = honest.split(".")
    key = provider.keys[0]
    for name in ("none", "None", "nOnE", "NONE", "HS256", "hs256", "HS512", "es256", "ES256K", "ES257", "RSA1_5", "dir",
                 "PBES2-HS256+A128KW", "EdDSA ", "Ed448", "", " ES256"):  # fmt: skip
        yield f"alg {name!r}", compact({"alg": name, "kid": "key-1"}, claims), "TOKEN_ALGORITHM_REFUSED"
    yield "HS256 with the PEM", hs256(key.as_pem(private=False), claims), "TOKEN_ALGORITHM_REFUSED"
    yield "HS256 with the DER", hs256(key.as_der(private=False), claims), "TOKEN_ALGORITHM_REFUSED"
    yield (
        "HS256 with the JWK",
        hs256(json.dumps(key.as_dict(private=False)).encode(), claims),
        "TOKEN_ALGORITHM_REFUSED",
    )
    yield "HS256 with nothing", hs256(b"", claims), "TOKEN_ALGORITHM_REFUSED"
    for member, value in (
        ("crit", []), ("crit", ["exp"]), ("crit", ["b64"]), ("crit", None), ("crit", "exp"), ("b64", False), ("b64", True),
        ("zip", "DEF"), ("zip", None), ("enc", "A256GCM"), ("cty", "JWT"), ("cty", "jwt"), ("cty", 1), ("typ", 1),
        ("jwk", key.as_dict(private=False)), ("jwk", {}), ("kid", 1), ("kid", None), ("kid", ["key-1"]), ("kid", {}),
        ("kid", True), ("alg", ["ES256"]), ("alg", None), ("alg", 256), ("alg", {}), ("alg", True),
    ):  # fmt: skip
        content = json.dumps({"alg": "ES256", "kid": "key-1", member: value}).encode()
        yield (
            f"{member} {value!r}"[:40],
            truly_signed(provider, content, json.dumps(claims).encode()),
            "TOKEN_MALFORMED",
        )
    body = json.dumps(claims).encode()
    for name, content in {
        "alg twice": b'{"alg":"none","alg":"ES256"}',
        "alg twice, escaped": b'{"alg":"none","\\u0061lg":"ES256"}',
        "kid twice": b'{"alg":"ES256","kid":"x","kid":"key-1"}',
        "no alg": b"{}",
        "list": b'["ES256"]',
        "text": b'"ES256"',
        "null": b"null",
        "trailing": b'{"alg":"ES256"}{}',
        "comma": b'{"alg":"ES256",}',
        "comment": b'{"alg":"ES256"/**/}',
        "UTF-16": '{"alg":"ES256"}'.encode("utf-16"),
        "BOM": b'\xef\xbb\xbf{"alg":"ES256"}',
        "NUL": b'{"alg":"ES256"}\x00',
        "deep": b'{"alg":"ES256","x":' + b"[" * 3000 + b"]" * 3000 + b"}",
    }.items():
        yield f"header {name}", truly_signed(provider, content, body), "TOKEN_MALFORMED"
    for name, content in {
        "iss twice": body[:-1] + b',"iss":"https://evil.example"}',
        "sub twice": body[:-1] + b',"sub":"root"}',
        "aud twice, escaped": body[:-1] + b',"\\u0061ud":"x"}',
        "twice, deep": body[:-1] + b',"x":{"a":1,"a":2}}',
        "exp NaN": body[:-1] + b',"x":NaN}',
        "Infinity": body[:-1] + b',"x":-Infinity}',
        "1e400": body[:-1] + b',"x":1e400}',
        "10^5000": body[:-1] + b',"x":1' + b"0" * 5000 + b"}",
        "deep": body[:-1] + b',"x":' + b"[" * 3000 + b"]" * 3000 + b"}",
        "deep objects": body[:-1] + b',"x":' + b'{"a":' * 1500 + b"1" + b"}" * 1500 + b"}",
        "lone surrogate": body[:-1] + b',"x":"\\ud800"}',
        "UTF-16": body.decode().encode("utf-16"),
        "BOM": b"\xef\xbb\xbf" + body,
        "Latin-1": body[:-1] + b',"x":"\xe9"}',
        "overlong UTF-8": body[:-1] + b',"x":"\xc0\xaf"}',
        "control character": body[:-1] + b',"x":"\x01"}',
        "list": b"[" + body + b"]",
        "two objects": body + body,
        "gzip": b"\x1f\x8b\x08" + body,
    }.items():
        yield f"payload {name}", truly_signed(provider, b'{"alg":"ES256","kid":"key-1"}', content), "TOKEN_MALFORMED"
    for name, token in {
        "padding": honest + "==",
        "padded header": f"{header}=.{payload}.{signature}",
        "space": honest.replace(".", ". ", 1),
        "newline": honest.replace(".", ".\n", 1),
        "base64 alphabet": f"{header}.{payload}.+/+/",
        "unused bits": f"{header}.{payload}.{signature[:-1]}" + ("B" if signature[-1] != "B" else "C"),
        "two parts": f"{header}.{payload}",
        "four parts": honest + ".x",
        "JWE": "a.b.c.d.e",
        "dots": "." * 10_000,
        "no signature": f"{header}.{payload}.",
        "JSON serialization": json.dumps({"protected": header, "payload": payload, "signature": signature}),
        "JSON serialization, several": json.dumps({"payload": payload, "signatures": [{"protected": header}]}),
        "PEM": "-----BEGIN CERTIFICATE-----",
        "URL": "https://evil.example/token",
        "not ASCII": honest + "\u017c",
        "full-width dots": honest.replace(".", "\uff0e"),
        "too long": provider.token(now, x="a" * 13_000),
        "a megabyte": "a" * (900 << 10),
    }.items():
        reason = "TOKEN_MALFORMED" if len(token) < 100_000 else "MALFORMED_REQUEST"
        yield name, token, reason
    for name, issuer, reason in (
        ("another issuer", "https://evil.example", "ISSUER_NOT_TRUSTED"),
        ("a slash more", provider.issuer + "/", "ISSUER_NOT_TRUSTED"),
        ("in capitals", provider.issuer.upper(), "ISSUER_NOT_TRUSTED"),
        ("a newline more", provider.issuer + "\n", "ISSUER_NOT_TRUSTED"),
        ("with a query", provider.issuer + "?x", "ISSUER_NOT_TRUSTED"),
        ("in a list", [provider.issuer], "CLAIM_INVALID"),
        ("a number", 5, "CLAIM_INVALID"),
        ("empty", "", "CLAIM_INVALID"),
        ("null", None, "CLAIM_MISSING"),
        ("long", "https://" + "a" * 2000, "CLAIM_INVALID"),
        ("a surrogate pair", "https://\U0001f512.example", "ISSUER_NOT_TRUSTED"),
    ):
        yield f"iss {name}", provider.token(now, iss=issuer), reason


def with_known_keys(provider: Provider, now: datetime) -> Iterator[tuple[str, str, str]]:
    """Name, token and expected reason of those that need the issuer's keys, and no others than are known."""
    claims = provider.claims(now)
    header, payload, signature = provider.token(now).split(".")
    stranger = make_key("ES256")
    header_alike = {"alg": "ES256", "kid": "key-1"}
    other_claims = b64(json.dumps(provider.claims(now, sub="root")).encode())
    for name, token in {
        "another key": sign(stranger, claims, header_alike),
        "another key and jku": sign(stranger, claims, header_alike | {"jku": f"{provider.issuer}/evil"}),
        "another key and x5u": sign(stranger, claims, header_alike | {"x5u": f"{provider.issuer}/evil"}),
        "another key and x5c": sign(stranger, claims, header_alike | {"x5c": ["MIIB"]}),
        "another payload": f"{header}.{other_claims}.{signature}",
        "zeros": f"{header}.{payload}.{b64(bytes(64))}",
        "ones": f"{header}.{payload}.{b64(bytes([255]) * 64)}",
        "DER": f"{header}.{payload}.{b64(bytes.fromhex('3006020101020101'))}",
        "one byte": f"{header}.{payload}.{b64(b'x')}",
        "a byte more": f"{header}.{payload}.{b64(base64.urlsafe_b64decode(signature + '==') + b'x')}",
        "a signature of another token": f"{header}.{payload}.{provider.token(now, x=1).rpartition('.')[2]}",
    }.items():
        yield name, token, "TOKEN_SIGNATURE_INVALID"
    for algorithm in ("RS256", "PS256", "ES384", "ES512", "EdDSA"):
        token = sign(make_key(algorithm), claims, {"alg": algorithm, "kid": "key-1"})
        yield f"{algorithm} with the kid of an ES256 key", token, "TOKEN_ALGORITHM_REFUSED"
    T = int(now.timestamp())
    for name, value, reason in (
        ("exp", T - 1, "TOKEN_EXPIRED"), ("exp", 0, "TOKEN_EXPIRED"), ("exp", ..., "CLAIM_MISSING"),
        ("exp", None, "CLAIM_MISSING"), ("exp", str(T + 60), "CLAIM_INVALID"), ("exp", True, "CLAIM_INVALID"),
        ("exp", [T + 60], "CLAIM_INVALID"), ("exp", {}, "CLAIM_INVALID"), ("exp", -1, "CLAIM_INVALID"),
        ("exp", (T + 60) * 1000, "CLAIM_INVALID"), ("exp", 10**15, "CLAIM_INVALID"), ("exp", 1e300, "CLAIM_INVALID"),
        ("exp", 10**4000, "CLAIM_INVALID"), ("nbf", T + 400, "TOKEN_NOT_YET_VALID"), ("nbf", "0", "CLAIM_INVALID"),
        ("iat", T + 400, "TOKEN_NOT_YET_VALID"), ("iat", "now", "CLAIM_INVALID"), ("iat", False, "CLAIM_INVALID"),
        ("iat", -5, "CLAIM_INVALID"), ("aud", "other", "TOKEN_AUDIENCE_MISMATCH"), ("aud", ..., "CLAIM_MISSING"),
        ("aud", "sigstore-evil", "TOKEN_AUDIENCE_MISMATCH"), ("aud", "Sigstore", "TOKEN_AUDIENCE_MISMATCH"),
        ("aud", "sigstore ", "TOKEN_AUDIENCE_MISMATCH"), ("aud", [], "TOKEN_AUDIENCE_MISMATCH"),
        ("aud", [["sigstore"]], "CLAIM_INVALID"), ("aud", {"sigstore": 1}, "CLAIM_INVALID"), ("aud", 5, "CLAIM_INVALID"),
        ("aud", ["sigstore", None], "CLAIM_INVALID"), ("sub", 5, "CLAIM_INVALID"), ("sub", {}, "CLAIM_INVALID"),
        ("sub", ["x"], "CLAIM_INVALID"), ("_claim_names", {"g": "s"}, "CLAIM_INVALID"), ("_claim_names", [], "CLAIM_INVALID"),
    ):  # fmt: skip
        yield f"{name} {value!r}"[:40], provider.token(now, **{name: value}), reason


def with_unknown_keys(provider: Provider, now: datetime) -> Iterator[tuple[str, str, str]]:
    """Name, token and expected reason of those for whose key the issuer may be asked, together once."""
    claims = provider.claims(now)
    for name, kid in {
        "an unknown kid": "key-2",
        "a path": "../../etc/passwd",
        "SQL": "' OR 1=1 --",
        "a command": "$(reboot)",
        "a URL": "https://evil.example/key",
        "NUL": "key-1\x00",
        "in capitals": "KEY-1",
        "long": "k" * 5000,
        "Unicode": "key\u2010\uff11",
        "a space more": "key-1 ",
    }.items():
        yield f"kid {name}", sign(provider.keys[0], claims, {"alg": "ES256", "kid": kid}), "TOKEN_KEY_UNKNOWN"
    yield "no kid", sign(make_key("ES256"), claims, {"alg": "ES256"}), "TOKEN_SIGNATURE_INVALID"
    yield "an empty kid", sign(make_key("ES256"), claims, {"alg": "ES256", "kid": ""}), "TOKEN_SIGNATURE_INVALID"
