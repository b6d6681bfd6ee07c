"""What a tiled log stores and serves: C2SP static-ct-api and tlog-tiles. Pure; integers are big-endian."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

TileKind = Literal["hash", "data", "entries"]


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A certificate or precertificate as the log took it. Its place in the log is not part of it."""

    timestamp: int
    """Milliseconds since the epoch, uint64; the one of the SCT."""
    is_precert: bool
    certificate: bytes
    """The DER certificate; for a precertificate its DER TBSCertificate without the poison, RFC 6962 §3.2."""
    issuer_key_hash: bytes
    """SHA-256 of the issuer's DER SubjectPublicKeyInfo; empty unless `is_precert`."""
    precertificate: bytes
    """DER as submitted; empty unless `is_precert`."""
    fingerprints: tuple[bytes, ...]
    """SHA-256 of each DER certificate of the chain above, the issuer's first, the root's last."""

    def merkle_tree_leaf(self, leaf_index: int) -> bytes:
        """The MerkleTreeLeaf of RFC 6962 §3.4, which is also what the log signs for its SCT (§3.2)."""
        raise NotImplementedError

    leaf_input = merkle_tree_leaf

    def extra_data(self, chain_ders: Sequence[bytes]) -> bytes:
        """`extra_data` of get-entries, RFC 6962 §4.6; `chain_ders` as `fingerprints`."""
        raise NotImplementedError

    def bundle_entry(self, leaf_index: int) -> bytes:
        """One entry of a tlog-tiles entry bundle: the MerkleTreeLeaf after its uint16 length."""
        raise NotImplementedError

    def tile_leaf(self, leaf_index: int) -> bytes:
        """The TileLeaf of a data tile, static-ct-api."""
        raise NotImplementedError

    @classmethod
    def from_tile_leaf(cls, data: bytes, offset: int) -> tuple[LogEntry, int, int]:
        """Read the TileLeaf at `offset`: the entry, its leaf index, the offset after it. Raises EntryInvalid."""
        raise NotImplementedError


def leaf_index_extension(index: int) -> bytes:
    """CtExtensions with the leaf index alone, static-ct-api: 8 bytes."""
    raise NotImplementedError


def parse_leaf_index(extensions: bytes) -> int:
    """The leaf index in an SCT's extensions. Raises EntryInvalid."""
    raise NotImplementedError


@dataclass(frozen=True, slots=True)
class TilePath:
    """Which tile a path names."""

    kind: TileKind
    level: int
    """0 for data tiles and entry bundles."""
    index: int
    width: int
    """1 to 256, which is a full tile."""


def tile_path(kind_or_level: Literal["data", "entries"] | int, index: int, width: int) -> str:
    """The path below the log's prefix: `tile/0/x001/x234/067`, `tile/data/000.p/8`."""
    raise NotImplementedError


def parse_tile_path(text: str) -> TilePath:
    """Undo `tile_path`; nothing but its output is accepted. Raises TilePathInvalid."""
    raise NotImplementedError
