"""Exported files read as a stranger reads them: paths, structures, hashes and signatures by the text of tlog-tiles.

Shares no code with the log. `read` gets what a web server would be asked for, relative to the log's prefix.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.ct.embedded.oracle import merkle_leaf, mth


def check_published(out: Path, verifier_key: str) -> int:
    """Fail unless everything that the checkpoint promises is there and hashes to it; the number of entries."""

    def read(path: str) -> bytes:
        return (out / path).read_bytes()

    origin, size, root = note(read("checkpoint").decode(), verifier_key)
    assert origin == verifier_key.split("+", maxsplit=1)[0]
    hashes = [hashlib.sha256(b"\x00" + leaf).digest() for leaf in leaves(read, size)]
    assert mth(hashes) == root
    level = 0
    while hashes:
        for start in range(0, len(hashes), 256):
            tile = hashes[start : start + 256]
            assert read(tile_name(str(level), start // 256, len(tile))) == b"".join(tile)
        hashes = [mth(hashes[start : start + 256]) for start in range(0, len(hashes) // 256 * 256, 256)]
        level += 1
    return size


def note(text: str, verifier_key: str) -> tuple[str, int, bytes]:
    """Origin, size and root of a checkpoint that this key has signed."""
    name, key_id, encoded = verifier_key.split("+", 2)
    body, _, signatures = text.partition("\n\n")
    blobs = [b64decode(line.split(" ")[2]) for line in signatures.splitlines() if line.startswith(f"— {name} ")]
    (signature,) = [blob[4:] for blob in blobs if blob[:4].hex() == key_id]
    Ed25519PublicKey.from_public_bytes(b64decode(encoded)[1:]).verify(signature, f"{body}\n".encode())
    origin, size, root = body.split("\n")
    return origin, int(size), b64decode(root)


def leaves(read: Callable[[str], bytes], size: int) -> list[bytes]:
    """Every MerkleTreeLeaf, out of entry bundles and data tiles, which must agree; each issuer must be there."""
    found = []
    for start in range(0, size, 256):
        width = min(256, size - start)
        bundle, data = (read(tile_name(kind, start // 256, width)) for kind in ("entries", "data"))
        for index in range(start, start + width):
            length = int.from_bytes(bundle[:2], "big")
            leaf, bundle = bundle[2 : 2 + length], bundle[2 + length :]
            end = _tile_leaf_end(data)
            from_data, _, fingerprints = merkle_leaf(data[:end], index)
            data = data[end:]
            assert leaf == from_data
            for fingerprint in fingerprints:
                assert hashlib.sha256(read(f"issuer/{fingerprint.hex()}")).digest() == fingerprint
            found.append(leaf)
        assert not bundle
        assert not data
    return found


def tile_name(kind: str, index: int, width: int = 256) -> str:
    digits = f"{index:03}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    name = "/".join([f"x{group}" for group in groups[:-1]] + groups[-1:])
    return f"tile/{kind}/{name}" + (f".p/{width}" if width < 256 else "")


def _tile_leaf_end(data: bytes) -> int:
    """Where the first TileLeaf ends."""
    precert = data[8:10] == b"\x00\x01"
    at = 42 if precert else 10
    at += 3 + int.from_bytes(data[at : at + 3], "big")
    at += 2 + int.from_bytes(data[at : at + 2], "big")
    if precert:
        at += 3 + int.from_bytes(data[at : at + 3], "big")
    return at + 2 + int.from_bytes(data[at : at + 2], "big")
