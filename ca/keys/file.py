"""A CA key in two PEM files: the chain, and the private key."""

from __future__ import annotations

import re
import stat
from typing import TYPE_CHECKING, Final

import structlog
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ca.certificate.chain import Chain, ChainInvalid
from ca.documents import file_bytes
from ca.errors import ConfigurationError
from ca.keys.local import LocalKey, PrivateKey
from ca.keys.model import CAKey, KeyUnusable, prove, spki

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from ca.proof.model import PublicKey

_PEM_LABEL: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----")
_KEY_LABELS: Final = {b"PRIVATE KEY", b"ENCRYPTED PRIVATE KEY", b"EC PRIVATE KEY", b"RSA PRIVATE KEY"}


async def load_file_key(chain_path: Path, key_path: Path, password: bytes | None, now: datetime) -> CAKey:
    """Read both files and hold them against each other.

    `password` is for an encrypted key. What a client refuses, or others can read, is logged as a warning.
    Raises ConfigurationError naming the file and what to do.
    """
    return await parse_key_pair(
        chain_path, file_bytes(chain_path), key_path, file_bytes(key_path), password=password, now=now
    )


async def parse_key_pair(
    chain_path: Path, chain_pem: bytes, key_path: Path, key_pem: bytes, *, password: bytes | None, now: datetime
) -> CAKey:
    """`load_file_key` for files that have been read; the paths are for what is said about them."""
    try:
        chain = Chain.parse(chain_pem)
    except ChainInvalid as problem:
        raise ConfigurationError(f"{chain_path}: {problem}") from problem
    try:
        signing_key = LocalKey.of(read_private_key(key_path, key_pem, password))
        ca_key = await prove(signing_key, chain, now)
    except ChainInvalid as problem:
        raise ConfigurationError(f"{chain_path}: {problem}") from problem
    except KeyUnusable as problem:
        raise ConfigurationError(f"{key_path}: {problem} (the chain is {chain_path})") from problem
    _warn(chain_path, key_path, ca_key)
    if password and not _is_encrypted(key_pem):
        # Fulcio requires a password to be set even where none is needed: whoever comes from there has one.
        structlog.get_logger("keys").warning(
            "the CA key is not encrypted, its password is not used", file=str(key_path)
        )
    return ca_key


def fits(chain: Chain, key_path: Path, key_pem: bytes, password: bytes | None) -> bool:
    """Whether the key is the one that the chain's issuing certificate names. Raises ConfigurationError for no key."""
    private_key = read_private_key(key_path, key_pem, password)
    return isinstance(private_key, PrivateKey) and spki(private_key.public_key()) == chain.spki


def read_private_key(path: Path, pem: bytes, password: bytes | None) -> object:
    """The one private key of a PEM text. Raises ConfigurationError naming the file."""
    if pem[:1] == b"\x30":
        raise ConfigurationError(f"{path}: is DER; expected PEM: convert it with `openssl pkey -inform DER`")
    labels = _PEM_LABEL.findall(pem)
    if len(labels) != 1:
        raise ConfigurationError(f"{path}: expected one private key in PEM, found {len(labels)}")
    if labels[0] not in _KEY_LABELS:
        raise ConfigurationError(
            f"{path}: a key in the form {labels[0].decode()!r} cannot be read; convert it to PKCS#8"
        )
    encrypted = _is_encrypted(pem)
    if encrypted and not password:
        raise ConfigurationError(f"{path}: the key is encrypted; configure its password, such as by key-password-file")
    try:
        return load_pem_private_key(pem, password if encrypted else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as problem:
        # OpenSSL tells a wrong password from a broken file only sometimes.
        what = (
            "the password is wrong, or the key is damaged" if encrypted else "the key is damaged or of an unknown kind"
        )
        raise ConfigurationError(f"{path}: {what}") from problem


def _is_encrypted(pem: bytes) -> bool:
    """As PKCS#8 (RFC 5958 §3), or by the header of RFC 1421 §4.6.1.1."""
    return b"-----BEGIN ENCRYPTED " in pem or b"\nProc-Type: 4,ENCRYPTED" in pem


def _warn(chain_path: Path, key_path: Path, ca_key: CAKey) -> None:
    logger = structlog.get_logger("keys")
    if refusing := refusing_clients(ca_key.signing_key.public_key):
        logger.warning(
            "some clients refuse certificates by this kind of CA key; P-256 and P-384 suit all",
            file=str(key_path),
            kind=refusing[0],
            clients=refusing[1],
        )
    for certificate in ca_key.chain.certificates:
        if _has_critical_usages(certificate):
            logger.warning(
                "sigstore-python refuses a CA certificate whose extended key usage is critical",
                file=str(chain_path),
                certificate=certificate.subject.rfc4514_string(),
            )
    if key_path.stat().st_mode & stat.S_IROTH:
        logger.warning("every user of this machine can read the CA key: chmod o-r", file=str(key_path))


def refusing_clients(public_key: PublicKey) -> tuple[str, str] | None:
    """The kind of an issuing key, and the clients that refuse it; None for those that every client takes.

    Measured with sigstore-python 4.5.1, sigstore-js 5.0.1, cosign 3.1.3, sigstore-java 2.0.0 and sigstore-rs 0.15.
    """
    match public_key:
        case RSAPublicKey():
            return "RSA", "sigstore-rs"
        case Ed25519PublicKey():
            return "Ed25519", "sigstore-python"
        case ec.EllipticCurvePublicKey() if public_key.curve.name == "secp521r1":
            return "P-521", "sigstore-rs"
    return None


def _has_critical_usages(certificate: x509.Certificate) -> bool:
    return any(
        extension.critical for extension in certificate.extensions if isinstance(extension.value, x509.ExtendedKeyUsage)
    )
