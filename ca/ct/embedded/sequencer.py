"""Gives entries their place in the tree, durably. Read `Sequencer.sequence` first."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from ca.ct.checkpoint import Checkpoint, sign_checkpoint
from ca.ct.embedded.index import Waiting
from ca.ct.embedded.store import Damaged, EntryRow, Head, Store
from ca.ct.merkle import EMPTY_ROOT, Edge, leaf_hash
from ca.ct.rfc6962 import SCT, digitally_signed
from ca.ct.static_ct import LogEntry, leaf_index_extension
from ca.ct.verify import LogKey

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ca.ct.embedded.keys import LogKeys
    from ca.ct.model import Submission

CLOCK_TOLERANCE: Final = 2000
"""Milliseconds that the clock may be behind the last tree head before nothing is logged any more."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_MAX_CHAINS: Final = 64


class Frozen(Exception):
    """The log has its last tree head."""


class ClockBehind(Exception):
    """The clock was set back: an SCT now would be older than those before it."""


@dataclass(frozen=True, slots=True)
class Sequenced:
    """An entry's place in the tree, durable."""

    leaf_index: int
    timestamp: int
    merkle_tree_leaf: bytes


class Sequencer:
    """The one who appends to a log from this process; other processes may have theirs on the same file."""

    def __init__(self, store: Store, keys: LogKeys, clock: Callable[[], datetime]) -> None:
        """Raises Damaged if the head does not hold together."""
        identity = store.identity()
        self.origin = identity.origin
        self._store = store
        self._keys = keys
        self._log_id = keys.log_id
        self.public_key = LogKey.of(keys.log_key.public_key())
        """What SCTs are verified with."""
        self._clock = clock
        self._fingerprints: dict[tuple[bytes, ...], tuple[bytes, ...]] = {}
        self._stored_issuers: set[bytes] = set()
        self._edge = Edge.EMPTY
        self._root = EMPTY_ROOT
        self._timestamp = 0
        self._waiting = Waiting()
        self._load()
        self._waiting = self._waiting.follow(self._edge.size, self._store.hashes)

    @property
    def store(self) -> Store:
        return self._store

    @property
    def log_id(self) -> bytes:
        return self._log_id

    def sequence(self, batch: Sequence[Submission]) -> list[Sequenced]:
        """The place of each submission, after those that are new have become part of the tree for good.

        The transaction is the promise: whatever ends before the commit leaves the log as it was, and no SCT was
        given; whatever comes after it has every entry of the batch in the tree that the stored checkpoint signs.

        Raises Frozen, ClockBehind, Damaged or sqlite3.Error, with the log as it was before.
        """
        store = self._store
        # 1. Become the one writer of all processes. A crash here, and up to step 8, leaves the old head; SQLite drops
        #    an unfinished transaction when the file is next opened.
        store.begin()
        try:
            # 2. Go on from the stored head. If it is not ours, another process has appended since.
            timestamp = self._continue()

            # 3. What the log has already keeps its place, and gets its first SCT again to the byte.
            identities = [submission.identity for submission in batch]
            known = self._known(identities)

            # 4. The rest gets the next places, each identity one. One timestamp for the batch and its tree head, so
            #    that no SCT in the tree is younger than the head (static-ct-api).
            rows: list[EntryRow] = []
            places: list[Sequenced] = []
            issuers: dict[bytes, bytes] = {}
            for submission, identity in zip(batch, identities, strict=True):
                index, entry_time = known.setdefault(identity, (self._edge.size + len(rows), timestamp))
                entry = self._entry(submission, entry_time)
                leaf = entry.merkle_tree_leaf(index)
                places.append(Sequenced(index, entry_time, leaf))
                if index == self._edge.size + len(rows):
                    rows.append(EntryRow(index, timestamp, leaf_hash(leaf), identity, entry.tile_leaf(index)))
                    if not self._stored_issuers.issuperset(entry.fingerprints):
                        issuers.update(zip(entry.fingerprints, submission.chain, strict=True))
            if not rows:
                store.rollback()
                return places

            # 5. The tree grows by these leaves and by nothing else.
            edge, full_tiles = self._edge.append([row.leaf_hash for row in rows])
            root = edge.root()

            # 6. Persist entries, tiles, issuers and what the indexes take in; nothing is visible to anybody yet.
            store.insert_entries(rows)
            store.insert_tiles(full_tiles)
            store.insert_issuers(issuers)
            identity_keys, leaf_hash_keys = self._waiting.append([(row.identity, row.leaf_hash) for row in rows])
            store.insert_keys("identity", identity_keys)
            store.insert_keys("leaf_hash", leaf_hash_keys)

            # 7. Sign the new tree and put it in the old one's place if that is still there. A signature that does not
            #    get past the commit is never seen by anybody, so the next tree of this size may be another.
            head = self._sign(edge, root, timestamp)
            self._swap(head)

            # 8. COMMIT syncs. A crash inside leaves all of the batch or nothing; either way no SCT is out.
            store.commit()
        except BaseException:
            store.rollback()
            if self._waiting.size != self._edge.size:  # it has these entries
                self._waiting = Waiting()
            raise

        # 9. A crash from here on loses answers, not entries: who asks again gets the SCT of step 3.
        self._edge, self._root, self._timestamp = edge, root, timestamp
        self._stored_issuers.update(issuers)
        return places

    def freeze(self) -> None:
        """Sign the last tree head: from its commit on no process appends. Done twice it changes nothing.

        Raises as `sequence`.
        """
        self._store.begin()
        try:
            timestamp = self._continue()
            self._swap(replace(self._sign(self._edge, self._root, timestamp), frozen=True))
            self._store.commit()
        except Frozen:
            self._store.rollback()
        except BaseException:
            self._store.rollback()
            raise

    @property
    def size(self) -> int:
        """Entries of the newest tree that this process knows."""
        return self._edge.size

    @property
    def timestamp(self) -> int:
        """Of that tree's head, in milliseconds since the epoch."""
        return self._timestamp

    def ahead(self) -> int:
        """Milliseconds that the last tree head is ahead of the clock; negative where it is behind."""
        return self._timestamp - milliseconds(self._clock())

    def probe(self) -> None:
        """Return if an entry would be taken now: the file is written to and synced. Raises as `sequence`."""
        self._store.begin()
        try:
            self._continue()
            self._store.touch()
            self._store.commit()
        except BaseException:
            self._store.rollback()
            raise

    def sct(self, place: Sequenced) -> SCT:
        """The promise for an entry that is in the tree. Deterministic ECDSA (RFC 6979): the same to the byte again."""
        signature = digitally_signed(self._keys.log_key, place.merkle_tree_leaf)
        return SCT(self._log_id, place.timestamp, leaf_index_extension(place.leaf_index), signature)

    def _continue(self) -> int:
        """Bring memory up to the stored head; the timestamp for the next one. Inside a transaction."""
        size, root, head_time, frozen = self._store.head_state()
        if (size, root) != (self._edge.size, self._root):
            if size <= self._edge.size:
                raise Damaged(f"the tree went from {self._edge.size} entries to {size}, or to others")
            self._load()
        if frozen:
            raise Frozen
        self._waiting = self._waiting.follow(self._edge.size, self._store.hashes)
        now = milliseconds(self._clock())
        if now + CLOCK_TOLERANCE < head_time:
            raise ClockBehind(f"the clock is {(head_time - now) / 1000:.1f} s behind the log's last tree head")
        return max(now, head_time + 1)  # strictly: RFC 6962 §3.5

    def _load(self) -> None:
        head = self._store.head()
        edge = head.tree_edge()
        if edge.root() != head.root:
            raise Damaged(f"the head is damaged: its edge does not hash to its root at size {head.size}")
        self._edge, self._root, self._timestamp = edge, head.root, head.timestamp

    def _known(self, identities: Sequence[bytes]) -> dict[bytes, tuple[int, int]]:
        """Leaf index and timestamp of those that the log has."""
        candidates = [index for _, index in self._store.candidates("identity", identities)]
        for identity in identities:
            candidates += self._waiting.candidates(identity)
        return {identity: (index, timestamp) for identity, index, timestamp in self._store.places(candidates)}

    def _entry(self, submission: Submission, timestamp: int) -> LogEntry:
        fingerprints = self._fingerprints.get(submission.chain)
        if fingerprints is None:
            if len(self._fingerprints) >= _MAX_CHAINS:
                self._fingerprints.clear()
            fingerprints = tuple(hashlib.sha256(der).digest() for der in submission.chain)
            self._fingerprints[submission.chain] = fingerprints
        return LogEntry(
            timestamp,
            submission.is_precert,
            submission.certificate,
            submission.issuer_key_hash,
            submission.precertificate,
            fingerprints,
        )

    def _sign(self, edge: Edge, root: bytes, timestamp: int) -> Head:
        checkpoint = Checkpoint(self.origin, edge.size, root)
        signed = sign_checkpoint(checkpoint, timestamp, self._keys.log_key, self._keys.note_key)
        return Head(edge.size, root, timestamp, frozen=False, checkpoint=signed, edge=edge.encode())

    def _swap(self, head: Head) -> None:
        if not self._store.replace_head(self._edge.size, self._root, head):
            raise Damaged("the head changed inside a transaction")


def first_head(origin: str, keys: LogKeys, now: datetime) -> Head:
    """The signed head of the tree without entries."""
    timestamp = milliseconds(now)
    signed = sign_checkpoint(Checkpoint(origin, 0, EMPTY_ROOT), timestamp, keys.log_key, keys.note_key)
    return Head(0, EMPTY_ROOT, timestamp, frozen=False, checkpoint=signed, edge=Edge.EMPTY.encode())


def milliseconds(now: datetime) -> int:
    """Since the epoch."""
    return (now - _EPOCH) // _MILLISECOND
