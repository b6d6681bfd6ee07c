"""A CA for tests, and precertificates by pyca/cryptography's builder, which shares nothing with ours."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from ca.ct.model import Precertificate

NOW = datetime.now(UTC).replace(microsecond=0)
POISON = bytes.fromhex("060a2b06010401d679020403")  # OBJECT IDENTIFIER 1.3.6.1.4.1.11129.2.4.3

_CERTIFICATE_SIGNING = x509.KeyUsage(
    key_cert_sign=True,
    crl_sign=True,
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True)
class CA:
    root: x509.Certificate
    issuing: x509.Certificate
    issuing_key: ec.EllipticCurvePrivateKey

    @property
    def ders(self) -> tuple[bytes, ...]:
        return tuple(certificate.public_bytes(Encoding.DER) for certificate in (self.issuing, self.root))


def make_ca() -> CA:
    root_key, issuing_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = _ca_certificate("root", root_key, "root", root_key)
    return CA(root, _ca_certificate("issuing", issuing_key, "root", root_key), issuing_key)


def leaf(ca: CA, serial: int = 4711) -> x509.CertificateBuilder:
    """A code signing certificate as far as both the precertificate and the final one go."""
    return (
        x509.CertificateBuilder(serial_number=serial)
        .subject_name(x509.Name([]))
        .issuer_name(ca.issuing.subject)
        .public_key(ec.generate_private_key(ec.SECP256R1()).public_key())
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(minutes=10))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.RFC822Name("ada@example.com")]), critical=True)
    )


def precertificate(ca: CA, builder: x509.CertificateBuilder | None = None) -> Precertificate:
    builder = builder or leaf(ca)
    poisoned = builder.add_extension(x509.PrecertPoison(), critical=True).sign(ca.issuing_key, SHA256())
    return Precertificate(
        der=poisoned.public_bytes(Encoding.DER),
        clean_tbs=without_poison(poisoned.tbs_certificate_bytes),
        issuer_key_hash=key_hash(ca.issuing.public_key()),
        chain=ca.ders,
        not_after=poisoned.not_valid_after_utc,
    )


def with_sct_list(ca: CA, builder: x509.CertificateBuilder, sct_list: bytes) -> x509.Certificate:
    octets = b"\x04" + _length(len(sct_list)) + sct_list
    oid = ExtensionOID.PRECERT_SIGNED_CERTIFICATE_TIMESTAMPS
    extension = x509.UnrecognizedExtension(oid, octets)
    return builder.add_extension(extension, critical=False).sign(ca.issuing_key, SHA256())


def key_hash(public_key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> bytes:
    """SHA-256 of the SubjectPublicKeyInfo: an issuer key hash, and a log id."""
    spki = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).digest()


def without_poison(tbs: bytes) -> bytes:
    """The TBSCertificate without its one poison extension, every other byte as it was (RFC 6962 §3.2)."""
    fields = _children(_content(tbs))
    assert fields[-1][:1] == b"\xa3"  # extensions [3] EXPLICIT
    extensions = _children(_content(_content(fields[-1])))
    kept = [extension for extension in extensions if not _content(extension).startswith(POISON)]
    assert len(kept) == len(extensions) - 1
    return element(b"\x30", b"".join(fields[:-1]) + element(b"\xa3", element(b"\x30", b"".join(kept))))


def _ca_certificate(name, key, issuer_name, issuer_key) -> x509.Certificate:
    def named(common_name: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])

    return (
        x509.CertificateBuilder(serial_number=x509.random_serial_number())
        .subject_name(named(name))
        .issuer_name(named(issuer_name))
        .public_key(key.public_key())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_CERTIFICATE_SIGNING, critical=True)
        .sign(issuer_key, SHA256())
    )


def _length(size: int) -> bytes:
    if size < 0x80:
        return bytes([size])
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(octets)]) + octets


def element(tag: bytes, content: bytes) -> bytes:
    return tag + _length(len(content)) + content


def _content(element: bytes) -> bytes:
    header = 2 + (element[1] & 0x7F if element[1] & 0x80 else 0)
    return element[header:]


def _children(content: bytes) -> list[bytes]:
    children = []
    while content:
        size = content[1]
        header = 2
        if size & 0x80:
            header += size & 0x7F
            size = int.from_bytes(content[2:header], "big")
        children.append(content[: header + size])
        content = content[header + size :]
    return children
