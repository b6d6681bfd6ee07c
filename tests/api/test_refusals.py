"""Every refusal that Fulcio has words for: ours has its status, its code, and begins with these words.

The rest of the message is Dayfly's own, and so is what Fulcio lacks: 503 where it says 400 or nothing at all.
"""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ca.keys.ephemeral import EphemeralKeys, ephemeral_ca_key
from ca.keys.model import CAKey, SigningKey
from ca.main import clock
from ca.proof.model import PublicKey
from tests.api.another import another_ca
from tests.api.server import CA, DEAD_ISSUER, key_request, p256, pem, proof
from tests.api.test_signing import GITHUB
from tests.proof.builders import pem as pem_of

TOKEN = "There was an error processing the identity token"
CSR = "The certificate signing request could not be parsed"
KEY = "The public key supplied in the request could not be parsed"
INSECURE = "The public key supplied in the request is insecure"
PROOF = "The signature supplied in the request could not be verified"

Ask = Callable[[CA], httpx.Response]


class Refusal(NamedTuple):
    ask: Ask
    begins: str
    reason: str


SHA256 = hashes.SHA256()


def certificate_request(key: Any, hash_: hashes.HashAlgorithm = SHA256, pss: int | None = None) -> str:
    """In PEM."""
    padding_ = padding.PSS(padding.MGF1(hash_), pss) if pss else None
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hash_, rsa_padding=padding_).public_bytes(Encoding.PEM).decode()


def with_csr(text: str) -> Ask:
    request = {"certificateSigningRequest": b64encode(text.encode()).decode()}
    return lambda ca: ca.sign({"credentials": {"oidcIdentityToken": ca.token()}, **request})


def with_key(content: str, signature: str = "AAAA") -> Ask:
    request = {"publicKey": {"content": content}, "proofOfPossession": signature}
    return lambda ca: ca.sign({"credentials": {"oidcIdentityToken": ca.token()}, "publicKeyRequest": request})


def key_pem(key: Any) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def job(**claims: Any) -> Ask:
    """A token of a CI job; a claim of None is left out."""
    claims = {**json.loads(GITHUB), **claims}
    return lambda ca: ca.ask(ca.token("github", sub="repo:o/r", **claims), "repo:o/r")


def person(**claims: Any) -> Ask:
    return lambda ca: ca.ask(ca.token(**claims), str(claims.get("email", "ada@example.com")))


RSA = rsa.generate_private_key(65537, 2048)
P384 = ec.generate_private_key(ec.SECP384R1())

TOKENS = {
    "no token": Refusal(lambda ca: ca.sign({"publicKeyRequest": key_request("x")}), TOKEN, "TOKEN_MISSING"),
    "malformed": Refusal(lambda ca: ca.ask("a.b.c"), TOKEN, "TOKEN_MALFORMED"),
    "unknown issuer": Refusal(person(iss="https://elsewhere.example"), TOKEN, "ISSUER_NOT_TRUSTED"),
    "signature": Refusal(lambda ca: ca.ask(ca.token()[:-8] + "AAAAAAAA"), TOKEN, "TOKEN_SIGNATURE_INVALID"),
    "audience": Refusal(person(aud="foo"), f'{TOKEN}: audience "foo" is not "sigstore"', "TOKEN_AUDIENCE_MISMATCH"),
    "unverified address": Refusal(person(email_verified=False), TOKEN, "CLAIM_INVALID"),
    "no address": Refusal(person(email=None), TOKEN, "CLAIM_MISSING"),
    "bad address": Refusal(person(email="ada"), TOKEN, "CLAIM_INVALID"),
    "bad user name": Refusal(lambda ca: ca.ask(ca.token("username", sub="a!b"), "a!b"), TOKEN, "CLAIM_INVALID"),
    "bad service account": Refusal(lambda ca: ca.ask(ca.token("kubernetes", sub="x"), "x"), TOKEN, "CLAIM_MISSING"),
}  # fmt: skip

KEYS = {
    "no key": Refusal(lambda ca: ca.sign({"credentials": {"oidcIdentityToken": ca.token()}}), KEY, "KEY_UNPARSABLE"),
    "empty key": Refusal(with_key(""), KEY, "KEY_UNPARSABLE"),
    "garbage": Refusal(with_key("garbage"), KEY, "KEY_UNPARSABLE"),
    "certificate": Refusal(with_key(pem_of("CERTIFICATE", b"0").decode()), KEY, "KEY_UNPARSABLE"),
    "secp256k1": Refusal(with_key(key_pem(ec.generate_private_key(ec.SECP256K1()))), KEY, "KEY_UNPARSABLE"),
    "Ed448": Refusal(with_key(key_pem(ed448.Ed448PrivateKey.generate())), KEY, "KEY_UNPARSABLE"),
    "P-224": Refusal(with_key(key_pem(ec.generate_private_key(ec.SECP224R1()))), INSECURE, "KEY_WEAK"),
    "RSA-1024": Refusal(with_key(key_pem(rsa.generate_private_key(65537, 1024))), INSECURE, "KEY_WEAK"),
    "RSA with exponent 3": Refusal(with_key(key_pem(rsa.generate_private_key(3, 2048))), INSECURE, "KEY_WEAK"),
    "X25519": Refusal(
        with_key(key_pem(x25519.X25519PrivateKey.generate())), f"{INSECURE}: unsupported public key type", "KEY_WEAK"
    ),
    "no proof": Refusal(with_key(pem(p256()), ""), PROOF, "PROOF_FAILED"),
    "proof by another key": Refusal(with_key(pem(p256()), proof(p256(), "ada@example.com")), PROOF, "PROOF_FAILED"),
    "no request": Refusal(with_csr("garbage"), CSR, "CSR_UNPARSABLE"),
    "key as request": Refusal(with_csr(pem(p256())), CSR, "CSR_UNPARSABLE"),
    "request with a weak key": Refusal(
        with_csr(certificate_request(rsa.generate_private_key(65537, 1024))), INSECURE, "KEY_WEAK"
    ),
    "ECDSA with another hash": Refusal(
        with_csr(certificate_request(P384)),
        "signing algorithm not permitted: *ecdsa.PublicKey, SHA-256",
        "ALGORITHM_NOT_PERMITTED",
    ),
    "RSA with another hash": Refusal(
        with_csr(certificate_request(RSA, hashes.SHA512())),
        "signing algorithm not permitted: *rsa.PublicKey, SHA-512",
        "ALGORITHM_NOT_PERMITTED",
    ),
    "RSA-PSS": Refusal(
        with_csr(certificate_request(RSA, pss=32)),
        "unrecognized signature algorithm: SHA256-RSAPSS",
        "ALGORITHM_UNKNOWN",
    ),
    "RSA-PSS with another hash": Refusal(
        with_csr(certificate_request(RSA, hashes.SHA384(), pss=48)),
        "unrecognized signature algorithm: SHA384-RSAPSS",
        "ALGORITHM_UNKNOWN",
    ),
}

NAMES = {
    "a claim that a template needs": Refusal(
        job(job_workflow_ref=None),
        'template: :1:14: executing "" at <.job_workflow_ref>: map has no entry for key "job_workflow_ref"',
        "IDENTITY_NOT_CERTIFIABLE",
    ),
    "a claim in the middle of a template": Refusal(
        job(run_id=None),
        'template: :1:45: executing "" at <.run_id>: map has no entry for key "run_id"',
        "IDENTITY_NOT_CERTIFIABLE",
    ),
    "a name that is no URL": Refusal(
        job(job_workflow_ref="o/r/%zz"),
        'parse "https://github.com/o/r/%zz": invalid URL escape "%zz"',
        "IDENTITY_NOT_CERTIFIABLE",
    ),
    "an address beyond ASCII": Refusal(
        person(email="фу@example.com"),
        'x509: "фу@example.com" cannot be encoded as an IA5String',
        "IDENTITY_NOT_CERTIFIABLE",
    ),
}


@pytest.mark.parametrize("case", TOKENS | KEYS | NAMES)
def test_a_request_at_fault_is_400(ca: CA, case: str) -> None:
    row = (TOKENS | KEYS | NAMES)[case]
    expect(row.ask(ca), 400, 3, row.begins, row.reason)


def test_a_claim_that_stands_alone_names_itself_its_extension_and_its_issuer(ca: CA) -> None:
    begins = (
        "value <event_name> not present in either claims or defaults. "
        f'{{\n\t"ExtensionName": "GithubWorkflowTrigger",\n\t"Issuer": "{ca.issuer("github")}"\n}}'
    )
    expect(job(event_name=None)(ca), 400, 3, begins, "IDENTITY_NOT_CERTIFIABLE")


def test_an_issuer_that_is_down_is_503(ca: CA) -> None:
    answer = ca.ask(ca.token(iss=DEAD_ISSUER))
    expect(answer, 503, 14, TOKEN, "ISSUER_UNAVAILABLE")
    assert int(answer.headers["retry-after"]) > 0


def expect(answer: httpx.Response, status: int, code: int, begins: str, reason: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    reply = answer.json()
    assert reply["code"] == code
    assert reply["message"].startswith(begins), reply["message"]
    assert reply["details"][0]["reason"] == reason


# ---- what only another CA refuses ----------------------------------------------------------------------------------


def ephemeral(**ago: float) -> EphemeralKeys:
    return EphemeralKeys(asyncio.run(ephemeral_ca_key(clock() - timedelta(**ago))))


def test_a_kind_of_key_that_the_operator_left_out_is_not_permitted(ca: CA) -> None:
    with another_ca(ca, ephemeral(), algorithms=("ecdsa-sha2-256-nistp256",)) as strict:
        assert strict.ask().status_code == 200
        for key, begins in (
            (ed25519.Ed25519PrivateKey.generate(), "signing algorithm not permitted: ed25519.PublicKey, "),
            (RSA, "signing algorithm not permitted: *rsa.PublicKey, SHA-256"),
            (P384, "signing algorithm not permitted: *ecdsa.PublicKey, SHA-384"),
        ):
            expect(strict.ask(key=key), 400, 3, begins, "ALGORITHM_NOT_PERMITTED")


def test_a_ca_whose_chain_has_expired_is_503(ca: CA) -> None:
    with another_ca(ca, ephemeral(days=2000)) as expired:
        expect(expired.ask(), 503, 14, "error communicating with CA backend", "SIGNER_UNAVAILABLE")


class WrongSigner:
    """Signs, but something else than it is asked to."""

    def __init__(self, key: SigningKey) -> None:
        self._key = key

    @property
    def public_key(self) -> PublicKey:
        return self._key.public_key

    @property
    def signature_algorithm(self) -> bytes:
        return self._key.signature_algorithm

    async def sign(self, message: bytes) -> bytes:
        return await self._key.sign(message + b"\0")


def test_a_certificate_that_does_not_read_back_is_500_and_says_no_more(ca: CA) -> None:
    true = ephemeral().ca_key
    with another_ca(ca, EphemeralKeys(CAKey(WrongSigner(true.signing_key), true.chain))) as wrong:
        answer = wrong.ask()
        expect(answer, 500, 13, "Error marshaling code signing certificate", "MISISSUANCE")
        assert answer.json()["message"] == "Error marshaling code signing certificate"
        assert "CERTIFICATE" not in answer.text
