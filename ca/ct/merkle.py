"""The Merkle tree of RFC 6962 §2.1, kept as tiles of 256 hashes (C2SP tlog-tiles). Pure.

Tile (level, index) holds, in order, the hashes of the perfect subtrees of 256**level leaves that begin at leaf
index * 256**(level + 1). A tree of `size` leaves is its full tiles and its right edge, one partial tile a level.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

HASH_SIZE = 32
"""Bytes of a SHA-256 hash."""
TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
"""Hashes in a full tile."""
EMPTY_ROOT = hashlib.sha256(b"").digest()
"""The root of the tree without leaves, RFC 6962 §2.1."""

HashReader = Callable[[int, int, int], bytes]
"""(tile level, tile index, width) -> the concatenated hashes of the first `width` entries of that tile.

It is asked only for tiles, full or partial, that a tree of the size in question has. Where it gives another length,
the functions that read raise ValueError.
"""


class ProofInvalid(ValueError):
    """A Merkle proof does not prove what it is said to: the log, or who speaks for it, is broken or lies."""


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
    peaks: tuple[bytes, ...] = field(repr=False)
    """The roots of the perfect subtrees that the tree falls into, the largest first: one for each binary digit 1 of
    `size`. They follow from `levels`, and make an append cost no more than its own leaves."""

    def append(self, leaf_hashes: Sequence[bytes]) -> tuple[Edge, list[FullTile]]:
        """The edge after these leaves, and the tiles that they filled, in the order in which they got full."""
        sha256 = hashlib.sha256
        levels = [bytearray(hashes) for hashes in self.levels] or [bytearray()]
        peaks = list(self.peaks)
        filled: list[FullTile] = []
        for position, leaf in enumerate(leaf_hashes, self.size):
            levels[0] += leaf
            root, height, left_siblings = leaf, 0, position
            while left_siblings & 1:
                root = sha256(b"\x01" + peaks.pop() + root).digest()
                left_siblings >>= 1
                height += 1
                if height % TILE_HEIGHT == 0:  # then `root` is that of a tile
                    level = height // TILE_HEIGHT - 1
                    filled.append(FullTile(level, position >> height, bytes(levels[level])))
                    levels[level].clear()
                    if len(levels) == level + 1:
                        levels.append(bytearray())
                    levels[level + 1] += root
            peaks.append(root)
        size = self.size + len(leaf_hashes)
        return Edge(size, tuple(map(bytes, levels)) if size else (), tuple(peaks)), filled

    def root(self) -> bytes:
        """The Merkle tree hash of all leaves."""
        return _fold(self.peaks) if self.peaks else EMPTY_ROOT

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
        return _edge(size, levels)


Edge.EMPTY = Edge(0, (), ())


def edge_at(size: int, read: HashReader) -> Edge:
    """The edge of the tree when it had `size` leaves."""
    levels = [
        _read_tile(read, level, size >> TILE_HEIGHT * (level + 1), width) if width else b""
        for level, width in enumerate(_widths(size))
    ]
    return _edge(size, levels)


def root_at(size: int, read: HashReader) -> bytes:
    """The root of the tree when it had `size` leaves."""
    return edge_at(size, read).root()


class Prover:
    """Proofs in the tree of `size` leaves. It reads each tile and hashes each subtree once, and keeps them."""

    def __init__(self, size: int, read: HashReader) -> None:
        self._size = size
        self._read = read
        self._tiles: dict[tuple[int, int], bytes] = {}
        self._subtrees: dict[tuple[int, int], bytes] = {}

    def inclusion(self, index: int) -> list[bytes]:
        """PATH(index, D[size]), RFC 6962 §2.1.1: siblings from the leaf up. Raises ValueError for index >= size."""
        if not 0 <= index < self._size:
            raise ValueError(f"there is no leaf {index} in a tree of {self._size}")
        proof: list[bytes] = []
        start, end = 0, self._size
        while end - start > 1:
            middle = start + _split(end - start)
            if index < middle:
                proof.append(self._hash(middle, end))
                end = middle
            else:
                proof.append(self._hash(start, middle))
                start = middle
        return proof[::-1]

    def consistency(self, old: int) -> list[bytes]:
        """PROOF(old, D[size]), RFC 6962 §2.1.2; empty where there is nothing to prove, at `old` of 0 or `size`.

        Raises ValueError for old > size.
        """
        if not 0 <= old <= self._size:
            raise ValueError(f"a tree of {old} leaves is not the beginning of a tree of {self._size}")
        if old in {0, self._size}:
            return []
        proof: list[bytes] = []
        start, end = 0, self._size
        while old != end:
            middle = start + _split(end - start)
            if old <= middle:
                proof.append(self._hash(middle, end))
                end = middle
            else:
                proof.append(self._hash(start, middle))
                start = middle
        if start > 0:  # else the old tree is a perfect subtree, whose hash the verifier has: SUBPROOF's flag b
            proof.append(self._hash(start, end))
        return proof[::-1]

    def _hash(self, start: int, end: int) -> bytes:
        """MTH(D[start:end]), for a range that RFC 6962 §2.1 splits the tree into."""
        roots = []
        while start < end:  # perfect subtrees, the largest first
            height = (end - start).bit_length() - 1
            roots.append(self._perfect(height, start))
            start += 1 << height
        return _fold(roots)

    def _perfect(self, height: int, start: int) -> bytes:
        """The hash of the perfect subtree of 2**height leaves at `start`, which a tile spans."""
        if (height, start) not in self._subtrees:
            level, height_in_tile = divmod(height, TILE_HEIGHT)
            index, first = divmod(start >> TILE_HEIGHT * level, TILE_WIDTH)
            hashes = self._tile(level, index)[first * HASH_SIZE : (first + (1 << height_in_tile)) * HASH_SIZE]
            self._subtrees[height, start] = _perfect_root(hashes)
        return self._subtrees[height, start]

    def _tile(self, level: int, index: int) -> bytes:
        if (level, index) not in self._tiles:
            width = min(TILE_WIDTH, (self._size >> TILE_HEIGHT * level) - index * TILE_WIDTH)
            self._tiles[level, index] = _read_tile(self._read, level, index, width)
        return self._tiles[level, index]


def inclusion_proof(index: int, size: int, read: HashReader) -> list[bytes]:
    """One `Prover.inclusion`."""
    return Prover(size, read).inclusion(index)


def consistency_proof(old: int, new: int, read: HashReader) -> list[bytes]:
    """One `Prover.consistency`."""
    return Prover(new, read).consistency(old)


def verify_inclusion(leaf_hash: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Return if `leaf_hash` is leaf `index` of the tree with `root`, RFC 9162 §2.1.3.2. Raises ProofInvalid."""
    # 1. Compare leaf_index to tree_size.
    if not 0 <= index < size:
        raise ProofInvalid(f"there is no leaf {index} in a tree of {size}")
    _check_lengths([leaf_hash, *proof, root])
    # 2, 3.
    fn, sn, r = index, size - 1, leaf_hash
    # 4. For each value p of the path:
    for p in proof:
        if sn == 0:
            raise ProofInvalid("the inclusion proof is too long")
        if fn & 1 or fn == sn:
            r = node_hash(p, r)
            fn, sn = _up_to_odd(fn, sn)
        else:
            r = node_hash(r, p)
        fn, sn = fn >> 1, sn >> 1
    # 5.
    if sn != 0:
        raise ProofInvalid("the inclusion proof is too short")
    if r != root:
        raise ProofInvalid("the inclusion proof leads to another root")


def verify_consistency(old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Return if the old tree is the beginning of the new one, RFC 9162 §2.1.4.2. Raises ProofInvalid.

    The RFC starts at 0 < old < new. Equal sizes need equal roots, and the empty tree begins every other; both
    need an empty proof.
    """
    if not 0 <= old_size <= new_size:
        raise ProofInvalid(f"a tree of {old_size} leaves is not the beginning of a tree of {new_size}")
    _check_lengths([old_root, *proof, new_root])
    if old_size in {0, new_size}:
        _check_trivial(old_size, old_root, new_size, new_root, proof)
        return
    # 1. The path must not be empty.
    if not proof:
        raise ProofInvalid("the consistency proof is empty")
    # 2. The root of an old tree that is a perfect subtree is left out of the path.
    path = [old_root, *proof] if old_size & (old_size - 1) == 0 else list(proof)
    # 3, 4.
    fn, sn = old_size - 1, new_size - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    # 5.
    fr = sr = path[0]
    # 6. For each subsequent value c:
    for c in path[1:]:
        if sn == 0:
            raise ProofInvalid("the consistency proof is too long")
        if fn & 1 or fn == sn:
            fr, sr = node_hash(c, fr), node_hash(c, sr)
            fn, sn = _up_to_odd(fn, sn)
        else:
            sr = node_hash(sr, c)
        fn, sn = fn >> 1, sn >> 1
    # 7.
    if sn != 0:
        raise ProofInvalid("the consistency proof is too short")
    if fr != old_root:
        raise ProofInvalid("the consistency proof leads to another old root")
    if sr != new_root:
        raise ProofInvalid("the consistency proof leads to another new root")


def _up_to_odd(fn: int, sn: int) -> tuple[int, int]:
    """Skip the levels at which the node has no sibling: shift until LSB(fn) is set or fn is 0."""
    while fn and not fn & 1:
        fn, sn = fn >> 1, sn >> 1
    return fn, sn


def _check_lengths(hashes: Sequence[bytes]) -> None:
    """A hash of another length would let one node pass for another."""
    if any(len(hash_) != HASH_SIZE for hash_ in hashes):
        raise ProofInvalid(f"a hash of the proof or a root has not {HASH_SIZE} bytes")


def _check_trivial(old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    if proof:
        raise ProofInvalid("there is nothing to prove, but the consistency proof is not empty")
    if old_size == new_size and old_root != new_root:
        raise ProofInvalid(f"there are two trees of {new_size} leaves")
    if old_size == 0 and old_root != EMPTY_ROOT:
        raise ProofInvalid("the root of the empty tree is the hash of nothing")


def _read_tile(read: HashReader, level: int, index: int, width: int) -> bytes:
    hashes = read(level, index, width)
    if len(hashes) != width * HASH_SIZE:
        raise ValueError(f"tile {index} of level {level} has {len(hashes)} bytes; expected {width * HASH_SIZE}")
    return hashes


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


def _edge(size: int, levels: Sequence[bytes]) -> Edge:
    peaks = [root for hashes in reversed(levels) for root in _perfect_subtrees(hashes)]
    return Edge(size, tuple(levels), tuple(peaks))


def _perfect_root(hashes: bytes) -> bytes:
    """The root over a power of two of concatenated hashes."""
    sha256 = hashlib.sha256
    while len(hashes) > HASH_SIZE:
        pairs = range(0, len(hashes), 2 * HASH_SIZE)
        hashes = b"".join([sha256(b"\x01" + hashes[at : at + 2 * HASH_SIZE]).digest() for at in pairs])
    return hashes


def _perfect_subtrees(hashes: bytes) -> list[bytes]:
    """The roots of the perfect subtrees that a partial tile falls into, the largest first."""
    roots = []
    at = 0
    for height in reversed(range(TILE_HEIGHT)):
        length = HASH_SIZE << height
        if len(hashes) & length:
            roots.append(_perfect_root(hashes[at : at + length]))
            at += length
    return roots


def _fold(roots: Sequence[bytes]) -> bytes:
    """The root over perfect subtrees, the largest first."""
    *others, right = roots
    for root in reversed(others):
        right = node_hash(root, right)
    return right
