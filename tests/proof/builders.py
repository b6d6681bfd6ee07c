"""Keys, proofs and certificate requests as clients make them, and as they should not."""

from __future__ import annotations

import base64
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ca.proof.algorithms import DEFAULT_ALGORITHMS
from ca.proof.model import KeyWithProof, SigningRequestPEM
from ca.proof.policy import KeyPolicy

CHALLENGE = "ada@example.com"
DEFAULT_POLICY = KeyPolicy.parse(DEFAULT_ALGORITHMS)


@cache
def p256():
    return ec.generate_private_key(ec.SECP256R1())


@cache
def p384():
    return ec.generate_private_key(ec.SECP384R1())


@cache
def p521():
    return ec.generate_private_key(ec.SECP521R1())


@cache
def rsa_key(bits=2048):
    return rsa.generate_private_key(65537, bits)


@cache
def ed():
    return ed25519.Ed25519PrivateKey.generate()


def spki(public_key) -> bytes:
    return public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def pkcs1(public_key) -> bytes:
    return public_key.public_bytes(Encoding.DER, PublicFormat.PKCS1)


def pem(label: str, der: bytes, width: int = 64, newline: str = "\n") -> bytes:
    text = base64.b64encode(der).decode()
    lines = [text[i : i + width] for i in range(0, len(text), width)]
    return (newline.join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----"]) + newline).encode()


def key_pem(public_key) -> bytes:
    return pem("PUBLIC KEY", spki(public_key))


def sign(private_key, message: bytes, hash_: hashes.HashAlgorithm) -> bytes:
    if isinstance(private_key, ec.EllipticCurvePrivateKey):
        return private_key.sign(message, ec.ECDSA(hash_))
    if isinstance(private_key, rsa.RSAPrivateKey):
        return private_key.sign(message, padding.PKCS1v15(), hash_)
    return private_key.sign(message)


def default_hash(private_key) -> hashes.HashAlgorithm:
    return {384: hashes.SHA384(), 521: hashes.SHA512()}.get(getattr(private_key, "key_size", 0), hashes.SHA256())


def proven(private_key, challenge: str = CHALLENGE) -> KeyWithProof:
    """What a well-behaved client sends."""
    proof = sign(private_key, challenge.encode(), default_hash(private_key))
    return KeyWithProof(key_pem(private_key.public_key()), proof)


def unproven(public_key: bytes, der_allowed: bool = False) -> KeyWithProof:
    """For keys that are refused before anybody looks at the proof."""
    return KeyWithProof(public_key, b"no signature", der_allowed)


def csr_builder() -> x509.CertificateSigningRequestBuilder:
    return x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))


def csr(private_key, hash_: hashes.HashAlgorithm | None = None, **options) -> SigningRequestPEM:
    """As sigstore-python makes it."""
    if hash_ is None and not isinstance(private_key, ed25519.Ed25519PrivateKey):
        hash_ = default_hash(private_key)
    request = (
        csr_builder()
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(private_key, hash_, **options)
    )
    return SigningRequestPEM(request.public_bytes(Encoding.PEM))


def der(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    if len(content) < 0x80:
        return bytes([tag, len(content)]) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def oid(dotted: str) -> bytes:
    first, second, *arcs = (int(arc) for arc in dotted.split("."))
    body = bytearray([first * 40 + second])
    for arc in arcs:
        septets = [arc & 0x7F]
        while arc := arc >> 7:
            septets.append(0x80 | arc & 0x7F)
        body += bytes(reversed(septets))
    return der(0x06, bytes(body))


def csr_of(public_spki: bytes, algorithm: bytes, signer, *, version: int = 0, tail: bytes = b"") -> bytes:
    """A PKCS#10 request in DER with any key and any AlgorithmIdentifier; `signer` signs its first part."""
    info = der(0x30, der(0x02, bytes([version])), der(0x30), public_spki, der(0xA0))
    return der(0x30, info, algorithm, der(0x03, b"\0", signer(info))) + tail


def csr_pem(request: bytes, label: str = "CERTIFICATE REQUEST") -> SigningRequestPEM:
    return SigningRequestPEM(pem(label, request))
