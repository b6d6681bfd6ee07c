from __future__ import annotations

import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding

from ca.errors import AlgorithmNotPermitted, KeyBlocked, KeyUnparsable, KeyWeak, ProofFailed
from ca.proof import prove
from ca.proof.model import KeyWithProof
from ca.proof.policy import KeyPolicy
from tests.proof.builders import (
    CHALLENGE,
    DEFAULT_POLICY,
    csr,
    csr_pem,
    ed,
    key_pem,
    p256,
    p384,
    p521,
    pem,
    pkcs1,
    proven,
    rsa_key,
    sign,
    spki,
    unproven,
)

EVERY_KIND = [
    pytest.param(p256, "ecdsa-sha2-256-nistp256", id="P-256"),
    pytest.param(p384, "ecdsa-sha2-384-nistp384", id="P-384"),
    pytest.param(p521, "ecdsa-sha2-512-nistp521", id="P-521"),
    pytest.param(lambda: rsa_key(2048), "rsa-sign-pkcs1-2048-sha256", id="RSA-2048"),
    pytest.param(lambda: rsa_key(3072), "rsa-sign-pkcs1-3072-sha256", id="RSA-3072"),
    pytest.param(lambda: rsa_key(4096), "rsa-sign-pkcs1-4096-sha256", id="RSA-4096"),
    pytest.param(ed, "ed25519", id="Ed25519"),
]


def refused(material, error, policy=DEFAULT_POLICY, challenge=CHALLENGE) -> str:
    with pytest.raises(error) as caught:
        prove(material, challenge, policy)
    assert type(caught.value) is error
    return caught.value.public_message


@pytest.mark.parametrize(("key", "algorithm"), EVERY_KIND)
def test_a_proof_of_every_kind_proves_the_key(key, algorithm):
    result = prove(proven(key()), CHALLENGE, DEFAULT_POLICY)

    assert result.algorithm == algorithm
    assert result.spki == spki(key().public_key())
    assert result.public_key == key().public_key()


@pytest.mark.parametrize(("key", "algorithm"), EVERY_KIND)
def test_a_certificate_request_of_every_kind_proves_the_key(key, algorithm):
    result = prove(csr(key()), CHALLENGE, DEFAULT_POLICY)

    assert result.algorithm == algorithm
    assert result.spki == spki(key().public_key())


def test_the_challenge_is_signed_as_utf8():
    challenge = "repo:ada/möbius🔑"

    assert prove(proven(p256(), challenge), challenge, DEFAULT_POLICY)


@pytest.mark.parametrize(("key", "algorithm"), EVERY_KIND)
@pytest.mark.parametrize("signed", ["", "Ada@example.com", "ada@example.com\n", " ada@example.com", "sub-1234"])
def test_a_proof_over_something_else_is_refused(key, algorithm, signed):
    refused(proven(key(), signed), ProofFailed)


@pytest.mark.parametrize(("key", "algorithm"), EVERY_KIND)
@pytest.mark.parametrize("proof", [b"", b"\0", b"garbage", b"\0" * 64, b"\0" * 256, b"0" * 5000])
def test_a_proof_that_is_no_signature_is_refused(key, algorithm, proof):
    refused(KeyWithProof(key_pem(key().public_key()), proof), ProofFailed)


@pytest.mark.parametrize(("key", "algorithm"), EVERY_KIND)
def test_a_proof_by_another_key_is_refused(key, algorithm):
    other = {p256: p384}.get(key, p256)

    refused(KeyWithProof(key_pem(key().public_key()), proven(other()).unverified_proof), ProofFailed)


@pytest.mark.parametrize(("key", "algorithm"), EVERY_KIND)
def test_a_proof_with_a_changed_or_added_byte_is_refused(key, algorithm):
    good = proven(key())
    proof = good.unverified_proof
    changed = proof[:-1] + bytes([proof[-1] ^ 1])

    for bad in (changed, proof + b"\0", proof[:-1], b"\0" + proof):
        refused(KeyWithProof(good.unverified_key, bad), ProofFailed)


@pytest.mark.parametrize(
    ("key", "hash_"),
    [
        (p256, hashes.SHA384()),
        (p256, hashes.SHA512()),
        (p256, hashes.SHA1()),
        (p384, hashes.SHA256()),
        (p384, hashes.SHA512()),
        (p521, hashes.SHA256()),
        (p521, hashes.SHA384()),
        (rsa_key, hashes.SHA1()),
        (rsa_key, hashes.SHA384()),
        (rsa_key, hashes.SHA512()),
    ],
)
def test_a_proof_with_another_hash_than_the_keys_is_refused(key, hash_):
    proof = sign(key(), CHALLENGE.encode(), hash_)

    refused(KeyWithProof(key_pem(key().public_key()), proof), ProofFailed)


def test_an_rsa_pss_proof_is_refused():
    proof = rsa_key().sign(CHALLENGE.encode(), padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())

    message = refused(KeyWithProof(key_pem(rsa_key().public_key()), proof), ProofFailed)
    assert "RSA PKCS#1 v1.5 with SHA-256" in message


def p1363(proof: bytes, size: int) -> bytes:
    r, s = decode_dss_signature(proof)
    return r.to_bytes(size) + s.to_bytes(size)


@pytest.mark.parametrize(("key", "size"), [(p256, 32), (p384, 48), (p521, 66)])
def test_an_ecdsa_proof_may_have_the_form_that_browsers_make(key, size):
    material = proven(key())
    raw = p1363(material.unverified_proof, size)

    assert prove(KeyWithProof(material.unverified_key, raw), CHALLENGE, DEFAULT_POLICY)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda raw: raw[32:] + raw[:32], id="s before r"),
        pytest.param(lambda raw: bytes([raw[0] ^ 1]) + raw[1:], id="another r"),
        pytest.param(lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]), id="another s"),
        pytest.param(lambda _: bytes(64), id="zeros"),
        pytest.param(lambda raw: bytes(32) + raw[32:], id="r is zero"),
        pytest.param(lambda _: b"\xff" * 64, id="beyond the order"),
        pytest.param(lambda raw: raw[:-1], id="too short"),
        pytest.param(lambda raw: raw + b"\0", id="too long"),
        pytest.param(lambda raw: bytes(2) + raw[:32] + bytes(2) + raw[32:], id="too wide"),
    ],
)
def test_a_wrong_proof_in_that_form_is_refused_and_told_of_both(change):
    material = proven(p256())
    raw = change(p1363(material.unverified_proof, 32))

    message = refused(KeyWithProof(material.unverified_key, raw), ProofFailed)
    assert "ECDSA with SHA-256 in ASN.1 DER or IEEE P1363 form" in message


def test_a_der_proof_as_long_as_the_other_form_is_read_as_der():
    other = encode_dss_signature(2**231 - 1, 2**231 - 1)
    assert len(other) == 64

    refused(KeyWithProof(key_pem(p256().public_key()), other), ProofFailed)


def test_a_proof_over_the_hash_of_the_challenge_is_refused():
    proof = ed().sign(hashlib.sha512(CHALLENGE.encode()).digest())

    refused(KeyWithProof(key_pem(ed().public_key()), proof), ProofFailed)


def test_a_failed_proof_says_what_to_sign_and_repeats_nothing():
    material = proven(p256(), "somebody else")

    message = refused(material, ProofFailed)
    assert message.startswith("The signature supplied in the request could not be verified: ")
    assert "challenge claim" in message
    assert CHALLENGE not in message
    assert material.unverified_proof.hex() not in message


def test_an_empty_proof_says_so():
    message = refused(KeyWithProof(key_pem(p256().public_key()), b""), ProofFailed)

    assert "it is empty" in message


# ---- the order of checks (Fulcio, pkg/server/grpc_server.go) ------------------------------------------------

P256_ONLY = KeyPolicy.parse(["ecdsa-sha2-256-nistp256"])


def test_a_weak_key_is_refused_before_its_proof():
    weak = rsa_key(1024)

    refused(KeyWithProof(key_pem(weak.public_key()), b""), KeyWeak, P256_ONLY)


def test_a_bad_proof_is_refused_before_the_allow_list():
    refused(KeyWithProof(key_pem(p521().public_key()), b"bad"), ProofFailed, P256_ONLY)


def test_a_bad_request_signature_is_refused_before_the_allow_list():
    request = x509.load_pem_x509_csr(csr(p384()).unverified_csr).public_bytes(Encoding.DER)

    refused(csr_pem(request[:-1] + bytes([request[-1] ^ 1])), ProofFailed, P256_ONLY)


@pytest.mark.parametrize(
    ("key", "start"),
    [
        (p384, "signing algorithm not permitted: *ecdsa.PublicKey, SHA-384"),
        (p521, "signing algorithm not permitted: *ecdsa.PublicKey, SHA-512"),
        (rsa_key, "signing algorithm not permitted: *rsa.PublicKey, SHA-256"),
        (ed, "signing algorithm not permitted: ed25519.PublicKey, unknown hash value 0"),
    ],
)
def test_a_proven_key_outside_the_allow_list_is_refused_as_fulcio_words_it(key, start):
    for material in (proven(key()), csr(key())):
        message = refused(material, AlgorithmNotPermitted, P256_ONLY)
        assert message.startswith(start)
        assert "permitted are ecdsa-sha2-256-nistp256" in message


@pytest.mark.parametrize(
    ("key", "hash_", "start"),
    [
        (p384, hashes.SHA256(), "*ecdsa.PublicKey, SHA-256"),
        (p521, hashes.SHA256(), "*ecdsa.PublicKey, SHA-256"),
        (p256, hashes.SHA384(), "*ecdsa.PublicKey, SHA-384"),
        (p256, hashes.SHA512(), "*ecdsa.PublicKey, SHA-512"),
        (rsa_key, hashes.SHA384(), "*rsa.PublicKey, SHA-384"),
        (rsa_key, hashes.SHA512(), "*rsa.PublicKey, SHA-512"),
    ],
)
def test_a_request_signed_with_a_hash_outside_the_allow_list_is_refused(key, hash_, start):
    message = refused(csr(key(), hash_), AlgorithmNotPermitted)

    assert message.startswith(f"signing algorithm not permitted: {start}")


def test_a_request_may_use_a_further_hash_that_the_operator_permits():
    policy = KeyPolicy.parse(["ecdsa-sha2-256-nistp384"])

    assert prove(csr(p384(), hashes.SHA256()), CHALLENGE, policy).algorithm == "ecdsa-sha2-256-nistp384"
    refused(proven(p384()), AlgorithmNotPermitted, policy)


def test_an_entry_for_rsa_pss_permits_pkcs1_as_in_fulcio():
    policy = KeyPolicy.parse(["rsa-sign-pss-2048-sha256"])

    assert prove(proven(rsa_key()), CHALLENGE, policy).algorithm == "rsa-sign-pkcs1-2048-sha256"
    refused(proven(rsa_key(3072)), AlgorithmNotPermitted, policy)


# ---- blocked keys -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("material", [proven, csr])
def test_a_blocked_key_is_refused_even_with_a_good_proof(material):
    digest = hashlib.sha256(spki(p256().public_key())).digest()
    policy = KeyPolicy.parse(["ecdsa-sha2-256-nistp256", "ed25519"], frozenset({digest}))

    message = refused(material(p256()), KeyBlocked, policy)
    assert message.startswith("The public key supplied in the request is insecure: ")
    assert prove(material(ed()), CHALLENGE, policy)


def test_a_blocked_key_is_blocked_in_every_encoding_of_it():
    public_key = rsa_key().public_key()
    policy = KeyPolicy.parse(["rsa-sign-pkcs1-2048-sha256"], frozenset({hashlib.sha256(spki(public_key)).digest()}))

    for material in (
        unproven(pem("RSA PUBLIC KEY", pkcs1(public_key))),
        unproven(spki(public_key), der_allowed=True),
    ):
        refused(material, KeyBlocked, policy)


def test_no_key_is_unparsable():
    message = refused(KeyWithProof(b"", b""), KeyUnparsable)

    assert message.startswith("The public key supplied in the request could not be parsed: nothing was sent")
