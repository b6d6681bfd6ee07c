"""The bodies that clients send, and what is made of them."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.api.wire import SigningBody, parse_v1, parse_v2
from ca.errors import KeyUnparsable, MalformedRequest
from ca.proof import prove
from ca.proof.model import KeyWithProof, SigningRequestPEM
from tests.proof.builders import CHALLENGE, DEFAULT_POLICY, csr, key_pem, p256, pem, proven, rsa_key, spki

TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl"
KEY = key_pem(p256().public_key())
PROOF = proven(p256()).unverified_proof
CSR = csr(p256()).unverified_csr


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def body(message: object) -> bytes:
    return json.dumps(message).encode()


def refused(parse, text: bytes) -> str:
    with pytest.raises(MalformedRequest) as caught:
        parse(text)
    return caught.value.public_message


# ---- clients ------------------------------------------------------------------------------------------------


def test_sigstore_js_sends_the_token_in_the_body():
    text = body(
        {
            "credentials": {"oidcIdentityToken": TOKEN},
            "publicKeyRequest": {
                "publicKey": {"algorithm": "ECDSA", "content": KEY.decode()},
                "proofOfPossession": b64(PROOF),
            },
        }
    )

    assert parse_v2(text) == SigningBody(TOKEN, KeyWithProof(KEY, PROOF))


@pytest.mark.parametrize("algorithm", ["ECDSA", "ED25519", "RSA"])
def test_cosign_3_names_an_algorithm_that_no_enum_has(algorithm):
    text = body(
        {
            "publicKeyRequest": {
                "publicKey": {"algorithm": algorithm, "content": KEY.decode()},
                "proofOfPossession": b64(PROOF),
            }
        }
    )

    assert parse_v2(text) == SigningBody(None, KeyWithProof(KEY, PROOF))


def test_sigstore_java_sends_pem_with_its_base64_on_one_line():
    one_line = pem("PUBLIC KEY", spki(p256().public_key()), width=10_000)
    request = {"publicKey": {"algorithm": "ECDSA", "content": one_line.decode()}, "proofOfPossession": b64(PROOF)}
    result = parse_v2(body({"credentials": {"oidcIdentityToken": TOKEN}, "publicKeyRequest": request}))

    assert prove(result.key_material, CHALLENGE, DEFAULT_POLICY).spki == spki(p256().public_key())


def test_sigstore_python_sends_a_certificate_request():
    result = parse_v2(body({"certificateSigningRequest": b64(CSR)}))

    assert result == SigningBody(None, SigningRequestPEM(CSR))
    assert prove(result.key_material, CHALLENGE, DEFAULT_POLICY)


def v1(content: bytes, algorithm: str) -> bytes:
    """Go writes the three fields, set or not."""
    return body(
        {
            "publicKey": {"content": b64(content), "algorithm": algorithm},
            "signedEmailAddress": b64(PROOF),
            "certificateSigningRequest": None,
        }
    )


@pytest.mark.parametrize(
    ("content", "algorithm"),
    [
        pytest.param(KEY, "", id="cosign 2: PEM"),
        pytest.param(spki(p256().public_key()), "ecdsa", id="gitsign: DER"),
    ],
)
def test_v1_clients_send_pem_or_der_in_base64(content, algorithm):
    result = parse_v1(v1(content, algorithm))

    assert result == SigningBody(None, KeyWithProof(content, PROOF, der_allowed=True))
    assert prove(result.key_material, CHALLENGE, DEFAULT_POLICY).spki == spki(p256().public_key())


def test_v1_takes_a_certificate_request_before_a_key():
    text = body({"publicKey": {"content": b64(KEY)}, "certificateSigningRequest": b64(CSR)})

    assert parse_v1(text) == SigningBody(None, SigningRequestPEM(CSR))


def test_v1_has_no_token_in_the_body():
    text = body({"credentials": {"oidcIdentityToken": TOKEN}, "publicKey": {"content": b64(KEY)}})

    assert parse_v1(text).unverified_token is None


def test_der_is_v1s_alone():
    request = {"publicKey": {"content": KEY.decode()}, "proofOfPossession": b64(PROOF)}

    assert parse_v2(body({"publicKeyRequest": request})).key_material == KeyWithProof(KEY, PROOF, der_allowed=False)


# ---- what is left out ---------------------------------------------------------------------------------------


EMPTY = [b"", b" \r\n", b"{}", b"{} and more", b'{"unknown":1}']


@pytest.mark.parametrize("text", EMPTY)
def test_an_empty_v2_message_asks_for_nothing(text):
    assert parse_v2(text) == SigningBody(None, None)


@pytest.mark.parametrize("text", [*EMPTY, b'{"publicKey":null}', b'{"certificateSigningRequest":""}'])
def test_v1_asks_for_a_key_before_anything_else(text):
    with pytest.raises(KeyUnparsable):
        parse_v1(text)


def test_an_empty_v1_key_is_left_for_later():
    assert parse_v1(b'{"publicKey":{}}') == SigningBody(None, None)


@pytest.mark.parametrize(
    "message",
    [
        {"credentials": None, "publicKeyRequest": None, "certificateSigningRequest": None},
        {"credentials": {}, "publicKeyRequest": {}},
        {"credentials": {"oidcIdentityToken": None}, "publicKeyRequest": {"publicKey": None}},
        {"credentials": {"oidcIdentityToken": ""}, "publicKeyRequest": {"publicKey": {"content": ""}}},
        {"certificateSigningRequest": ""},
        {"publicKeyRequest": {"proofOfPossession": b64(PROOF)}},
    ],
)
def test_an_empty_field_is_an_absent_one(message):
    assert parse_v2(body(message)) == SigningBody(None, None)


def test_a_key_without_a_proof_is_a_key_with_an_empty_proof():
    text = body({"publicKeyRequest": {"publicKey": {"content": KEY.decode()}}})

    assert parse_v2(text).key_material == KeyWithProof(KEY, b"")


# ---- what is refused, as v1.8.8 words it --------------------------------------------------------------------


def test_both_names_of_a_field_are_refused():
    text = f'{{"credentials":{{"oidcIdentityToken":"{TOKEN}","oidc_identity_token":"{TOKEN}"}}}}'.encode()
    column = text.index(b'"oidc_identity_token"') + 1

    assert refused(parse_v2, text) == f'proto: (line 1:{column}): duplicate field "oidc_identity_token"'


def test_both_kinds_of_key_are_refused():
    text = f'{{"publicKeyRequest":{{}},"certificateSigningRequest":"{b64(CSR)}"}}'.encode()

    assert refused(parse_v2, text) == (
        'proto: (line 1:24): error parsing "certificateSigningRequest",'
        " oneof dev.sigstore.fulcio.v2.CreateSigningCertificateRequest.key is already set"
    )


@pytest.mark.parametrize(
    ("text", "start"),
    [
        (b"{broken", "invalid character 'b' looking for beginning of object key string"),
        (b"[]", "proto: syntax error (line 1:1): unexpected token ["),
        (b'{"credentials":', "unexpected EOF"),
        (b'{"certificateSigningRequest":NaN}', "invalid character 'N' looking for beginning of value"),
        (
            b'{"certificateSigningRequest":"AAAA\\nAA=="}',
            "proto: (line 1:30): invalid value for bytes field certificateSigningRequest",
        ),
        (
            b'{"credentials":{"oidcIdentityToken":["x"]}}',
            "proto: (line 1:37): invalid value for string field oidcIdentityToken",
        ),
    ],
)
def test_a_malformed_body_is_refused_in_gos_words(text, start):
    assert refused(parse_v2, text).startswith(start)


SECRET = "c2VjcmV0LXRva2VuLW9yLXByb29m"


@pytest.mark.parametrize(
    "text",
    [
        f'"{SECRET}"',
        f'["{SECRET}"]',
        f'{{"credentials":"{SECRET}"}}',
        f'{{"credentials":{{"oidcIdentityToken":["{SECRET}"]}}}}',
        f'{{"credentials":{{"oidcIdentityToken":"{SECRET}","oidcIdentityToken":"{SECRET}"}}}}',
        f'{{"credentials":{{"oidcIdentityToken":"{SECRET}',
        f'{{"credentials":{{"oidcIdentityToken":"{SECRET}\n"}}}}',
        f'{{"credentials":{{"oidcIdentityToken":"\\ud800{SECRET}"}}}}',
        f'{{"credentials":{{"oidcIdentityToken":"{SECRET}\\ud800{SECRET}"}}}}',
        f'{{"publicKeyRequest":{{"proofOfPossession":"{SECRET}\\n{SECRET}=="}}}}',
        f'{{"publicKeyRequest":{{"proofOfPossession":{{"a":"{SECRET}"}}}}}}',
        f'{{"certificateSigningRequest":"!{SECRET}"}}',
        f'{{"publicKeyRequest":{{"publicKey":{{"content":[],"x":"{SECRET}"}}}}}}',
        SECRET,
    ],
)
def test_an_error_never_repeats_a_value(text):
    for parse in (parse_v1, parse_v2):
        try:
            parse(text.encode())
        except (MalformedRequest, KeyUnparsable) as error:
            assert SECRET[:6] not in f"{error} {error.metadata}"  # noqa: PT017
    refused(parse_v2, text.encode())


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(text):
    for parse in (parse_v1, parse_v2):
        try:
            result = parse(text)
        except (MalformedRequest, KeyUnparsable) as error:
            assert "\n" not in error.detail  # noqa: PT017
        else:
            assert isinstance(result, SigningBody)


@pytest.mark.parametrize("private_key", [p256, rsa_key])
def test_what_clients_sign_survives_the_way_through_the_wire(private_key):
    material = proven(private_key())
    request = {
        "public_key": {"content": material.unverified_key.decode()},
        "proof_of_possession": base64.urlsafe_b64encode(material.unverified_proof).decode().rstrip("="),
    }

    assert parse_v2(body({"public_key_request": request})).key_material == material
