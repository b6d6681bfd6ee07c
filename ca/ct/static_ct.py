"""What a tiled log stores and serves: C2SP static-ct-api and tlog-tiles. Pure; integers are big-endian."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ca.ct.merkle import TILE_HEIGHT, TILE_WIDTH
from ca.ct.rfc6962 import (
    LogEntryType,
    merkle_tree_leaf,
    opaque16,
    opaque24,
    signed_precert,
    signed_x509,
    timestamped_entry,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_LEAVES = 2**40
"""The leaf index is an uint40, static-ct-api#sct-extension."""
MAX_BUNDLED = 2**16 - 1
"""Bytes of a MerkleTreeLeaf that an entry bundle can hold: a log which serves bundles takes no larger one."""
MAX_LEVEL = 5
"""static-ct-api#merkle-tree."""

_LEAF_INDEX = 0  # ExtensionType, static-ct-api#sct-extension
_FINGERPRINT = 32
_TILE_PATH = re.compile(
    r"tile/(?:(?P<level>[0-9])|(?P<kind>data|entries))/(?P<index>(?:x[0-9]{3}/){0,3}[0-9]{3})"
    r"(?:\.p/(?P<width>[0-9]{1,3}))?"
)

TileKind = Literal["hash", "data", "entries"]


class EntryInvalid(ValueError):
    """Bytes are not the structure of static-ct-api that they should be: what was stored or sent is broken."""


class TilePathInvalid(ValueError):
    """A path does not name a tile."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A certificate or precertificate as the log took it. Its place in the log is not part of it."""

    timestamp: int
    """Milliseconds since the epoch, uint64; the one of the SCT."""
    is_precert: bool
    certificate: bytes
    """The DER certificate; for a precertificate its DER TBSCertificate without the poison, RFC 6962 §3.2."""
    issuer_key_hash: bytes
    """SHA-256 of the issuer's DER SubjectPublicKeyInfo, 32 bytes; empty unless `is_precert`."""
    precertificate: bytes
    """DER as submitted; empty unless `is_precert`."""
    fingerprints: tuple[bytes, ...]
    """SHA-256 of each DER certificate of the chain above, the issuer's first, the root's last."""

    def __post_init__(self) -> None:
        if (len(self.issuer_key_hash) == 32) != self.is_precert or bool(self.precertificate) != self.is_precert:
            raise ValueError(
                "issuer_key_hash (32 bytes) and precertificate belong to a precertificate, and to it alone"
            )

    def merkle_tree_leaf(self, leaf_index: int) -> bytes:
        """The MerkleTreeLeaf of RFC 6962 §3.4: what is hashed into the tree, and what the SCT's signature covers."""
        return merkle_tree_leaf(self._timestamped_entry(leaf_index))

    def leaf_input(self, leaf_index: int) -> bytes:
        """`leaf_input` of get-entries, RFC 6962 §4.6, before base64."""
        return self.merkle_tree_leaf(leaf_index)

    def extra_data(self, chain_ders: Sequence[bytes]) -> bytes:
        """`extra_data` of get-entries, RFC 6962 §4.6, before base64; `chain_ders` in the order of `fingerprints`."""
        chain = opaque24(b"".join(map(opaque24, chain_ders)))
        return opaque24(self.precertificate) + chain if self.is_precert else chain

    def bundle_entry(self, leaf_index: int) -> bytes:
        """The entry in a bundle, tlog-tiles#log-entries. OverflowError above MAX_BUNDLED."""
        return opaque16(self.merkle_tree_leaf(leaf_index))

    def tile_leaf(self, leaf_index: int) -> bytes:
        """The TileLeaf in a data tile, static-ct-api#log-entries."""
        return b"".join(
            (
                self._timestamped_entry(leaf_index),
                opaque24(self.precertificate) if self.is_precert else b"",
                opaque16(b"".join(self.fingerprints)),  # certificate_chain
            )
        )

    @classmethod
    def from_tile_leaf(cls, data: bytes, offset: int = 0) -> tuple[LogEntry, int, int]:
        """Read the TileLeaf at `offset`: the entry, its leaf index, the offset after it.

        What it accepts, `tile_leaf` writes again to the byte. Raises EntryInvalid.
        """
        reader = _Reader(data, offset)
        timestamp = reader.number(8)
        match reader.number(2):
            case LogEntryType.X509_ENTRY:
                is_precert, issuer_key_hash = False, b""
            case LogEntryType.PRECERT_ENTRY:
                is_precert, issuer_key_hash = True, reader.take(32)
            case other:
                raise EntryInvalid(f"the entry has type {other}; expected 0 or 1 (RFC 6962, 3.1)")
        certificate = reader.opaque(3)
        leaf_index = _only_leaf_index(reader.opaque(2))
        precertificate = reader.opaque(3) if is_precert else b""
        if is_precert and not precertificate:
            raise EntryInvalid("the entry's precertificate is empty")
        fingerprints = _fingerprints(reader.opaque(2))
        entry = cls(timestamp, is_precert, certificate, issuer_key_hash, precertificate, fingerprints)
        return entry, leaf_index, reader.offset

    def _timestamped_entry(self, leaf_index: int) -> bytes:
        if self.is_precert:
            signed_entry = signed_precert(self.certificate, self.issuer_key_hash)
        else:
            signed_entry = signed_x509(self.certificate)
        return timestamped_entry(self.timestamp, signed_entry, leaf_index_extension(leaf_index))


def leaf_index_extension(index: int) -> bytes:
    """The extensions of our SCTs, static-ct-api#sct-extension: the leaf index alone, 8 bytes."""
    return bytes([_LEAF_INDEX]) + opaque16(index.to_bytes(5, "big"))


def parse_leaf_index(extensions: bytes) -> int:
    """The leaf index among an SCT's extensions, whatever others there are. Raises EntryInvalid."""
    reader = _Reader(extensions, 0)
    found: dict[int, bytes] = {}
    while reader.offset < len(extensions):
        kind = reader.number(1)
        if kind in found:
            raise EntryInvalid(f"the SCT's extension of type {kind} is there twice")
        found[kind] = reader.opaque(2)
    index = found.get(_LEAF_INDEX, b"")
    if len(index) != 5:
        raise EntryInvalid("the SCT's extensions have no leaf index of 5 bytes; expected one from a static-ct log")
    return int.from_bytes(index, "big")


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
    """The path below the log's prefix, static-ct-api#merkle-tree: `tile/0/x001/x234/067`, `tile/data/000.p/8`."""
    *groups, last = re.findall("...", str(index).zfill(-(-len(str(index)) // 3) * 3))
    number = "".join(f"x{group}/" for group in groups) + last
    partial = "" if width == TILE_WIDTH else f".p/{width}"
    return f"tile/{kind_or_level}/{number}{partial}"


def parse_tile_path(text: str) -> TilePath:
    """Undo `tile_path`; nothing else names a tile, so that a tile has one name in every cache.

    Raises TilePathInvalid.
    """
    match = _TILE_PATH.fullmatch(text)
    if match is None:
        raise TilePathInvalid("the path names no tile; expected such as tile/0/x001/067 or tile/data/000.p/8")
    kind: TileKind = "hash" if match["level"] else "data" if match["kind"] == "data" else "entries"
    path = TilePath(
        kind,
        level=int(match["level"] or 0),
        index=int(re.sub("[x/]", "", match["index"])),
        width=int(match["width"] or TILE_WIDTH),
    )
    if not _may_exist(path):
        raise TilePathInvalid(f"no tree has the tile of level {path.level}, index {path.index} and width {path.width}")
    if tile_path(path.level if kind == "hash" else kind, path.index, path.width) != text:
        raise TilePathInvalid("the path has leading zeroes, or a width that a full tile goes without")
    return path


def _may_exist(path: TilePath) -> bool:
    first_leaf = path.index << TILE_HEIGHT * (path.level + 1)
    return path.level <= MAX_LEVEL and 1 <= path.width <= TILE_WIDTH and first_leaf < MAX_LEAVES


class _Reader:
    """Reads TLS structures (RFC 5246 §4) from `data`, from `offset` on."""

    def __init__(self, data: bytes, offset: int) -> None:
        self._data = data
        self.offset = offset

    def take(self, count: int) -> bytes:
        end = self.offset + count
        if end > len(self._data):
            raise EntryInvalid(f"the data end at byte {len(self._data)}; expected {count} bytes from {self.offset}")
        taken = self._data[self.offset : end]
        self.offset = end
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def opaque(self, length_size: int) -> bytes:
        return self.take(self.number(length_size))


def _only_leaf_index(extensions: bytes) -> int:
    index = parse_leaf_index(extensions)
    if extensions != leaf_index_extension(index):
        raise EntryInvalid("the entry has extensions beside its leaf index")
    return index


def _fingerprints(data: bytes) -> tuple[bytes, ...]:
    if len(data) % _FINGERPRINT:
        raise EntryInvalid(f"the entry's chain has {len(data)} bytes; expected a multiple of {_FINGERPRINT}")
    return tuple(data[at : at + _FINGERPRINT] for at in range(0, len(data), _FINGERPRINT))
