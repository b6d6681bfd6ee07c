"""Identity tokens: which prove an identity."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.e2e.against_fulcio.cases import EMAIL, PERSON, TOKEN, Different, Same, person, with_token
from tests.e2e.against_fulcio.comparison import summary, visible
from tests.e2e.against_fulcio.issuers import Issuers

HOUR = 3600


def header(**members: Any):
    return lambda issuers: with_token(issuers.token("email", PERSON, members))


def claims(challenge: str = EMAIL, **members: Any):
    return lambda issuers: with_token(person(issuers, **members), challenge)


def from_now(name: str, seconds: float):
    return lambda issuers: with_token(person(issuers, **{name: int(time.time()) + seconds}))


def of(path: str, challenge: str = "system:x", **members: Any):
    return lambda issuers: with_token(issuers.token(path, members), challenge)


def payload(change: Any):
    """The claims as a text, changed: what no JSON library would write."""

    def build(issuers: Issuers):
        usual = {"iss": issuers.issuer("email"), "aud": "sigstore", "exp": int(time.time()) + 300, **PERSON}
        text: bytes = change(json.dumps(usual)[:-1])
        return with_token(issuers.token("email", payload=text))

    return build


def text(change: Any):
    return lambda issuers: with_token(change(person(issuers)))


def parts(change: Any):
    return text(lambda token: ".".join(change(*token.split("."))))


POD = {"sub": "system:x", "kubernetes.io": {"namespace": "n", "serviceaccount": {"name": "s"}}}

SAME = {
    # The compact form.
    "space before": Same(text(lambda token: f" {token}")),
    "newline after": Same(text(lambda token: f"{token}\n")),
    "two parts": Same(text(lambda _: "a.b"), TOKEN),
    "four parts": Same(text(lambda token: f"{token}.x"), TOKEN),
    "a dot after": Same(text(lambda token: f"{token}."), TOKEN),
    "dots": Same(text(lambda _: ".."), TOKEN),
    "no base64": Same(text(lambda _: "a.b.c"), TOKEN),
    "JSON serialization": Same(
        text(lambda token: json.dumps(dict(zip(("protected", "payload", "signature"), token.split("."), strict=True)))),
        TOKEN,
    ),
    "padded payload": Same(parts(lambda h, p, s: (h, p + "=", s)), TOKEN),
    "padded signature": Same(parts(lambda h, p, s: (h, p, s + "=")), TOKEN),
    "standard alphabet": Same(parts(lambda h, p, s: (h, p, "+/" + s[2:])), TOKEN),
    # The signature.
    "ES256": Same(header(alg="ES256", kid="ec")),
    "EdDSA": Same(header(alg="EdDSA", kid="ed")),
    "PS256": Same(header(alg="PS256")),
    "an algorithm that the issuer does not advertise": Same(
        lambda issuers: with_token(issuers.token("rs256-only", PERSON, {"alg": "ES256", "kid": "ec"})), TOKEN
    ),
    "the one that it advertises": Same(lambda issuers: with_token(issuers.token("rs256-only", PERSON))),
    "none": Same(header(alg="none"), TOKEN),
    "HS256": Same(header(alg="HS256"), TOKEN),
    "RS512 on the label alone": Same(header(alg="RS512"), TOKEN),
    "no signature": Same(parts(lambda h, p, _: (h, p, "")), TOKEN),
    "forged signature": Same(parts(lambda h, p, s: (h, p, s[:-8] + "AAAAAAAA")), TOKEN),
    "changed payload": Same(
        lambda issuers: with_token(
            ".".join(
                [person(issuers).split(".")[0], person(issuers, email="eve@example.com").split(".")[1], "AAAA"]
            )
        ),
        TOKEN,
    ),
    "no kid": Same(header(kid=...)),
    "empty kid": Same(header(kid="")),
    "unknown kid": Same(header(kid="unknown"), TOKEN),
    "kid of another key": Same(header(kid="ec"), TOKEN),
    "kid is a number": Same(header(kid=5), TOKEN),
    "typ of access tokens": Same(header(typ="at+jwt")),
    "no typ": Same(header(typ=...)),
    "cty": Same(header(cty="json")),
    "jku and x5u are not followed": Same(header(jku="http://127.0.0.1:9/", x5u="http://127.0.0.1:9/")),
    "unknown members": Same(header(unknown=[1])),
    "crit": Same(header(crit=["x"], x=1), TOKEN),
    "b64 false": Same(header(b64=False), TOKEN),
    "jwk of a shared secret": Same(header(jwk={"kty": "oct", "k": "AAAA"}), TOKEN),
    # The issuer.
    "another issuer": Same(claims(iss="https://elsewhere.example"), TOKEN),
    "no issuer": Same(claims(iss=...), TOKEN),
    "issuer is null": Same(claims(iss=None), TOKEN),
    "issuer is a number": Same(claims(iss=5), TOKEN),
    "issuer is empty": Same(claims(iss=""), TOKEN),
    "issuer with a slash": Same(lambda i: with_token(person(i, iss=i.issuer("email/"))), TOKEN),
    "issuer in capitals": Same(lambda i: with_token(person(i, iss=i.issuer("EMAIL"))), TOKEN),
    "wildcard": Same(of("clusters/abc", **POD)),
    "wildcard in the middle": Same(of("organizations/octo/jobs", **POD), "400 template: "),
    "wildcard with all its characters": Same(of("clusters/a-b_C9", **POD)),
    "wildcard takes no dot": Same(of("clusters/a.b", **POD), TOKEN),
    "wildcard takes no slash": Same(of("clusters/a/b", **POD), TOKEN),
    "wildcard takes something": Same(of("clusters/", **POD), TOKEN),
    "wildcard takes no escape": Same(of("clusters/a%20", **POD), TOKEN),
    "wildcard ends with the text": Same(of("clusters/a\n", **POD), TOKEN),
    # The audience.
    "audience in a list": Same(claims(aud=["sigstore"])),
    "one audience of several": Same(claims(aud=["foo", "sigstore"])),
    "another audience": Same(claims(aud="foo"), TOKEN),
    "other audiences": Same(claims(aud=["foo", "bar"]), TOKEN),
    "no audience": Same(claims(aud=...), TOKEN),
    "audience is null": Same(claims(aud=None), TOKEN),
    "empty list of audiences": Same(claims(aud=[]), TOKEN),
    "audience is a number": Same(claims(aud=5), TOKEN),
    "a number among audiences": Same(claims(aud=["sigstore", 5]), TOKEN),
    "audience in capitals": Same(claims(aud="Sigstore"), TOKEN),
    "the audience that the issuer's entry names": Same(
        lambda issuers: with_token(issuers.token("audience", {**PERSON, "aud": "another-audience"}))
    ),
    "not the audience that the issuer's entry names": Same(
        lambda issuers: with_token(issuers.token("audience", PERSON)), TOKEN
    ),
    # The times.
    "just expired": Same(from_now("exp", -1), TOKEN),
    "no exp": Same(claims(exp=...), TOKEN),
    "exp is null": Same(claims(exp=None), TOKEN),
    "exp is a boolean": Same(claims(exp=True), TOKEN),
    "exp is zero": Same(claims(exp=0), TOKEN),
    "exp is negative": Same(claims(exp=-1), TOKEN),
    "exp with a fraction": Same(from_now("exp", 300.5)),
    "exp in a year": Same(from_now("exp", 365 * 24 * HOUR)),
    "exp in a number beyond 64 bits": Same(claims(exp=10**30), TOKEN),
    "nbf within five minutes": Same(from_now("nbf", 200)),
    "nbf beyond five minutes": Same(from_now("nbf", 400), TOKEN),
    "nbf is null": Same(claims(nbf=None)),
    "nbf is a text": Same(claims(nbf="x"), TOKEN),
    "no iat": Same(claims(iat=...)),
    "iat of yesterday": Same(from_now("iat", -24 * HOUR)),
    "iat a little ahead": Same(from_now("iat", 200)),
    "iat is a text": Same(claims(iat="x"), TOKEN),
    # Other claims.
    "nobody looks at azp, nonce, jti, at_hash": Same(claims(azp="x", nonce="x", jti="x", at_hash="x")),
    "claims of any shape": Same(claims(groups=[1, {"a": 2}], name=5, acr=None)),
    "subject is a number": Same(claims(sub=5), TOKEN),
    "distributed claims with their source": Same(
        claims(_claim_names={"a": "s"}, _claim_sources={"s": {"endpoint": "x"}})
    ),
    "distributed claims without": Same(claims(_claim_names={"a": "s"}), TOKEN),
    "_claim_names is a number": Same(claims(_claim_names=5), TOKEN),
    "8 KiB of claims": Same(claims(padding="x" * 8192)),
    # The payload's JSON.
    "space around the payload": Same(payload(lambda open_: f" {open_}}} ".encode())),
    "garbage after the payload": Same(payload(lambda open_: f"{open_}}}x".encode()), TOKEN),
    "a list for a payload": Same(payload(lambda _: b"[]"), TOKEN),
    "null for a payload": Same(payload(lambda _: b"null"), TOKEN),
    "NaN in the payload": Same(payload(lambda open_: f'{open_},"x":NaN}}'.encode()), TOKEN),
    "a control character in the payload": Same(payload(lambda open_: f'{open_},"x":"\t"}}'.encode()), TOKEN),
    "300 claims": Same(payload(lambda open_: (open_ + "".join(f',"c{n}":{n}' for n in range(300)) + "}").encode())),
}  # fmt: skip


@pytest.mark.parametrize("case", SAME)
def test_a_token_is_answered_alike(pair, issuers, case):
    fulcio, dayfly = pair.ask(SAME[case].ask(issuers))
    assert summary(fulcio).startswith(SAME[case].answer)
    assert visible(dayfly, fulcio) == visible(fulcio)


ONE_SPELLING = "one token has one spelling, so that it can be counted and recognised"
CONFUSION = "a header member that changes what is signed, or by whom, is refused and not ignored"
UNTYPED = "RFC 7519 and OpenID Connect give these members a type"
UNUSED = "Dayfly does not read this member"
DUPLICATE = "RFC 8725 §2.4: two readers of one token must not see two identities"
NO_TIME = "a time that cannot be meant"
SIZE = "limits that keep an unauthenticated request cheap"

DIFFERENT = {
    "newline inside": Different(text(lambda token: f"{token[:20]}\n{token[20:]}"), "200", TOKEN, ONE_SPELLING),
    "no-break space before": Different(text(lambda token: f"\u00a0{token}"), "200", TOKEN, ONE_SPELLING),
    "unused bits": Different(
        # 256 bytes of signature leave two bits of the last character unused.
        parts(lambda h, p, s: (h, p, s[:-1] + chr(ord(s[-1]) + 1))), "200", TOKEN, ONE_SPELLING
    ),
    "jwk": Different(
        lambda i: with_token(i.token("email", PERSON, {"jwk": i.rsa.as_dict(private=False)})), "200", TOKEN, CONFUSION
    ),
    "crit b64": Different(header(crit=["b64"], b64=True), "200", TOKEN, CONFUSION),
    "b64 true": Different(header(b64=True), "200", TOKEN, CONFUSION),
    "zip": Different(header(zip="DEF"), "200", TOKEN, CONFUSION),
    "enc": Different(header(enc="A128GCM"), "200", TOKEN, CONFUSION),
    "cty JWT": Different(header(cty="JWT"), "200", TOKEN, CONFUSION),
    "kid is null": Different(header(kid=None), "200", TOKEN, UNTYPED),
    "typ is a number": Different(header(typ=5), "200", TOKEN, UNTYPED),
    "exp is a text": Different(
        lambda i: with_token(person(i, exp=str(int(time.time()) + 300))), "200", TOKEN, UNTYPED
    ),
    "exp after 2100": Different(claims(exp=4_102_444_801), "200", TOKEN, NO_TIME),
    "nbf before 1970": Different(claims(nbf=-5), "200", TOKEN, NO_TIME),
    "iat in the future": Different(from_now("iat", 4000), "200", TOKEN, NO_TIME),
    "iat is null": Different(claims(iat=None), TOKEN, "200", "null is absent, as it is for nbf"),
    "x5c is broken": Different(header(x5c=["AAAA"]), TOKEN, "200", UNUSED),
    "at_hash is a number": Different(claims(at_hash=5), TOKEN, "200", UNUSED),
    "_claim_sources is a number": Different(claims(_claim_sources=5), TOKEN, "200", UNUSED),
    "a claim twice": Different(
        payload(lambda open_: f'{{"email":"eve@example.com",{open_[1:]}}}'.encode()), "200", TOKEN, DUPLICATE
    ),
    "a claim in another case": Different(
        payload(lambda open_: open_.replace('"email"', '"Email"').encode() + b"}"), "200", TOKEN, DUPLICATE
    ),
    "a claim in two cases": Different(
        payload(lambda open_: f'{open_},"EMAIL":"eve@example.com"}}'.encode()),
        "400 The signature supplied in the request could not be verified",
        "200",
        DUPLICATE,
    ),
    "no UTF-8": Different(payload(lambda open_: open_.encode() + b',"x":"\xff"}'), "200", TOKEN, DUPLICATE),
    "lone surrogate": Different(payload(lambda open_: f'{open_},"x":"\\ud800"}}'.encode()), "200", TOKEN, DUPLICATE),
    "number beyond a double": Different(payload(lambda open_: f'{open_},"x":1e400}}'.encode()), "200", TOKEN, DUPLICATE),
    "50 levels deep": Different(payload(lambda open_: f'{open_},"x":{"[" * 50}{"]" * 50}}}'.encode()), "200", TOKEN, SIZE),
    "more than 16 KiB": Different(claims(padding="x" * 12_500), "200", TOKEN, SIZE),
    "an issuer that is down": Different(
        lambda i: with_token(person(i, iss="http://127.0.0.1:9/dead")),
        TOKEN,
        TOKEN.replace("400", "503"),
        "the client did nothing wrong and may try again",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", DIFFERENT)
def test_what_differs_on_purpose_still_differs(pair, issuers, case):
    row = DIFFERENT[case]
    fulcio, dayfly = pair.ask(row.ask(issuers))
    assert summary(fulcio).startswith(row.fulcio)
    assert summary(dayfly).startswith(row.dayfly)
    assert dayfly.status_code != fulcio.status_code
