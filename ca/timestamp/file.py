"""A timestamp authority's key and chain in files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from ca.certificate.chain import Chain, ChainInvalid
from ca.documents import file_bytes
from ca.errors import ConfigurationError
from ca.keys.file import read_private_key
from ca.keys.local import LocalKey
from ca.timestamp.authority import TimestampAuthority

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from ca.timestamp.settings import TimestampSettings


def load_timestamp_authority(settings: TimestampSettings, now: datetime) -> TimestampAuthority | None:
    """The authority that the settings name, if any. Raises ConfigurationError naming the file and what to do."""
    if settings.chain is None or settings.key is None:
        return None
    chain = _chain(settings.chain, now)
    password = file_bytes(settings.key_password_file).rstrip(b"\r\n") if settings.key_password_file else None
    private_key = read_private_key(settings.key, file_bytes(settings.key), password)
    # What every client verifies timestamps with.
    if not isinstance(private_key, EllipticCurvePrivateKey) or not isinstance(private_key.curve, SECP256R1 | SECP384R1):
        raise ConfigurationError(f"{settings.key}: expected an ECDSA key on P-256 or P-384")
    public = private_key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if public != chain.spki:
        raise ConfigurationError(f"{settings.key}: is not the key of the first certificate of {settings.chain}")
    return TimestampAuthority(LocalKey.of(private_key), chain)


def _chain(path: Path, now: datetime) -> Chain:
    try:
        chain = Chain.parse(file_bytes(path))
        chain.check_path()
        chain.check_time(now)
    except ChainInvalid as problem:
        raise ConfigurationError(f"{path}: {problem}") from problem
    if len(chain.certificates) == 1:
        raise ConfigurationError(f"{path}: has the root alone; expected the authority's own certificate before it")
    if not _is_for_timestamps_alone(chain.certificates[0]):
        raise ConfigurationError(
            f"{path}: the first certificate is not for timestamps alone: its extended key usage must be timeStamping "
            "and nothing else, and critical (RFC 3161 §2.3)"
        )
    return chain


def _is_for_timestamps_alone(certificate: x509.Certificate) -> bool:
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except x509.ExtensionNotFound:
        return False
    return usages.critical and list(usages.value) == [ExtendedKeyUsageOID.TIME_STAMPING]
