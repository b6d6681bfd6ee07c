"""The v1 path, with the bodies that cosign 2 and gitsign send."""

from __future__ import annotations

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.e2e.signing import EMAIL, Signer


def post(instance, token: str, body: dict[str, object]) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.post(f"{instance.url}/api/v1/signingCert", json=body, headers=headers, trust_env=False, timeout=15)


@pytest.mark.parametrize("client", [Signer.cosign_2, Signer.gitsign])
def test_v1_answers_the_chain_as_pem(instance, ca, token, client):
    signer = Signer()
    answer = post(instance, token, client(signer))
    assert answer.status_code == 201, answer.text
    assert answer.headers["content-type"].startswith("application/pem-certificate-chain")
    # That header would say that the SCT is not in the certificate.
    assert "sct" not in answer.headers
    leaf, *chain = x509.load_pem_x509_certificates(answer.content)
    assert chain == ca.certificates
    der = leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert der == signer.public_key(Encoding.DER)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.RFC822Name) == [EMAIL]
    scts = leaf.extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps).value
    assert len(list(scts)) == 1


def test_v1_takes_no_token_from_the_body(instance, token):
    answer = httpx.post(
        f"{instance.url}/api/v1/signingCert",
        json=Signer().cosign_2() | {"credentials": {"oidcIdentityToken": token}},
        trust_env=False,
    )
    assert answer.status_code == 400


def test_v1_root_is_that_of_the_trusted_root(instance, ca):
    answer = httpx.get(f"{instance.url}/api/v1/rootCert", trust_env=False)
    assert x509.load_pem_x509_certificates(answer.content) == ca.certificates
