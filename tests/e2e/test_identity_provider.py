"""Tokens of a certified provider, as Dayfly and its clients get them."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode

import httpx

from tests.e2e.signing import Signer


def claims(token: str) -> dict[str, object]:
    return json.loads(urlsafe_b64decode(token.split(".")[1] + "=="))


def test_provider_gives_the_token_that_sigstore_clients_need(provider):
    token = claims(provider.token("ada@example.com"))
    assert (token["iss"], token["aud"]) == (provider.issuer, "sigstore")
    assert (token["email"], token["email_verified"]) == ("ada@example.com", True)


def test_provider_offers_the_flows_that_sigstore_clients_use(provider):
    metadata = httpx.get(f"{provider.issuer}/.well-known/openid-configuration", trust_env=False).json()
    assert metadata["issuer"] == provider.issuer
    assert metadata["code_challenge_methods_supported"] == ["S256"]
    assert "device_authorization_endpoint" in metadata


def post(instance, token: str, body: dict[str, object]) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.post(f"{instance.url}/api/v2/signingCert", json=body, headers=headers, trust_env=False, timeout=15)


def test_verified_address_gets_a_certificate(instance, provider):
    answer = post(instance, provider.token("grace@example.com"), Signer("grace@example.com").cosign_3())
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["signedCertificateEmbeddedSct"]["chain"]["certificates"]) == 3


def test_unverified_address_gets_none(instance, provider):
    email = "unverified@example.com"
    answer = post(instance, provider.token(email), Signer(email).cosign_3())
    assert answer.status_code == 400
    assert "email_verified" in answer.json()["message"]


def test_token_whose_signature_is_changed_gets_none(instance, token):
    head, payload, signature = token.split(".")
    changed = "A" if signature[10] != "A" else "B"
    forged = ".".join((head, payload, signature[:10] + changed + signature[11:]))
    answer = post(instance, forged, Signer().cosign_3())
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("There was an error processing the identity token")


def test_proof_over_another_address_gets_none(instance, token):
    answer = post(instance, token, Signer("grace@example.com").cosign_3())
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("The signature supplied in the request could not be verified")
