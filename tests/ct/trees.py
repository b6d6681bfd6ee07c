"""Trees by the definitions of RFC 6962 §2.1, written out once more and slowly, and tiles cut from them."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING

from ca.ct.merkle import Edge, leaf_hash

if TYPE_CHECKING:
    from ca.ct.merkle import HashReader


def leaves(count: int) -> list[bytes]:
    """Hashes of leaves; leaf i is i in decimal, as in the vectors."""
    return [leaf_hash(b"%d" % i) for i in range(count)]


def _k(n: int) -> int:
    k = 1
    while 2 * k < n:
        k *= 2
    return k


@cache
def mth(start: int, end: int) -> bytes:
    """MTH(D[start:end]), §2.1."""
    n = end - start
    if n == 0:
        return sha256(b"").digest()
    if n == 1:
        return sha256(b"\x00%d" % start).digest()
    k = _k(n)
    return sha256(b"\x01" + mth(start, start + k) + mth(start + k, end)).digest()


def path(m: int, start: int, end: int) -> list[bytes]:
    """PATH(m, D[start:end]), §2.1.1; m counts from `start`."""
    n = end - start
    if n == 1:
        return []
    k = _k(n)
    if m < k:
        return [*path(m, start, start + k), mth(start + k, end)]
    return [*path(m - k, start + k, end), mth(start, start + k)]


def subproof(m: int, start: int, end: int, *, b: bool = True) -> list[bytes]:
    """SUBPROOF(m, D[start:end], b), §2.1.2."""
    n = end - start
    if m == n:
        return [] if b else [mth(start, end)]
    k = _k(n)
    if m <= k:
        return [*subproof(m, start, start + k, b=b), mth(start + k, end)]
    return [*subproof(m - k, start + k, end, b=False), mth(start, start + k)]


class Tiles:
    """The tiles of a tree as appending gave them out, read as the log would, and no further than a size allows."""

    def __init__(self, hashes: list[bytes]) -> None:
        self.edge, full = Edge.EMPTY.append(hashes)
        self.full = {(tile.level, tile.index): tile.hashes for tile in full}

    def reader(self, size: int) -> HashReader:
        def read(level: int, index: int, width: int) -> bytes:
            assert 1 <= width <= 256
            assert (index * 256 + width) << 8 * level <= size, "reads beyond the tree"
            assert width == 256 or (index * 256 + width + 1) << 8 * level > size, "reads a tile that no one stores"
            hashes = self.full.get((level, index))
            if hashes is None:
                assert index == self.edge.size >> 8 * (level + 1)
                hashes = self.edge.levels[level]
            return hashes[: width * 32]

        return read
