from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, mldsa, padding
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from ca.errors import AlgorithmUnknown, CSRUnparsable, KeyWeak, ProofFailed
from ca.proof import prove
from ca.proof.model import SigningRequestPEM
from tests.proof.builders import (
    CHALLENGE,
    DEFAULT_POLICY,
    csr,
    csr_builder,
    csr_of,
    csr_pem,
    der,
    ed,
    key_pem,
    oid,
    p256,
    p384,
    pem,
    rsa_key,
    sign,
    spki,
)

NULL = der(0x05)
ECDSA_SHA256 = der(0x30, oid("1.2.840.10045.4.3.2"))
P256 = p256().public_key()


def signed(private_key, hash_=None):
    return lambda message: sign(private_key, message, hash_ or hashes.SHA256())


def request_der(private_key) -> bytes:
    return x509.load_pem_x509_csr(csr(private_key).unverified_csr).public_bytes(Encoding.DER)


def accepted(request: SigningRequestPEM) -> bytes:
    return prove(request, CHALLENGE, DEFAULT_POLICY).spki


def refused(request: SigningRequestPEM, error) -> str:
    with pytest.raises(error) as caught:
        prove(request, CHALLENGE, DEFAULT_POLICY)
    assert type(caught.value) is error
    return caught.value.public_message


# ---- what is taken ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"])
def test_a_request_in_pem_is_read(label):
    assert accepted(csr_pem(request_der(p256()), label)) == spki(P256)


def test_the_challenge_is_not_looked_at():
    assert prove(csr(p256()), "whatever", DEFAULT_POLICY)


def test_subject_and_extensions_are_not_looked_at():
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "root@example.com")])
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(name)
        .add_extension(x509.SubjectAlternativeName([x509.RFC822Name("root@example.com")]), critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_attribute(x509.ObjectIdentifier("1.2.840.113549.1.9.7"), b"password")
        .sign(p256(), hashes.SHA256())
    )

    assert accepted(SigningRequestPEM(request.public_bytes(Encoding.PEM))) == spki(P256)


def test_the_hand_made_request_is_accepted():
    assert accepted(csr_pem(csr_of(spki(P256), ECDSA_SHA256, signed(p256())))) == spki(P256)


# ---- the request itself -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"garbage", id="garbage"),
        pytest.param(request_der(p256()), id="DER"),
        pytest.param(key_pem(P256), id="a public key"),
        pytest.param(pem("CERTIFICATE", request_der(p256())), id="labelled as a certificate"),
        pytest.param(pem("OLD CERTIFICATE REQUEST", request_der(p256())), id="labelled as nothing known"),
        pytest.param(pem("CERTIFICATE REQUEST", spki(P256)), id="a key labelled as a request"),
        pytest.param(pem("CERTIFICATE REQUEST", b""), id="an empty block"),
        pytest.param(pem("CERTIFICATE REQUEST", request_der(p256()) + b"\0"), id="a trailing byte"),
        pytest.param(pem("CERTIFICATE REQUEST", request_der(p256())[:-1]), id="cut short"),
        pytest.param(csr(p256()).unverified_csr[:100], id="PEM cut short"),
        pytest.param(key_pem(P256) + csr(p256()).unverified_csr, id="not the first block"),
        pytest.param(
            csr_pem(csr_of(spki(P256), ECDSA_SHA256, signed(p256()), version=1)).unverified_csr, id="version 2"
        ),
    ],
)
def test_what_is_no_request_in_pem_is_unparsable(text):
    message = refused(SigningRequestPEM(text), CSRUnparsable)

    assert message.startswith("The certificate signing request could not be parsed: ")


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(spki(ec.generate_private_key(ec.SECP256K1()).public_key()), id="secp256k1"),
        pytest.param(spki(P256)[:-1] + bytes([spki(P256)[-1] ^ 1]), id="off the curve"),
        pytest.param(
            der(
                0x30,
                der(0x30, oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7")),
                der(0x03, b"\0", P256.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)),
            ),
            id="compressed point",
        ),
        pytest.param(der(0x30, der(0x30, oid("1.3.101.112")), der(0x03, b"\0" + bytes(31))), id="short Ed25519"),
        pytest.param(der(0x30, der(0x30, oid("1.2.840.113549.1.1.1"), NULL), der(0x03, b"\0")), id="empty RSA"),
    ],
)
def test_a_broken_key_of_a_known_type_makes_the_request_unparsable(broken):
    refused(csr_pem(csr_of(broken, ECDSA_SHA256, signed(p256()))), CSRUnparsable)


# ---- the key in it ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "private_key",
    [
        pytest.param(ed448.Ed448PrivateKey.generate(), id="Ed448"),
        pytest.param(mldsa.MLDSA65PrivateKey.generate(), id="ML-DSA"),
        pytest.param(dsa.generate_private_key(2048), id="DSA"),
        pytest.param(ec.generate_private_key(ec.SECP224R1()), id="P-224"),
        pytest.param(rsa_key(1024), id="RSA-1024"),
    ],
)
def test_a_key_that_nobody_certifies_is_insecure(private_key):
    hash_ = None if isinstance(private_key, ed448.Ed448PrivateKey | mldsa.MLDSA65PrivateKey) else hashes.SHA256()
    request = csr_builder().sign(private_key, hash_).public_bytes(Encoding.PEM)

    message = refused(SigningRequestPEM(request), KeyWeak)
    assert message.startswith("The public key supplied in the request is insecure: ")


def test_a_type_of_key_without_a_name_is_insecure():
    unknown = der(0x30, der(0x30, oid("1.2.840.10045.2.99")), der(0x03, b"\0" + bytes(32)))

    refused(csr_pem(csr_of(unknown, ECDSA_SHA256, signed(p256()))), KeyWeak)


def test_a_weak_key_is_refused_before_its_signature():
    weak = spki(rsa_key(1024).public_key())

    refused(csr_pem(csr_of(weak, ECDSA_SHA256, signed(p256()))), KeyWeak)


# ---- the signature ------------------------------------------------------------------------------------------


def test_a_request_signed_by_another_key_proves_nothing():
    other = ec.generate_private_key(ec.SECP256R1())

    message = refused(csr_pem(csr_of(spki(P256), ECDSA_SHA256, signed(other))), ProofFailed)
    assert message.startswith("The signature supplied in the request could not be verified: ")


@pytest.mark.parametrize("key", [p256, p384, rsa_key, ed])
def test_a_request_with_a_changed_byte_proves_nothing(key):
    request = request_der(key())
    in_signature = request[:-1] + bytes([request[-1] ^ 1])
    in_extension = request.replace(oid("2.5.29.19"), oid("2.5.29.20"))

    assert in_extension != request
    refused(csr_pem(in_signature), ProofFailed)
    refused(csr_pem(in_extension), ProofFailed)


@pytest.mark.parametrize(
    ("algorithm", "signer"),
    [
        pytest.param(der(0x30, oid("1.2.840.10045.4.3.3")), signed(p256()), id="names another hash"),
        pytest.param(der(0x30, oid("1.2.840.113549.1.1.11"), NULL), signed(p256()), id="names RSA"),
        pytest.param(der(0x30, oid("1.3.101.112")), signed(p256()), id="names Ed25519"),
        pytest.param(der(0x30, oid("1.2.840.10045.4.3.99")), signed(p256()), id="names nothing"),
        pytest.param(ECDSA_SHA256, lambda _: b"", id="empty signature"),
        pytest.param(ECDSA_SHA256, lambda _: b"\0" * 70, id="zero signature"),
        pytest.param(ECDSA_SHA256, signed(rsa_key()), id="RSA signature"),
    ],
)
def test_a_signature_that_does_not_fit_proves_nothing(algorithm, signer):
    refused(csr_pem(csr_of(spki(P256), algorithm, signer)), ProofFailed)


def test_md5_proves_nothing():
    md5 = hashes.MD5()
    algorithm = der(0x30, oid("1.2.840.113549.1.1.4"), NULL)

    refused(csr_pem(csr_of(spki(rsa_key().public_key()), algorithm, signed(rsa_key(), md5))), ProofFailed)


@pytest.mark.parametrize(
    ("hash_", "algorithm"),
    [(hashes.SHA224(), "1.2.840.10045.4.3.1"), (hashes.SHA3_256(), "2.16.840.1.101.3.4.3.10")],
)
def test_a_hash_that_go_does_not_know_proves_nothing(hash_, algorithm):
    assert algorithm in refused(csr(p256(), hash_), ProofFailed)


@pytest.mark.parametrize(
    ("key", "algorithm", "start"),
    [
        pytest.param(rsa_key, der(0x30, oid("1.2.840.113549.1.1.5"), NULL), "SHA1-RSA", id="RSA"),
        pytest.param(p256, der(0x30, oid("1.2.840.10045.4.1")), "ECDSA-SHA1", id="ECDSA"),
    ],
)
def test_sha1_is_an_unknown_algorithm(key, algorithm, start):
    request = csr_of(spki(key().public_key()), algorithm, signed(key(), hashes.SHA1()))

    message = refused(csr_pem(request), AlgorithmUnknown)
    assert message.startswith(f"unrecognized signature algorithm: {start}")


@pytest.mark.parametrize(
    ("hash_", "start"),
    [
        (hashes.SHA256(), "SHA256-RSAPSS"),
        (hashes.SHA384(), "SHA384-RSAPSS"),
        (hashes.SHA512(), "SHA512-RSAPSS"),
    ],
)
def test_rsa_pss_is_an_unknown_algorithm(hash_, start):
    pss = padding.PSS(padding.MGF1(hash_), hash_.digest_size)

    message = refused(csr(rsa_key(), hash_, rsa_padding=pss), AlgorithmUnknown)
    assert message.startswith(f"unrecognized signature algorithm: {start}")
