"""The JSON of requests: what it may look like, and where the token may stand."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.api.server import body, key_request, p256, pem, proof
from tests.e2e.against_fulcio.cases import (
    CSR,
    EMAIL,
    KEY,
    PROOF,
    TOKEN,
    Different,
    Same,
    csr_of,
    key,
    person,
    post,
    with_header,
    with_token,
)
from tests.e2e.against_fulcio.comparison import summary, visible
from tests.e2e.against_fulcio.issuers import Issuers
from tests.e2e.against_fulcio.servers import Ask

ANY_KEY = {"publicKeyRequest": key_request(EMAIL, key())}
# One whose base64 has padding and both characters in which the alphabets differ.
PROOF_TEXT = next(text for text in iter(lambda: proof(key(), EMAIL), "") if {"+", "/", "="} <= set(text))


def content(text: bytes):
    return lambda _: Ask(content=text)


def changed(**fields: Any):
    """The usual request, members added or replaced; `...` leaves one out."""

    def build(issuers: Issuers) -> Ask:
        message = body(person(issuers), EMAIL, key()) | fields
        return post({name: value for name, value in message.items() if value is not ...})

    return build


def request(**fields: Any):
    """The same inside publicKeyRequest."""
    inside = ANY_KEY["publicKeyRequest"] | fields
    return changed(publicKeyRequest={name: value for name, value in inside.items() if value is not ...})


def algorithm(value: Any):
    public_key = {"content": pem(key()), "algorithm": value}
    return request(publicKey={name: member for name, member in public_key.items() if member is not ...})


def after(text: bytes, *, before: bytes = b""):
    return lambda issuers: Ask(content=before + json.dumps(body(person(issuers), EMAIL, key())).encode() + text)


def headers(**named: str):
    def build(issuers: Issuers) -> Ask:
        return post(body(person(issuers), EMAIL, key()), **named)

    return build


def snake(issuers: Issuers) -> dict[str, Any]:
    usual = ANY_KEY["publicKeyRequest"]
    return {
        "credentials": {"oidc_identity_token": person(issuers)},
        "public_key_request": {"public_key": usual["publicKey"], "proof_of_possession": PROOF_TEXT},
    }


def url_safe(text: str) -> str:
    return text.replace("+", "-").replace("/", "_")


def v1(**fields: Any):
    usual = {
        "publicKey": {"content": base64.b64encode(pem(key()).encode()).decode(), "algorithm": "ecdsa"},
        "signedEmailAddress": PROOF_TEXT,
        "certificateSigningRequest": None,
    }
    message = {name: value for name, value in (usual | fields).items() if value is not ...}
    return lambda issuers: post(message, version=1, Authorization=f"Bearer {person(issuers)}")


ALREADY_SET = "oneof dev.sigstore.fulcio.v2.CreateSigningCertificateRequest.key is already set"
DER = base64.b64encode(base64.b64decode("".join(pem(key()).splitlines()[1:-1]))).decode()

SAME = {
    # Where the token stands.
    "token in the body": Same(lambda i: with_token(person(i))),
    "token in the header": Same(lambda i: with_header(f"Bearer {person(i)}")),
    "token in the header without a scheme": Same(lambda i: with_header(person(i))),
    "two spaces after the scheme": Same(lambda i: with_header(f"Bearer  {person(i)}")),
    "another scheme": Same(lambda i: with_header(f"Basic {person(i)}"), TOKEN),
    "scheme alone": Same(lambda _: with_header("Bearer"), TOKEN),
    "scheme twice": Same(lambda i: with_header(f"Bearer Bearer {person(i)}"), TOKEN),
    "something after the token": Same(lambda i: with_header(f"Bearer {person(i)}, x"), TOKEN),
    "empty header": Same(lambda _: with_header(""), TOKEN),
    "no token": Same(changed(credentials=...), TOKEN),
    "null credentials": Same(changed(credentials=None), TOKEN),
    "empty credentials": Same(changed(credentials={}), TOKEN),
    "body before header": Same(headers(Authorization="Bearer x")),
    "bad token in the body, good one in the header": Same(
        lambda i: post(body("x", EMAIL, key()), Authorization=f"Bearer {person(i)}"), TOKEN
    ),
    "empty token in the body, good one in the header": Same(
        lambda i: post(body("", EMAIL, key()), Authorization=f"Bearer {person(i)}")
    ),
    "blank token in the body, good one in the header": Same(
        lambda i: post(body(" ", EMAIL, key()), Authorization=f"Bearer {person(i)}"), TOKEN
    ),
    "gRPC metadata as a header": Same(
        lambda i: post(ANY_KEY, Grpc_Metadata_oidcidentitytoken=person(i)), TOKEN
    ),
    # What does not matter.
    "text/plain": Same(headers(Content_Type="text/plain")),
    "a form": Same(headers(Content_Type="application/x-www-form-urlencoded")),
    "another charset": Same(headers(Content_Type="application/json; charset=utf-16")),
    "empty content type": Same(headers(Content_Type="")),
    "content encoding": Same(headers(Content_Encoding="gzip")),
    "Accept of sigstore-python": Same(headers(Accept="application/pem-certificate-chain")),
    "Accept of browsers": Same(headers(Accept="text/html")),
    "unknown members": Same(changed(novelty={"a": [1, None, "x"]})),
    "space before": Same(after(b"", before=b" \r\n\t")),
    "garbage after": Same(after(b" garbage")),
    "another message after": Same(after(b"{}")),
    # Names.
    "snake case": Same(lambda i: post(snake(i))),
    "snake case with a certificate request": Same(
        lambda i: post({"credentials": snake(i)["credentials"], "certificate_signing_request": csr_of()})
    ),
    "both names of a member": Same(
        lambda _: post({"credentials": {"oidcIdentityToken": "a", "oidc_identity_token": "b"}}),
        '400 proto: (line 1:44): duplicate field "oidc_identity_token"',
    ),
    # One of two.
    "certificate request": Same(changed(publicKeyRequest=..., certificateSigningRequest=csr_of())),
    "certificate request beside null": Same(changed(publicKeyRequest=None, certificateSigningRequest=csr_of())),
    "key beside null": Same(changed(certificateSigningRequest=None)),
    "key and certificate request": Same(
        lambda _: post({"publicKeyRequest": {}, "certificateSigningRequest": csr_of()}),
        f'400 proto: (line 1:26): error parsing "certificateSigningRequest", {ALREADY_SET}',
    ),
    "key and empty certificate request": Same(
        lambda _: post({"publicKeyRequest": {}, "certificateSigningRequest": ""}),
        f'400 proto: (line 1:26): error parsing "certificateSigningRequest", {ALREADY_SET}',
    ),
    "neither": Same(changed(publicKeyRequest=...), KEY),
    "empty key": Same(changed(publicKeyRequest={}), KEY),
    "null key": Same(request(publicKey=None), KEY),
    # The algorithm is never looked at.
    **{
        f"algorithm {value!r}": Same(algorithm(value))
        for value in (..., "ECDSA", "ecdsa", "RSA", "RSA_PSS", "PUBLIC_KEY_ALGORITHM_UNSPECIFIED", "", 0, 1, 77, -1, None)
    },
    # Bytes.
    "base64, padded": Same(request(proofOfPossession=PROOF_TEXT)),
    "base64, not padded": Same(request(proofOfPossession=PROOF_TEXT.rstrip("="))),
    "base64url, padded": Same(request(proofOfPossession=url_safe(PROOF_TEXT))),
    "base64url, not padded": Same(request(proofOfPossession=url_safe(PROOF_TEXT).rstrip("="))),
    "base64 with newlines that keep the length": Same(
        request(proofOfPossession=PROOF_TEXT[:40] + "\n\n\n\n" + PROOF_TEXT[40:])
    ),
    "empty proof": Same(request(proofOfPossession=""), PROOF),
    "null proof": Same(request(proofOfPossession=None), PROOF),
    "no proof": Same(request(proofOfPossession=...), PROOF),
    # What is no JSON, or not this message.
    "empty body": Same(content(b""), TOKEN),
    "blank body": Same(content(b" \n"), TOKEN),
    "{}": Same(content(b"{}"), TOKEN),
    "null": Same(content(b"null"), "400 proto: syntax error (line 1:1): unexpected token null"),
    "[]": Same(content(b"[]"), "400 proto: syntax error (line 1:1): unexpected token ["),
    "{": Same(content(b"{"), "400 unexpected EOF"),
    "{bad": Same(content(b"{bad"), "400 invalid character 'b' looking for beginning of object key string"),
    "single quotes": Same(
        content(b"{'a':1}"), "400 invalid character '\\'' looking for beginning of object key string"
    ),
    "comma at the end": Same(
        content(b'{"a":1,}'), "400 invalid character '}' looking for beginning of object key string"
    ),
    "byte order mark": Same(content(b"\xef\xbb\xbf{}"), "400 invalid character 'ï' looking for beginning of value"),
    "NaN": Same(content(b'{"a":NaN}'), "400 invalid character 'N' looking for beginning of value"),
    "no UTF-8": Same(
        content(b'{"credentials":{"oidcIdentityToken":"\xff"}}'), "400 proto: syntax error (line 1:37): invalid UTF-8"
    ),
    "unknown escape": Same(content(b'{"a":"\\x"}'), "400 invalid character 'x' in string escape code"),
    "too deep for both": Same(
        content(b'{"a":' + b"[" * 10_001 + b"]" * 10_001 + b"}"), "400 invalid character '[' exceeded max depth"
    ),
    "too long for both": Same(content(b" " * (4 << 20) + b" "), "400 http: request body too large"),
    # v1.
    "v1, key in PEM": Same(v1(), "201"),
    "v1, key in DER": Same(v1(publicKey={"content": DER}), "201"),
    "v1, key in base64url": Same(
        v1(publicKey={"content": base64.urlsafe_b64encode(pem(key()).encode()).decode().rstrip("=")}), "201"
    ),
    "v1, unknown algorithm": Same(v1(publicKey={"content": DER, "algorithm": "any"}), "201"),
    "v1, certificate request": Same(v1(publicKey=..., certificateSigningRequest=csr_of()), "201"),
    "v1, certificate request before key": Same(v1(certificateSigningRequest=csr_of(p256())), "201"),
    "v1, bad certificate request before key": Same(v1(certificateSigningRequest="AAAA"), CSR),
    "v1, empty certificate request": Same(v1(certificateSigningRequest=""), "201"),
    "v1, wrong proof": Same(v1(signedEmailAddress=proof(key(), "eve@example.com")), PROOF),
    "v1, empty key": Same(v1(publicKey={"content": ""}), KEY),
    "v1, broken key": Same(v1(publicKey={"content": "AAAA"}), KEY),
    "v1, no key and no token": Same(lambda _: Ask(path="/api/v1/signingCert"), KEY),
    "v1, empty key and no token": Same(lambda _: post({"publicKey": {}}, version=1), TOKEN),
    "v1, token in the body": Same(
        lambda i: post({"credentials": {"oidcIdentityToken": person(i)}, "publicKey": {"content": DER}}, version=1), TOKEN
    ),
    "v1, snake case": Same(v1(publicKey=..., public_key={"content": DER}), KEY),
    "v1, the body of v2": Same(
        lambda i: post(ANY_KEY, version=1, Authorization=f"Bearer {person(i)}"), KEY
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SAME)
def test_a_body_is_answered_alike(pair, issuers, case):
    fulcio, dayfly = pair.ask(SAME[case].ask(issuers))
    assert summary(fulcio).startswith(SAME[case].answer)
    assert visible(dayfly, fulcio) == visible(fulcio)


ECHO = "a message never repeats a value, which may be a token, a proof or a key; Fulcio's does"
SCHEME = "RFC 9110 §11.1: the scheme is case-insensitive"
CODE_POINTS = "an incomplete emulation is as good as any: no client sends it"
LIMITS = "limits that keep an unauthenticated request cheap"

UNEXPECTED = "400 proto: syntax error (line 1:{}): unexpected token "
INVALID = "400 proto: (line 1:{}): invalid value for {}"


def bad_proof(text: Any):
    return content(json.dumps({"publicKeyRequest": {"proofOfPossession": text}}).encode())


DIFFERENT = {
    "scheme in lower case": Different(lambda i: with_header(f"bearer {person(i)}"), TOKEN, "200", SCHEME),
    "scheme in upper case": Different(lambda i: with_header(f"BEARER {person(i)}"), TOKEN, "200", SCHEME),
    "scheme inside the token": Different(
        lambda i: with_header(person(i)[:30] + "Bearer " + person(i)[30:]),
        "200",
        TOKEN,
        "Fulcio takes the scheme out wherever it stands",
    ),
    "tab after the scheme": Different(
        lambda i: with_header(f"Bearer\t{person(i)}"),
        "500 header key ",
        TOKEN,
        "Fulcio blames itself for it",
    ),
    "gRPC metadata beside the header": Different(
        lambda i: with_header(f"Bearer {person(i)}", Grpc_Metadata_oidcidentitytoken=person(i)),
        TOKEN,
        "200",
        "grpc-gateway's passage from HTTP to gRPC, which is not there",
    ),
    "deep": Different(content(b'{"a":' + b"[" * 40 + b"]" * 40 + b"}"), TOKEN, "400 invalid character '['", LIMITS),
    "long": Different(content(b" " * (65 << 10)), TOKEN, "400 http: request body too large", LIMITS),
    "lone surrogate": Different(
        content(b'{"credentials":{"oidcIdentityToken":"\\ud800"}}'),
        "400 proto: unexpected EOF",
        "400 proto: syntax error (line 1:37): invalid escape code in string",
        CODE_POINTS,
    ),
    "a string": Different(content(b'"x"'), UNEXPECTED.format(1) + '"x"', UNEXPECTED.format(1) + "string", ECHO),
    "a number": Different(content(b"5"), UNEXPECTED.format(1) + "5", UNEXPECTED.format(1) + "number", ECHO),
    "a number for a message": Different(
        content(b'{"credentials":5}'), UNEXPECTED.format(16) + "5", UNEXPECTED.format(16) + "number", ECHO
    ),
    **{
        f"{case} for bytes": Different(
            bad_proof(value),
            INVALID.format(44, f"bytes field proofOfPossession: {json.dumps(value)}"),
            INVALID.format(44, "bytes field proofOfPossession"),
            ECHO,
        )
        for case, value in {
            "no base64": "!!!!",
            "both alphabets": "+-AA",
            "too much padding": "AA====",
            "a space": "AA AA===",
            "a newline": "AAAA\nAA==",
            "a number": 5,
            "a boolean": True,
        }.items()
    },
    "a number for a string": Different(
        content(b'{"credentials":{"oidcIdentityToken":5}}'),
        INVALID.format(37, "string field oidcIdentityToken: 5"),
        INVALID.format(37, "string field oidcIdentityToken"),
        ECHO,
    ),
    **{
        f"{value!r} for an enum": Different(
            content(b'{"publicKeyRequest":{"publicKey":{"algorithm":' + json.dumps(value).encode() + b"}}}"),
            INVALID.format(47, f"enum field algorithm: {json.dumps(value)}"),
            INVALID.format(47, "enum field algorithm"),
            ECHO,
        )
        for value in (1.5, 2**40, True)
    },
    "v1, PEM without base64": Different(
        lambda _: post({"publicKey": {"content": "-----BEGIN PUBLIC KEY-----"}}, version=1),
        INVALID.format(27, 'bytes field content: "-----BEGIN PUBLIC KEY-----"'),
        INVALID.format(27, "bytes field content"),
        ECHO,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", DIFFERENT)
def test_what_differs_on_purpose_still_differs(pair, issuers, case):
    row = DIFFERENT[case]
    fulcio, dayfly = pair.ask(row.ask(issuers))
    assert summary(fulcio).startswith(row.fulcio)
    assert summary(dayfly).startswith(row.dayfly)
    assert visible(dayfly, fulcio) != visible(fulcio)
