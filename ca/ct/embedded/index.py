"""Which entries the file's two indexes have, so that finding one by a hash costs the same in a log of any size.

A hash is random: put into a b-tree at once, each would change a page of its own. So it waits in memory until there are
many for the same pages. An index has 256 slices, by the first byte of the hash; with every 256th entry of the tree one
slice, in turn, takes in what waits for it, in the transaction of that entry. What an index has follows from the size
of the tree alone: nothing is stored about what waits, and it is read from the entries again when a process starts.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX_SIZE: Final = 4
"""Bytes of a hash in an index, which therefore gives candidates: the entry itself has all of the hash."""
SLICES: Final = 256
STEP: Final = 256
"""Entries from one slice's turn to the next one's. With more of them, or more slices, fewer pages are written for an
entry and more of them wait."""

Key = tuple[bytes, int]
"""First bytes of a hash, leaf index: a row of an index."""
HashesReader = Callable[[int, int], Sequence[tuple[bytes, bytes]]]
"""(start, end) -> identity and leaf hash of each entry in [start, end)."""
_MAX_READ: Final = 4096
"""Entries at once."""


def indexed_before(size: int, key_hash: bytes) -> int:
    """In a tree of `size`, an entry with this hash is in the index if its leaf index is smaller than the answer."""
    turns = size // STEP
    last = turns - (turns - 1 - key_hash[0]) % SLICES  # slice 0 has the first turn, at STEP entries
    return max(last, 0) * STEP


def waiting_from(size: int) -> int:
    """In a tree of `size`, every entry with a leaf index smaller than the answer is in the indexes."""
    return max(size // STEP - SLICES + 1, 0) * STEP


class Waiting:
    """The entries of a tree that the indexes do not have yet: less than SLICES * STEP, 24 bytes each."""

    def __init__(self, start: int = 0) -> None:
        """Of the tree of the first `start` entries, as if none of these waited; `start` is a multiple of STEP."""
        self.size = start
        self._identities = _Slices()
        self._leaf_hashes = _Slices()

    def __len__(self) -> int:
        return len(self._identities) + len(self._leaf_hashes)

    def append(self, hashes: Sequence[tuple[bytes, bytes]]) -> tuple[list[Key], list[Key]]:
        """Go on to a tree with the entries of these identities and leaf hashes; what each index is to take in."""
        identity_keys: list[Key] = []
        leaf_hash_keys: list[Key] = []
        for identity, leaf_hash in hashes:
            self._identities.add(identity, self.size)
            self._leaf_hashes.add(leaf_hash, self.size)
            self.size += 1
            if self.size % STEP == 0:
                turn = (self.size // STEP - 1) % SLICES
                identity_keys += self._identities.take(turn)
                leaf_hash_keys += self._leaf_hashes.take(turn)
        return identity_keys, leaf_hash_keys

    def follow(self, size: int, read: HashesReader) -> Waiting:
        """What waits in the tree of `size`, which continues ours. Take the answer for this object."""
        waiting = self if self.size >= waiting_from(size) else Waiting(waiting_from(size))
        for start in range(waiting.size, size, _MAX_READ):
            waiting.append(read(start, min(start + _MAX_READ, size)))
        return waiting

    def candidates(self, identity: bytes) -> Iterator[int]:
        """Leaf indexes of those whose identity begins as this one."""
        return self._identities.candidates(identity)


class _Slices:
    """Hashes of one kind."""

    def __init__(self) -> None:
        self._prefixes = [bytearray() for _ in range(SLICES)]
        self._indexes = [array("Q") for _ in range(SLICES)]

    def __len__(self) -> int:
        return sum(map(len, self._indexes))

    def add(self, key_hash: bytes, leaf_index: int) -> None:
        self._prefixes[key_hash[0]] += key_hash[:PREFIX_SIZE]
        self._indexes[key_hash[0]].append(leaf_index)

    def candidates(self, key_hash: bytes) -> Iterator[int]:
        prefixes, wanted = self._prefixes[key_hash[0]], key_hash[:PREFIX_SIZE]
        at = prefixes.find(wanted)
        while at >= 0:
            if at % PREFIX_SIZE == 0:
                yield self._indexes[key_hash[0]][at // PREFIX_SIZE]
            at = prefixes.find(wanted, at + 1)

    def take(self, turn: int) -> list[Key]:
        """A slice's rows, in the order of the b-tree; they wait no more."""
        prefixes, indexes = bytes(self._prefixes[turn]), self._indexes[turn]
        self._prefixes[turn], self._indexes[turn] = bytearray(), array("Q")
        return sorted((prefixes[at * PREFIX_SIZE : (at + 1) * PREFIX_SIZE], index) for at, index in enumerate(indexes))
