"""The endpoints of the timestamp authority."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode

import httpx
import pytest
from rfc3161_client import TimestampRequestBuilder, VerifierBuilder, decode_timestamp_response

from ca.certificate.chain import Chain
from tests.api.server import CA

QUERY = "application/timestamp-query"
ARTIFACT = b"artifact"


def post(ca: CA, content: bytes, media_type: str = QUERY) -> httpx.Response:
    return ca.client.post("/api/v1/timestamp", content=content, headers={"Content-Type": media_type})


def verify(ca: CA, answer: httpx.Response) -> None:
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/timestamp-reply"
    leaf, root = Chain.parse(ca.client.get("/api/v1/timestamp/certchain").content).certificates
    verifier = VerifierBuilder().tsa_certificate(leaf).add_root_certificate(root).build()
    assert verifier.verify_message(decode_timestamp_response(answer.content), ARTIFACT)


def test_query_in_der_is_answered(ca: CA) -> None:
    verify(ca, post(ca, TimestampRequestBuilder().data(ARTIFACT).build().as_bytes()))


@pytest.mark.parametrize("media_type", ["application/json", "application/json; charset=utf-8"])
def test_query_of_sigstore_js_is_answered(ca: CA, media_type: str) -> None:
    digest = b64encode(hashlib.sha256(ARTIFACT).digest()).decode()
    asked = {"artifactHash": digest, "hashAlgorithm": "sha256", "certificates": True, "nonce": 12345}
    verify(ca, post(ca, json.dumps(asked).encode(), media_type))


def test_chain_is_served_as_in_the_trusted_root(ca: CA) -> None:
    (authority,) = ca.client.get("/api/v2/trustedRoot").json()["timestampAuthorities"]
    served = Chain.parse(ca.client.get("/api/v1/timestamp/certchain").content)
    trusted = [certificate["rawBytes"] for certificate in authority["certChain"]["certificates"]]
    assert trusted == [b64encode(der).decode() for der in served.ders]
    assert authority["uri"] == f"{ca.client.base_url}/api/v1/timestamp"


@pytest.mark.parametrize(
    ("content", "media_type", "said"),
    [
        (b"", QUERY, "no DER"),
        (b"{}", QUERY, "no DER"),
        (b"{}", "application/json", "no JSON"),
        (b"{}", "text/plain", "Content-Type"),
        (b"{}", "", "Content-Type"),
        (b"x" * 2000, QUERY, "too large"),
        (b" " * 2000, "application/json", "too large"),
    ],
)
def test_query_that_is_not_one_is_refused_in_words(ca: CA, content: bytes, media_type: str, said: str) -> None:
    answer = post(ca, content, media_type)
    assert answer.status_code == 400
    assert said in answer.json()["message"]
    assert answer.json()["details"][0]["reason"] in {"TIMESTAMP_REFUSED", "MALFORMED_REQUEST"}


def test_other_methods_are_not_answered(ca: CA) -> None:
    assert ca.client.get("/api/v1/timestamp").status_code == 501
    assert ca.client.post("/api/v1/timestamp/certchain").status_code == 501
