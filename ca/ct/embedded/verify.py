"""Everything in a log's file, read again and computed anew: for `dayfly log verify`, whether the log runs or not."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.x509 import load_der_x509_certificate

from ca.certificate.chain import ChainInvalid
from ca.ct.embedded.index import PREFIX_SIZE, Waiting, indexed_before
from ca.ct.embedded.startup import check_entry, check_head, check_seen
from ca.ct.embedded.store import Damaged, Store
from ca.ct.merkle import HASH_SIZE, TILE_WIDTH, Edge
from ca.ct.model import Submission
from ca.ct.submission import AcceptedRoots, SubmissionInvalid
from ca.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ca.ct.embedded.keys import LogKeys
    from ca.ct.embedded.marker import Marker
    from ca.ct.embedded.store import EntryRow, Head, Index
    from ca.ct.merkle import FullTile
    from ca.ct.static_ct import LogEntry


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a verification has come."""

    done: int
    """Entries."""
    total: int


def verify(database: Path, keys: LogKeys, marker: Marker) -> Iterator[Progress]:
    """Check every entry, hash, tile, issuer, the head and its signatures, as of now, and that nothing has gone that
    `marker` has seen; ends if all is well.

    Entries and full tiles never change, so a log may grow meanwhile. Raises ConfigurationError that names the file and
    the first thing that is wrong.
    """
    with closing(Store.open(database, read_only=True)) as store:
        try:
            yield from _verify(store, keys, marker)
        except (Damaged, sqlite3.Error) as problem:
            raise ConfigurationError(
                f"{database}: {problem}; put the newest good copy of the file back, and verify that"
            ) from problem


def _verify(store: Store, keys: LogKeys, marker: Marker) -> Iterator[Progress]:
    identity = store.identity()
    if identity.log_id != keys.log_id:
        raise Damaged(f"it belongs to the log {identity.log_id.hex()}, and the key is of {keys.log_id.hex()}")
    seen = marker.read()  # before the head: a running log moves both
    head = store.head()
    check_head(identity.origin, head, keys)
    yield Progress(0, head.size)

    edge = Edge.EMPTY
    filled: set[tuple[int, int]] = set()
    chains = _Chains(store)
    last_time = identity.created
    while edge.size < head.size:
        start, end = edge.size, min(edge.size + TILE_WIDTH, head.size)
        rows = store.entries(start, end)
        if len(rows) != end - start:
            raise Damaged(f"{end - start - len(rows)} of the entries from {start} to {end - 1} are missing")
        hashes = store.read_hashes(0, start // TILE_WIDTH, len(rows))
        for position, row in enumerate(rows):
            entry = check_entry(row, start + position, hashes[position * HASH_SIZE : (position + 1) * HASH_SIZE])
            _check_facts(row, entry, last_time, head)
            last_time = entry.timestamp
            chains.check(entry, row.leaf_index)
        _check_indexes(store, rows, head.size)
        edge, tiles = edge.append([row.leaf_hash for row in rows])
        for tile in tiles:
            _check_tile(store, tile)
            filled.add((tile.level, tile.index))
        yield Progress(edge.size, head.size)

    if (edge.root(), edge.encode()) != (head.root, head.edge):
        raise Damaged(f"the entries do not hash to the root of the tree of {head.size}")
    _check_surplus(store, filled)
    check_seen(store, head, keys, marker, seen)


def _check_facts(row: EntryRow, entry: LogEntry, last_time: int, head: Head) -> None:
    """What is stored beside an entry, and its time, which is not hashed into an order."""
    if _submission(entry, ()).identity != row.identity:
        raise Damaged(f"entry {row.leaf_index} cannot be found when it is submitted again: its identity is another")
    if not last_time <= entry.timestamp <= head.timestamp:
        raise Damaged(f"entry {row.leaf_index} is older than the one before it, or younger than the tree head")


def _submission(entry: LogEntry, chain: tuple[bytes, ...]) -> Submission:
    return Submission(entry.is_precert, entry.certificate, entry.issuer_key_hash, entry.precertificate, chain)


class _Chains:
    """The issuers above the entries. What the tree does not hash, a precertificate's signature and the chain, is held
    against the rules by which it was taken.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[tuple[bytes, ...], tuple[tuple[bytes, ...], AcceptedRoots]] = {}

    def check(self, entry: LogEntry, index: int) -> None:
        """Return if `entry`, submitted again under the chain that it names, would be the same. Raises Damaged."""
        chain, roots = self._chain(entry.fingerprints, index)
        try:
            if entry.is_precert:
                taken = roots.precertificate([entry.precertificate, *chain])
            else:
                taken = roots.certificate([entry.certificate, *chain])
        except SubmissionInvalid as problem:
            raise Damaged(f"entry {index} is damaged: {problem}") from problem
        if taken != _submission(entry, chain):
            raise Damaged(f"entry {index} is damaged: its precertificate is another than the tree has")

    def _chain(self, fingerprints: tuple[bytes, ...], index: int) -> tuple[tuple[bytes, ...], AcceptedRoots]:
        known = self._known.get(fingerprints)
        if known is None:
            chain = tuple(self._issuer(fingerprint) for fingerprint in fingerprints)
            try:
                known = chain, AcceptedRoots([load_der_x509_certificate(der) for der in chain[-1:]])
            except (ValueError, ChainInvalid) as problem:
                raise Damaged(f"entry {index} is damaged: its chain ends in no root: {problem}") from problem
            self._known[fingerprints] = known
        return known

    def _issuer(self, fingerprint: bytes) -> bytes:
        der = self._store.issuer(fingerprint)
        if der is None or hashlib.sha256(der).digest() != fingerprint:
            raise Damaged(f"the issuer {fingerprint.hex()} is missing or damaged")
        return der


def _check_tile(store: Store, tile: FullTile) -> None:
    if store.hash_tile(tile.level, tile.index, TILE_WIDTH) != tile.hashes:
        raise Damaged(f"tile {tile.index} of level {tile.level} is missing or does not hold the hashes of the tree")


def _check_indexes(store: Store, rows: list[EntryRow], size: int) -> None:
    """Whether each of these entries is found by its hashes, as far as the indexes of a tree of `size` have it."""
    by: dict[Index, list[tuple[int, bytes]]] = {
        "identity": [(row.leaf_index, row.identity) for row in rows],
        "leaf_hash": [(row.leaf_index, row.leaf_hash) for row in rows],
    }
    for index, hashes in by.items():
        expected = [(key_hash, place) for place, key_hash in hashes if place < indexed_before(size, key_hash)]
        found = set(store.candidates(index, [key_hash for key_hash, _ in expected]))
        for key_hash, place in expected:
            if (key_hash[:PREFIX_SIZE], place) not in found:
                raise Damaged(f"entry {place} cannot be found: the index by {index} lacks it")


def _check_surplus(store: Store, filled: set[tuple[int, int]]) -> None:
    """Tiles and indexes' rows that no entry accounts for, and whatever SQLite finds wrong with its pages."""
    size = store.head().size  # a running log has gone on
    if surplus := [
        (level, index)
        for level, index in store.tiles()
        if (level, index) not in filled and index >= size >> 8 * (level + 1)
    ]:
        raise Damaged(f"tile {surplus[0][1]} of level {surplus[0][0]} is not of this tree")
    with store.snapshot():
        size = store.head().size
        waiting = Waiting().follow(size, store.hashes)
        surplus_keys = store.count_keys() - 2 * size + len(waiting)
    if surplus_keys:
        raise Damaged(f"the indexes have {surplus_keys} rows that are of no entry")
    if damage := store.damage():
        raise Damaged(damage)
