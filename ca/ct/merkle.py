"""The Merkle tree of RFC 6962 §2.1, kept as tiles of 256 hashes (C2SP tlog-tiles). Pure.

Tile (level, index) holds, in order, the hashes of the perfect subtrees of 256**level leaves that begin at leaf
index * 256**(level + 1). A tree of `size` leaves is its full tiles and its right edge, one partial tile a level.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from ca.errors import Code, OperatorError

HASH_SIZE = 32
"""Bytes of a SHA-256 hash."""
TILE_WIDTH = 256
"""Hashes in a full tile."""
EMPTY_ROOT = hashlib.sha256(b"").digest()
"""The root of the tree without leaves, RFC 6962 §2.1."""

HashReader = Callable[[int, int, int], bytes]
"""(tile level, tile index, width) -> the concatenated hashes of the first `width` entries of that tile.

It is asked only for tiles, full or partial, that a tree of the size in question has.
"""

_FULL = TILE_WIDTH * HASH_SIZE


class ProofInvalid(OperatorError):
    """A Merkle proof does not prove what it is said to: the log, or who speaks for it, is broken or lies."""

    reason = "PROOF_INVALID"
    code = Code.INTERNAL
    summary = "the log's proof is invalid"


def leaf_hash(data: bytes) -> bytes:
    """MTH({d0}), RFC 6962 §2.1."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node, RFC 6962 §2.1."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class FullTile:
    """A tile that will never change again."""

    level: int
    index: int
    hashes: bytes
    """8192 bytes."""


@dataclass(frozen=True, slots=True)
class Edge:
    """The right edge of a tree: all it takes to append to the tree and to know its root."""

    EMPTY: ClassVar[Edge]
    """The edge of the tree without leaves."""

    size: int
    """Leaves in the tree."""
    levels: tuple[bytes, ...]
    """By tile level, from 0: the concatenated hashes of the partial tile, 0 to 255 of them. As many levels as
    `size` has digits to base 256, each with as many hashes as its digit says."""

    def append(self, leaf_hashes: Sequence[bytes]) -> tuple[Edge, list[FullTile]]:
        """The edge after these leaves, and the tiles that they filled, lower levels first."""
        levels: list[bytes] = []
        filled: list[FullTile] = []
        arriving = b"".join(leaf_hashes)
        level = 0
        while arriving or level < len(self.levels):
            partial = (self.levels[level] if level < len(self.levels) else b"") + arriving
            first_index = self.size >> 8 * (level + 1)
            whole = len(partial) - len(partial) % _FULL
            tiles = [
                FullTile(level, first_index + number, partial[at : at + _FULL])
                for number, at in enumerate(range(0, whole, _FULL))
            ]
            filled += tiles
            levels.append(partial[whole:])
            arriving = b"".join(_perfect_root(tile.hashes) for tile in tiles)
            level += 1
        return Edge(self.size + len(leaf_hashes), tuple(levels)), filled

    def root(self) -> bytes:
        """The Merkle tree hash of all leaves."""
        right = None
        for hashes in self.levels:
            right = _fold(_perfect_subtrees(hashes), right)
        return EMPTY_ROOT if right is None else right

    def encode(self) -> bytes:
        """The hashes of all levels, from 0; `decode` needs the size beside them."""
        return b"".join(self.levels)

    @classmethod
    def decode(cls, size: int, data: bytes) -> Edge:
        """Undo `encode`. Raises ValueError if `data` is no edge of a tree of `size` leaves."""
        widths = _widths(size)
        if len(data) != sum(widths) * HASH_SIZE:
            raise ValueError(f"the edge has {len(data)} bytes; expected {sum(widths) * HASH_SIZE} at size {size}")
        levels = []
        at = 0
        for width in widths:
            levels.append(data[at : at + width * HASH_SIZE])
            at += width * HASH_SIZE
        return cls(size, tuple(levels))


Edge.EMPTY = Edge(0, ())


def edge_at(size: int, read: HashReader) -> Edge:
    """The edge of the tree when it had `size` leaves."""
    return Edge(
        size,
        tuple(
            read(level, size >> 8 * (level + 1), width) if width else b"" for level, width in enumerate(_widths(size))
        ),
    )


def root_at(size: int, read: HashReader) -> bytes:
    """The root of the tree when it had `size` leaves."""
    return edge_at(size, read).root()


def inclusion_proof(index: int, size: int, read: HashReader) -> list[bytes]:
    """PATH(index, D[size]), RFC 6962 §2.1.1: siblings from the leaf up. Raises ValueError for index >= size."""
    if not 0 <= index < size:
        raise ValueError(f"there is no leaf {index} in a tree of {size}")
    tree = _Tree(size, read)
    proof: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            proof.append(tree.hash(middle, end))
            end = middle
        else:
            proof.append(tree.hash(start, middle))
            start = middle
    return proof[::-1]


def consistency_proof(old: int, new: int, read: HashReader) -> list[bytes]:
    """PROOF(old, D[new]), RFC 6962 §2.1.2; empty where there is nothing to prove, at `old` of 0 or `new`.

    Raises ValueError for old > new.
    """
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {old} leaves is not the beginning of a tree of {new}")
    if old in {0, new}:
        return []
    tree = _Tree(new, read)
    proof: list[bytes] = []
    start, end = 0, new
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            proof.append(tree.hash(middle, end))
            end = middle
        else:
            proof.append(tree.hash(start, middle))
            start = middle
    if start > 0:  # else the old tree is a perfect subtree, whose hash the verifier has: SUBPROOF's flag b
        proof.append(tree.hash(start, end))
    return proof[::-1]


def verify_inclusion(leaf_hash: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Return if `leaf_hash` is leaf `index` of the tree with `root`, RFC 9162 §2.1.3.2. Raises ProofInvalid."""
    raise NotImplementedError


def verify_consistency(
    old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Return if the old tree is the beginning of the new one, RFC 9162 §2.1.4.2. Raises ProofInvalid."""
    raise NotImplementedError


class _Tree:
    """The hashes of subtrees of a tree of `size` leaves, with each tile read once."""

    def __init__(self, size: int, read: HashReader) -> None:
        self._size = size
        self._read = read
        self._tiles: dict[tuple[int, int], bytes] = {}

    def hash(self, start: int, end: int) -> bytes:
        """MTH(D[start:end]), where a split of RFC 6962 §2.1 leads to that range."""
        right = None
        for height in range(end.bit_length()):  # perfect subtrees, the smallest and rightmost first
            if (end - start) >> height & 1:
                end -= 1 << height
                perfect = self._perfect(height, end)
                right = perfect if right is None else node_hash(perfect, right)
        assert right is not None
        return right

    def _perfect(self, height: int, start: int) -> bytes:
        """The hash of the perfect subtree of 2**height leaves at `start`, which a tile spans."""
        level, height_in_tile = divmod(height, 8)
        index, first = divmod(start >> 8 * level, TILE_WIDTH)
        hashes = self._tile(level, index)[first * HASH_SIZE : (first + (1 << height_in_tile)) * HASH_SIZE]
        return _perfect_root(hashes)

    def _tile(self, level: int, index: int) -> bytes:
        if (level, index) not in self._tiles:
            width = min(TILE_WIDTH, (self._size >> 8 * level) - index * TILE_WIDTH)
            self._tiles[level, index] = self._read(level, index, width)
        return self._tiles[level, index]


def _split(count: int) -> int:
    """The largest power of two below `count`, RFC 6962 §2.1."""
    return 1 << (count - 1).bit_length() - 1


def _widths(size: int) -> list[int]:
    """Hashes in the partial tile of each level: the digits of `size` to base 256, the last first."""
    widths = []
    while size:
        size, width = divmod(size, TILE_WIDTH)
        widths.append(width)
    return widths


def _perfect_root(hashes: bytes) -> bytes:
    """The root over a power of two of concatenated hashes."""
    sha256 = hashlib.sha256
    while len(hashes) > HASH_SIZE:
        hashes = b"".join(
            [sha256(b"\x01" + hashes[at : at + 64]).digest() for at in range(0, len(hashes), 2 * HASH_SIZE)]
        )
    return hashes


def _perfect_subtrees(hashes: bytes) -> list[bytes]:
    """The roots of the perfect subtrees that a partial tile falls into, from left to right."""
    roots = []
    at = 0
    count = len(hashes) // HASH_SIZE
    for height in reversed(range(8)):
        if count >> height & 1:
            length = HASH_SIZE << height
            roots.append(_perfect_root(hashes[at : at + length]))
            at += length
    return roots


def _fold(roots: Sequence[bytes], right: bytes | None) -> bytes | None:
    """The root over perfect subtrees of falling size and what stands to their right."""
    for root in reversed(roots):
        right = root if right is None else node_hash(root, right)
    return right
