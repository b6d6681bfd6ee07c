"""Making a CA: root, intermediate, the keys of a log. Done once, by a person, away from the server.

https://github.com/sigstore/fulcio/blob/main/docs/certificate-specification.md
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ROOT_LIFETIME: Final = timedelta(days=3652)
INTERMEDIATE_LIFETIME: Final = timedelta(days=1095)


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA certificate with its private key."""

    certificate: x509.Certificate
    private_key: ec.EllipticCurvePrivateKey


def create_root(organization: str, common_name: str, now: datetime) -> Authority:
    """A self-signed P-384 certificate for ten years, to be kept offline."""
    private_key = ec.generate_private_key(ec.SECP384R1())
    name = _name(organization, common_name)
    builder = _builder(name, name, private_key, path_length=None)
    builder = builder.not_valid_before(_start(now)).not_valid_after(_start(now) + ROOT_LIFETIME)
    return Authority(builder.sign(private_key, SHA384()), private_key)


def create_intermediate(root: Authority, organization: str, common_name: str, now: datetime) -> Authority:
    """A P-256 issuing certificate under `root`, for three years or as long as the root lives."""
    private_key = ec.generate_private_key(ec.SECP256R1())
    # Clients compare names as bytes: the root's own Name object keeps its string types (RFC 5280 §7.1).
    builder = _builder(root.certificate.subject, _name(organization, common_name), private_key, path_length=0)
    end = min(_start(now) + INTERMEDIATE_LIFETIME, root.certificate.not_valid_after_utc)
    builder = (
        builder.not_valid_before(_start(now))
        .not_valid_after(end)
        # Not critical: sigstore-python refuses an intermediate whose EKU is.
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(root.private_key.public_key()), critical=False
        )
    )
    return Authority(builder.sign(root.private_key, SHA384()), private_key)


def _builder(
    issuer: x509.Name, subject: x509.Name, private_key: ec.EllipticCurvePrivateKey, path_length: int | None
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .serial_number(x509.random_serial_number())
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(private_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_CERTIFICATES_AND_CRLS, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private_key.public_key()), critical=False)
    )


def _name(organization: str, common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _start(now: datetime) -> datetime:
    return now.replace(microsecond=0)


_CERTIFICATES_AND_CRLS: Final = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
