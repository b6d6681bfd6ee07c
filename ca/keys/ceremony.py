"""Making a CA: root, intermediate, the keys of a log and of a timestamp authority.

Done once, by a person, away from the server.

https://github.com/sigstore/fulcio/blob/main/docs/certificate-specification.md
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ca.errors import ConfigurationError

ROOT_LIFETIME: Final = timedelta(days=3652)
INTERMEDIATE_LIFETIME: Final = timedelta(days=1095)

_PRIVATE: Final = 0o600
_PUBLIC: Final = 0o644
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
_SIGNATURES: Final = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate with its private key."""

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


def create_timestamper(root: Authority, organization: str, common_name: str, now: datetime) -> Authority:
    """A P-256 certificate under `root` that signs timestamps and nothing else (RFC 3161 §2.3), for as long as it."""
    private_key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .serial_number(x509.random_serial_number())
        .issuer_name(root.certificate.subject)
        .subject_name(_name(organization, common_name))
        .public_key(private_key.public_key())
        .not_valid_before(_start(now))
        .not_valid_after(root.certificate.not_valid_after_utc)
        .add_extension(_SIGNATURES, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private_key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(root.private_key.public_key()), critical=False
        )
    )
    return Authority(certificate.sign(root.private_key, SHA384()), private_key)


def write_ca(
    directory: Path, organization: str, common_name: str, now: datetime, root_password: bytes | None = None
) -> tuple[Path, ...]:
    """Make a CA with the keys of a CT log and of a timestamp authority, and write it into `directory`.

    Returns what was written. The root's key is encrypted with `root_password` or, without one, with a new one in
    `root.password`. Whoever runs the CA needs neither: they belong offline. Private files are readable for their
    owner alone.

    Raises ConfigurationError if any of the files exists, or cannot be written.
    """
    return _write_new(directory, _ca_files(organization, common_name, now, root_password))


def write_root(
    directory: Path, organization: str, common_name: str, now: datetime, password: bytes | None = None
) -> tuple[Authority, tuple[Path, ...]]:
    """Make a root alone and write it into `directory`, as `write_ca` does; it also raises as that does."""
    root = create_root(organization, common_name, now)
    return root, _write_new(directory, _root_files(root, password))


def _write_new(directory: Path, files: dict[str, tuple[bytes, int]]) -> tuple[Path, ...]:
    """Content and mode by name. Nothing is overwritten."""
    paths = tuple(directory / name for name in files)
    if existing := [path for path in paths if path.exists() or path.is_symlink()]:
        raise ConfigurationError(f"{existing[0]}: exists and is not overwritten; choose another directory")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for path, (content, mode) in zip(paths, files.values(), strict=True):
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                file.write(content)
    except OSError as problem:
        raise ConfigurationError(f"{problem.filename}: cannot be written: {problem.strerror}") from problem
    return paths


def _ca_files(
    organization: str, common_name: str, now: datetime, root_password: bytes | None
) -> dict[str, tuple[bytes, int]]:
    """Content and mode by name."""
    root = create_root(organization, common_name, now)
    intermediate = create_intermediate(root, organization, f"{common_name}-intermediate", now)
    timestamper = create_timestamper(root, organization, f"{common_name}-timestamps", now)
    log_key = ec.generate_private_key(ec.SECP256R1())  # the one kind of log key that every client verifies

    root_pem = root.certificate.public_bytes(Encoding.PEM)
    intermediate_pem = intermediate.certificate.public_bytes(Encoding.PEM)
    return _root_files(root, root_password) | {
        "intermediate.key.pem": (
            intermediate.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            _PRIVATE,
        ),
        "intermediate.crt.pem": (intermediate_pem, _PUBLIC),
        "chain.pem": (intermediate_pem + root_pem, _PUBLIC),
        "timestamp.key.pem": (
            timestamper.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            _PRIVATE,
        ),
        "timestamp-chain.pem": (timestamper.certificate.public_bytes(Encoding.PEM) + root_pem, _PUBLIC),
        # TesseraCT reads SEC1 alone; CTFE reads that too.
        "ctlog.key.pem": (
            log_key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
            _PRIVATE,
        ),
        "ctlog.pub.pem": (
            log_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            _PUBLIC,
        ),
    }


def _root_files(root: Authority, root_password: bytes | None) -> dict[str, tuple[bytes, int]]:
    password = root_password or secrets.token_urlsafe(32).encode()
    files = {
        "root.key.pem": (
            root.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password)),
            _PRIVATE,
        ),
        "root.crt.pem": (root.certificate.public_bytes(Encoding.PEM), _PUBLIC),
    }
    if root_password is None:
        files["root.password"] = (password + b"\n", _PRIVATE)
    return files


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
