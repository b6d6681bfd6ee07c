"""The whole log read from its file and checked by the text of RFC 6962, static-ct-api and tlog-tiles.

Shares no code with the log: SQL, structures, hashes and signatures are written again here.
"""

from __future__ import annotations

import hashlib
import sqlite3
from base64 import b64decode
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from ca.ct.rfc6962 import SCT


@dataclass(frozen=True)
class Tree:
    """What the oracle found, for comparison with what was seen before."""

    leaves: tuple[bytes, ...]
    root: bytes
    timestamp: int


def mth(hashes: list[bytes]) -> bytes:
    """MTH over leaf hashes, RFC 6962 §2.1, as it is defined."""
    n = len(hashes)
    if n == 0:
        return hashlib.sha256(b"").digest()
    if n == 1:
        return hashes[0]
    k = 1
    while k * 2 < n:
        k *= 2
    return hashlib.sha256(b"\x01" + mth(hashes[:k]) + mth(hashes[k:])).digest()


def check_log(directory: Path, before: Tree | None = None) -> Tree:
    """Fail unless the log in `directory` is whole, and continues `before`."""
    sql = sqlite3.connect(directory / "ctlog.sqlite")
    try:
        origin, log_id = sql.execute("SELECT origin, log_id FROM log").fetchone()
        size, root, timestamp, checkpoint = sql.execute("SELECT size, root, timestamp, checkpoint FROM head").fetchone()
        rows = sql.execute("SELECT leaf_index, leaf_hash, tile_leaf FROM entry ORDER BY leaf_index").fetchall()
        tiles = {(level, n): hashes for level, n, hashes in sql.execute("SELECT level, tile_index, hashes FROM tile")}
        issuers = dict(sql.execute("SELECT fingerprint, der FROM issuer").fetchall())
    finally:
        sql.close()
    assert [index for index, _, _ in rows] == list(range(size))
    leaves = []
    last_time = 0
    for index, stored_hash, tile_leaf in rows:
        leaf, entry_time, fingerprints = merkle_leaf(tile_leaf, index)
        assert last_time <= entry_time <= timestamp
        last_time = entry_time
        assert hashlib.sha256(b"\x00" + leaf).digest() == stored_hash
        assert all(hashlib.sha256(issuers[fingerprint]).digest() == fingerprint for fingerprint in fingerprints)
        leaves.append(leaf)
    hashes = [hashlib.sha256(b"\x00" + leaf).digest() for leaf in leaves]
    assert mth(hashes) == root
    assert tiles == full_tiles(hashes)
    check_signatures(directory, checkpoint, origin, size, root, timestamp)
    public_key = load_pem_public_key((directory / "ctlog.pub.pem").read_bytes())
    assert log_id == hashlib.sha256(_spki(public_key)).digest()
    if before is not None:
        assert tuple(leaves[: len(before.leaves)]) == before.leaves
        if len(leaves) == len(before.leaves):
            assert root == before.root
        assert timestamp >= before.timestamp
    return Tree(tuple(leaves), root, timestamp)


def full_tiles(hashes: list[bytes]) -> dict[tuple[int, int], bytes]:
    """Tile (l, n) holds MTH(D[(n*256+i)*256**l : (n*256+i+1)*256**l]) for i from 0 (tlog-tiles)."""
    tiles = {}
    level = 0
    while len(hashes) >= 256:
        whole = len(hashes) // 256
        for n in range(whole):
            tiles[level, n] = b"".join(hashes[n * 256 : n * 256 + 256])
        hashes = [mth(hashes[n * 256 : n * 256 + 256]) for n in range(whole)]
        level += 1
    return tiles


def merkle_leaf(tile_leaf: bytes, index: int) -> tuple[bytes, int, list[bytes]]:
    """The MerkleTreeLeaf in a TileLeaf, its timestamp, and the chain's fingerprints."""
    at = 8
    timestamp = int.from_bytes(tile_leaf[:8], "big")
    kind = int.from_bytes(tile_leaf[at : at + 2], "big")
    at += 2
    if kind == 1:
        at += 32
    at += 3 + int.from_bytes(tile_leaf[at : at + 3], "big")
    assert tile_leaf[at : at + 10] == b"\x00\x08\x00\x00\x05" + index.to_bytes(5, "big")
    at += 10
    leaf = b"\x00\x00" + tile_leaf[:at]
    if kind == 1:
        at += 3 + int.from_bytes(tile_leaf[at : at + 3], "big")
    length = int.from_bytes(tile_leaf[at : at + 2], "big")
    chain = tile_leaf[at + 2 :]
    assert len(chain) == length
    return leaf, timestamp, [chain[i : i + 32] for i in range(0, length, 32)]


def check_signatures(directory: Path, checkpoint: str, origin: str, size: int, root: bytes, timestamp: int) -> None:
    text, _, lines = checkpoint.partition("\n\n")
    assert text.split("\n")[:2] == [origin, str(size)]
    assert b64decode(text.split("\n")[2]) == root
    by_type = {}
    public_key = load_pem_public_key((directory / "ctlog.pub.pem").read_bytes())
    note_key = load_pem_private_key((directory / "ctlog-note.key.pem").read_bytes(), None).public_key()
    log_id = hashlib.sha256(_spki(public_key)).digest()
    raw = note_key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    ids = {
        hashlib.sha256(origin.encode() + b"\n\x05" + log_id).digest()[:4]: "log",
        hashlib.sha256(origin.encode() + b"\n\x01" + raw).digest()[:4]: "note",
    }
    for line in lines.splitlines():
        dash, name, encoded = line.split(" ")
        assert (dash, name) == ("\u2014", origin)
        blob = b64decode(encoded)
        by_type[ids[blob[:4]]] = blob[4:]
    note_key.verify(by_type["note"], f"{text}\n".encode())
    assert int.from_bytes(by_type["log"][:8], "big") == timestamp
    tree_head = b"\x00\x01" + timestamp.to_bytes(8, "big") + size.to_bytes(8, "big") + root
    public_key.verify(by_type["log"][12:], tree_head, ECDSA(SHA256()))


def check_promise(directory: Path, tree: Tree, sct: SCT, tbs: bytes, issuer_key_hash: bytes) -> int:
    """Fail unless `sct` is the log's signature over the leaf that is in the tree at its index; the index."""
    index = int.from_bytes(sct.extensions[3:], "big")
    assert sct.extensions == b"\x00\x00\x05" + index.to_bytes(5, "big")
    entry = issuer_key_hash + len(tbs).to_bytes(3, "big") + tbs
    leaf = b"\x00\x00" + sct.timestamp.to_bytes(8, "big") + b"\x00\x01" + entry + b"\x00\x08" + sct.extensions
    assert tree.leaves[index] == leaf
    assert sct.timestamp <= tree.timestamp
    public_key = load_pem_public_key((directory / "ctlog.pub.pem").read_bytes())
    assert sct.log_id == hashlib.sha256(_spki(public_key)).digest()
    assert sct.signature[:2] == b"\x04\x03"
    public_key.verify(sct.signature[4:], leaf, ECDSA(SHA256()))
    return index


def _spki(public_key) -> bytes:
    return public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
