"""Rekor v2, the log of signatures, with its tiles in a directory."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.e2e.processes import Child, Tools, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ORIGIN = "127.0.0.1"
"""sigstore-go wants the host of the log's URL, sigstore-js a part of that."""


@dataclass(frozen=True)
class Rekor:
    url: str
    public_key: Path


@contextmanager
def rekor(tools: Tools, directory: Path) -> Iterator[Rekor]:
    key = Ed25519PrivateKey.generate()
    private, public = directory / "rekor.key.pem", directory / "rekor.pub.pem"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    port = free_port()
    command = [
        *(tools.binary("rekor-server"), "serve", "--http-address=127.0.0.1", f"--http-port={port}"),
        *(f"--grpc-port={free_port()}", f"--http-metrics-port={free_port()}", f"--hostname={ORIGIN}"),
        *(f"--storage-dir={directory / 'rekor'}", f"--signer-filepath={private}"),
        # An answer waits for the next checkpoint that has the entry.
        *("--checkpoint-interval=200ms", "--batch-max-age=50ms"),
    ]
    with Child.start("rekor", command, directory) as child:
        url = f"http://127.0.0.1:{port}"
        child.wait_for_http(f"{url}/healthz")
        _add_first_entry(url)
        yield Rekor(url, public)


def _add_first_entry(url: str) -> None:
    """sigstore-python cannot read what others write of a log's first entry: its index is 0, which Go leaves out."""
    key = ec.generate_private_key(ec.SECP256R1())
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    verifier = {"publicKey": {"rawBytes": _base64(spki)}, "keyDetails": "PKIX_ECDSA_P256_SHA_256"}
    signature = {"content": _base64(key.sign(b"first", ec.ECDSA(SHA256()))), "verifier": verifier}
    entry = {"digest": _base64(hashlib.sha256(b"first").digest()), "signature": signature}
    request = {"hashedRekordRequestV002": entry}
    httpx.post(f"{url}/api/v2/log/entries", json=request, trust_env=False, timeout=30).raise_for_status()


def _base64(data: bytes) -> str:
    return b64encode(data).decode()
