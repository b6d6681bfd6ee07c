"""The two keys of a log, in files: the one of its SCTs and tree heads, and the one of its checkpoints' note line."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from ca.documents import file_bytes
from ca.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

LOG_KEY: Final = "ctlog.key.pem"
LOG_PUBLIC_KEY: Final = "ctlog.pub.pem"
NOTE_KEY: Final = "ctlog-note.key.pem"

_PRIVATE: Final = 0o600
_PUBLIC: Final = 0o644


@dataclass(frozen=True, slots=True, repr=False)
class LogKeys:
    """What a log signs with. A key belongs to one log for ever: two trees under one key are a split view."""

    log_key: EllipticCurvePrivateKey
    """P-256, the one kind whose SCTs every client verifies."""
    note_key: Ed25519PrivateKey
    """Signs the checkpoint's second line, which tlog-tiles clients and witnesses read."""

    @property
    def log_id(self) -> bytes:
        """SHA-256 of the log key's DER SubjectPublicKeyInfo, RFC 6962 §3.2; 32 bytes."""
        spki = self.log_key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return hashlib.sha256(spki).digest()


def create_keys(directory: Path) -> LogKeys:
    """Make the keys that `directory` does not have yet; a log key of `dayfly ca init` is kept.

    Never overwrites anything. Raises ConfigurationError if both keys are there, if a public key is there whose
    private key is not, or if a file cannot be read or written.
    """
    log_path, public_path, note_path = (directory / name for name in (LOG_KEY, LOG_PUBLIC_KEY, NOTE_KEY))
    if _exists(note_path):
        raise ConfigurationError(f"{note_path}: exists and is not overwritten; choose another directory")
    if _exists(public_path) and not _exists(log_path):
        raise ConfigurationError(
            f"{public_path}: is the public key of a log whose private key {log_path.name} is missing; put that back, "
            "or choose another directory for a new log"
        )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        log_key = _load_log_key(log_path) if _exists(log_path) else _create_log_key(log_path)
        if not _exists(public_path):
            public = log_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            _write(public_path, public, _PUBLIC)
        note_key = Ed25519PrivateKey.generate()
        pem = note_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        _write(note_path, pem, _PRIVATE)
    except OSError as problem:
        raise ConfigurationError(f"{problem.filename}: cannot be written: {problem.strerror}") from problem
    return load_keys(directory)


def load_keys(directory: Path) -> LogKeys:
    """The keys that `create_keys` left in `directory`.

    Raises ConfigurationError naming the file and what to do.
    """
    log_key = _load_log_key(directory / LOG_KEY)
    _check_public_key(directory / LOG_PUBLIC_KEY, log_key)
    note_path = directory / NOTE_KEY
    note_key = _load(note_path)
    if not isinstance(note_key, Ed25519PrivateKey):
        raise ConfigurationError(f"{note_path}: is not an Ed25519 key; put back the file that `dayfly log init` wrote")
    return LogKeys(log_key, note_key)


def _create_log_key(path: Path) -> EllipticCurvePrivateKey:
    log_key = generate_private_key(SECP256R1())
    # SEC1, as TesseraCT reads it: whoever moves there takes the key along to keep the old log's tiles verifiable.
    _write(path, log_key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()), _PRIVATE)
    return log_key


def _load_log_key(path: Path) -> EllipticCurvePrivateKey:
    log_key = _load(path)
    if not isinstance(log_key, EllipticCurvePrivateKey) or not isinstance(log_key.curve, SECP256R1):
        raise ConfigurationError(
            f"{path}: is not an ECDSA P-256 key, the one kind whose SCTs every client verifies; put back the file that "
            "`dayfly log init` wrote"
        )
    return log_key


def _check_public_key(path: Path, log_key: EllipticCurvePrivateKey) -> None:
    try:
        public_key = load_pem_public_key(file_bytes(path))
    except (ValueError, UnsupportedAlgorithm) as problem:
        raise ConfigurationError(f"{path}: is not a public key in PEM") from problem
    if not isinstance(public_key, EllipticCurvePublicKey) or public_key != log_key.public_key():
        raise ConfigurationError(
            f"{path}: is not the public key of {LOG_KEY} beside it; put back the pair that was made together"
        )


def _load(path: Path) -> object:
    pem = file_bytes(path)
    if path.stat().st_mode & stat.S_IROTH:
        structlog.get_logger("ct").warning("every user of this machine can read the key: chmod o-r", file=str(path))
    try:
        return load_pem_private_key(pem, None)
    except TypeError as problem:
        raise ConfigurationError(f"{path}: is encrypted; the log's keys are kept unencrypted, mode 600") from problem
    except (ValueError, UnsupportedAlgorithm) as problem:
        raise ConfigurationError(f"{path}: is not a private key in PEM") from problem


def _exists(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _write(path: Path, content: bytes, mode: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
