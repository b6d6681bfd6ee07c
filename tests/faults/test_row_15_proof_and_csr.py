"""Row 15: proofs of possession and certificate requests that prove nothing, or ask for more than a key.

Expected: 400 with a stable reason and no certificate; and of a CSR that is accepted, nothing but the key is in the
certificate.
"""

from __future__ import annotations

from base64 import b64encode

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AttributeOID

from tests.api.server import CA, leaf
from tests.faults.asking import CHALLENGE, refused, with_csr, with_key
from tests.proof.builders import csr_builder, csr_of, der, ed, key_pem, oid, p256, p384, rsa_key, sign, spki
from tests.proof.builders import pem as pem_of

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
MESSAGE = CHALLENGE.encode()
KEY = p256()
OURS = key_pem(KEY.public_key())
R, S = decode_dss_signature(sign(KEY, MESSAGE, SHA256()))


def integers(r: bytes, s: bytes) -> bytes:
    return der(0x30, der(0x02, r), der(0x02, s))


def octets(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1, "big")


PROOFS = {
    "none": b"",
    "by another key": sign(ec.generate_private_key(ec.SECP256R1()), MESSAGE, SHA256()),
    "over the subject of another": sign(KEY, b"eve@example.com", SHA256()),
    "over the sub where the e-mail address is due": sign(KEY, b"4711", SHA256()),
    "with SHA-384": sign(KEY, MESSAGE, hashes.SHA384()),
    "with SHA-1": sign(KEY, MESSAGE, hashes.SHA1()),
    "over the hash": sign(KEY, bytes.fromhex("00" * 32), SHA256()),
    "r = s = 0": integers(b"\0", b"\0"),
    "r = 0": integers(b"\0", octets(S)),
    "s = 0": integers(octets(R), b"\0"),
    "r = s = 1": integers(b"\1", b"\1"),
    "r = s = the order": integers(octets(P256_ORDER), octets(P256_ORDER)),
    "s beyond the order": integers(octets(R), octets(S + P256_ORDER)),
    "negative r": integers((-R).to_bytes(33, "big", signed=True), octets(S)),
    "negative s": integers(octets(R), (-S).to_bytes(33, "big", signed=True)),
    "r with leading zeros": integers(b"\0\0\0" + octets(R), octets(S)),
    "an indefinite length": b"\x30\x80" + integers(octets(R), octets(S))[2:] + b"\0\0",
    "bytes after it": encode_dss_signature(R, S) + b"\0",
    "truncated": encode_dss_signature(R, S)[:-1],
    "zeros of the raw form": bytes(64),
    "ones of the raw form": b"\xff" * 64,
    "huge integers": integers(b"\1" * 3000, b"\1" * 3000),
}


@pytest.mark.parametrize("proof", PROOFS.values(), ids=PROOFS)
def test_a_proof_that_proves_nothing_is_refused(ca: CA, proof: bytes) -> None:
    refused(with_key(ca, OURS, proof), "PROOF_FAILED")


def test_high_s_proves_as_much_as_low_s(ca: CA) -> None:
    """Nobody is kept out by it, and nothing is kept in: proofs are not stored or compared."""
    for s in (S, P256_ORDER - S):
        assert with_key(ca, OURS, encode_dss_signature(R, s)).status_code == 200


RSA_PROOFS = {
    "PSS": rsa_key().sign(MESSAGE, padding.PSS(padding.MGF1(SHA256()), 32), SHA256()),
    "SHA-1": rsa_key().sign(MESSAGE, padding.PKCS1v15(), hashes.SHA1()),
    "SHA-512": rsa_key().sign(MESSAGE, padding.PKCS1v15(), hashes.SHA512()),
    "zeros": bytes(256),
    "the modulus": rsa_key().public_key().public_numbers().n.to_bytes(256, "big"),
    "one byte": b"\1",
}


@pytest.mark.parametrize("proof", RSA_PROOFS.values(), ids=RSA_PROOFS)
def test_an_rsa_proof_of_another_kind_is_refused(ca: CA, proof: bytes) -> None:
    refused(with_key(ca, key_pem(rsa_key().public_key()), proof), "PROOF_FAILED")


def test_p384_with_sha256_is_refused_as_proof_and_as_request(ca: CA) -> None:
    refused(with_key(ca, key_pem(p384().public_key()), sign(p384(), MESSAGE, SHA256())), "PROOF_FAILED")
    request = csr_builder().sign(p384(), SHA256()).public_bytes(Encoding.PEM)
    refused(with_csr(ca, request), "ALGORITHM_NOT_PERMITTED")


# ---- certificate requests -------------------------------------------------------------------------------------------


def request_of(algorithm: str, signer) -> bytes:
    body = csr_of(spki(rsa_key().public_key()), der(0x30, oid(algorithm), der(0x05)), signer)
    return pem_of("CERTIFICATE REQUEST", body)


def good_request() -> bytes:
    return csr_builder().sign(KEY, SHA256()).public_bytes(Encoding.DER)


def flipped(request: bytes, at: int) -> bytes:
    return pem_of("CERTIFICATE REQUEST", request[:at] + bytes([request[at] ^ 1]) + request[at + 1 :])


def rsa_sign(hash_):
    return lambda message: rsa_key().sign(message, padding.PKCS1v15(), hash_)


REQUESTS = {
    "SHA-1": request_of("1.2.840.113549.1.1.5", rsa_sign(hashes.SHA1())),
    "MD5": request_of("1.2.840.113549.1.1.4", rsa_sign(hashes.MD5())),
    "MD2": request_of("1.2.840.113549.1.1.2", lambda _: bytes(256)),
    "PSS": csr_builder()
    .sign(rsa_key(), SHA256(), rsa_padding=padding.PSS(padding.MGF1(SHA256()), 32))
    .public_bytes(Encoding.PEM),
    "signed by another key": pem_of(
        "CERTIFICATE REQUEST",
        csr_of(
            spki(KEY.public_key()),
            der(0x30, oid("1.2.840.10045.4.3.2")),
            lambda message: sign(ec.generate_private_key(ec.SECP256R1()), message, SHA256()),
        ),
    ),
    "a bit of its signature": flipped(good_request(), -1),
    "bytes after it": pem_of("CERTIFICATE REQUEST", good_request() + b"\0"),
    "truncated": pem_of("CERTIFICATE REQUEST", good_request()[:-1]),
    "a certificate's label": pem_of("CERTIFICATE", good_request()),
    "empty": b"",
    "garbage": b"\0" * 5000,
    "weak key": csr_builder().sign(rsa.generate_private_key(65537, 1024), SHA256()).public_bytes(Encoding.PEM),
}
REASONS = ("CSR_UNPARSABLE", "PROOF_FAILED", "ALGORITHM_UNKNOWN", "KEY_WEAK", "KEY_UNPARSABLE", "MALFORMED_REQUEST")


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_a_request_that_proves_nothing_is_refused(ca: CA, request_: bytes) -> None:
    refused(with_csr(ca, request_), *REASONS)


def test_every_byte_of_a_request_counts(ca: CA) -> None:
    request = good_request()
    for at in range(0, len(request), 7):
        refused(with_csr(ca, flipped(request, at)), *REASONS)


def test_of_a_greedy_request_nothing_but_the_key_is_certified(ca: CA) -> None:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "root.example.org")])
    greedy = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=3), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.RFC822Name("eve@example.com"), x509.DNSName("x.example")]), True
        )
        .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1"), b"https://evil.example"), False
        )
        .add_attribute(AttributeOID.CHALLENGE_PASSWORD, b"swordfish")
        .sign(KEY, SHA256())
    )
    asked = leaf(with_csr(ca, greedy.public_bytes(Encoding.PEM)))
    plain = leaf(with_csr(ca, pem_of("CERTIFICATE REQUEST", good_request())))
    assert asked.public_key() == KEY.public_key()
    assert asked.subject == x509.Name([])
    assert list(asked.extensions) == list(plain.extensions)
    der_bytes = asked.public_bytes(Encoding.DER)
    for greed in (b"eve@example.com", b"x.example", b"evil.example", b"swordfish", b"root.example.org"):
        assert greed not in der_bytes


def test_request_and_key_together_are_refused_or_the_request_s_key_alone_is_certified(ca: CA) -> None:
    other = ed()
    key = {"publicKey": {"content": key_pem(other.public_key()).decode()}}
    both = key | {"proofOfPossession": b64encode(sign(other, MESSAGE, SHA256())).decode()}
    answer = with_csr(ca, pem_of("CERTIFICATE REQUEST", good_request()), publicKeyRequest=both)
    refused(answer, "MALFORMED_REQUEST")
