"""The keys that sign a TUF repository: PEM files, or whatever securesystemslib has a URI for.

https://python-securesystemslib.readthedocs.io: `awskms:`, `gcpkms:`, `azurekms:`, `hv:` (Vault), `hsm:` (PKCS #11), …
A URI does not give its public key away, so that is named with it: `awskms:alias/tuf-root=root.pub.pem`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_public_key,
)
from securesystemslib.exceptions import Error as SecureSystemsError
from securesystemslib.signer import CryptoSigner, Signer, SSlibKey

from ca.documents import file_bytes
from ca.errors import ConfigurationError
from ca.keys.file import read_private_key

if TYPE_CHECKING:
    from collections.abc import Sequence

_URI: Final = re.compile(r"(?P<uri>(?!file2:)[a-z][a-z0-9]+:.+)=(?P<public>[^=]+)")


def load_signer(key: str, password: bytes | None) -> Signer:
    """A signer for `PATH` or `URI=PUBLIC.pem`; the password is that of an encrypted file.

    Raises ConfigurationError naming the key, never what is in it.
    """
    if found := _URI.fullmatch(key):
        return _from_uri(found["uri"], Path(found["public"]))
    path = Path(key)
    private_key = read_private_key(path, file_bytes(path), password)
    if not isinstance(private_key, EllipticCurvePrivateKey | Ed25519PrivateKey):
        raise ConfigurationError(f"{path}: expected an ECDSA key on P-256 or Ed25519, which every TUF client verifies")
    try:
        return CryptoSigner(private_key)
    except ValueError as problem:
        raise ConfigurationError(f"{path}: cannot sign TUF metadata: {problem}") from problem


def load_signers(keys: Sequence[str], password: bytes | None) -> list[Signer]:
    """Several, each once. Raises ConfigurationError."""
    return list({(signer := load_signer(key, password)).public_key.keyid: signer for key in keys}.values())


def create_key(path: Path, password: bytes | None) -> None:
    """Write a new P-256 key, encrypted where there is a password. Raises ConfigurationError where the file exists."""
    encryption: KeySerializationEncryption = BestAvailableEncryption(password) if password else NoEncryption()
    pem = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
    except FileExistsError as problem:
        raise ConfigurationError(f"{path}: exists and is not overwritten; choose another directory") from problem
    except OSError as problem:
        raise ConfigurationError(f"{path}: cannot be written: {problem.strerror}") from problem


def _from_uri(uri: str, public: Path) -> Signer:
    try:
        key = SSlibKey.from_crypto(load_pem_public_key(file_bytes(public)))
        return Signer.from_priv_key_uri(uri, key)
    except (ValueError, UnsupportedAlgorithm, SecureSystemsError, ImportError, OSError) as problem:
        raise ConfigurationError(f"{uri} with {public}: cannot be used as a key: {problem}") from problem
