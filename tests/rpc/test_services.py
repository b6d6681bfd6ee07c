"""The CA's service over gRPC: the same answers as over HTTP."""

from __future__ import annotations

from cryptography import x509

from tests.api.server import CA, body, p256
from tests.rpc.client import Client


def certificates(reply) -> list[str]:
    assert reply.code == 0, reply.message
    return reply.reply["signedCertificateDetachedSct"]["chain"]["certificates"]


def test_a_certificate_is_that_of_the_http_api(ca: CA, rpc: Client) -> None:
    key = p256()
    asked = body(ca.token(), key=key)
    reply, answer = rpc.sign(asked), ca.sign(asked).json()
    assert reply.reply.keys() == answer.keys()
    leaf, *chain = certificates(reply)
    _, *http_chain = answer["signedCertificateDetachedSct"]["chain"]["certificates"]
    assert chain == http_chain
    assert x509.load_pem_x509_certificate(leaf.encode()).public_key() == key.public_key()


def test_trust_bundle_and_configuration_are_those_of_the_http_api(ca: CA, rpc: Client) -> None:
    assert rpc.trust_bundle().reply == ca.client.get("/api/v2/trustBundle").json()
    assert rpc.configuration().reply == ca.client.get("/api/v2/configuration").json()
