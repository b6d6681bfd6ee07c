"""What must hold before a log goes on: it is this log, undamaged, not older than it was seen, and alone."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from ca.ct.checkpoint import CheckpointInvalid, parse_checkpoint, verify
from ca.ct.embedded.sequencer import CLOCK_TOLERANCE, Sequencer, milliseconds
from ca.ct.embedded.store import Damaged, Store
from ca.ct.merkle import HASH_SIZE, TILE_WIDTH, leaf_hash, root_at
from ca.ct.static_ct import EntryInvalid, LogEntry
from ca.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from ca.ct.checkpoint import Checkpoint
    from ca.ct.embedded.keys import LogKeys
    from ca.ct.embedded.marker import Marker
    from ca.ct.embedded.store import EntryRow, Head

_RESTORE = "put the newest good copy of the file back; without one this log has ended, and a new one takes its place"


def start(database: Path, keys: LogKeys, marker: Marker, clock: Callable[[], datetime]) -> Sequencer:
    """A sequencer for a log that has passed every check.

    Raises ConfigurationError that names the file, says which check failed and what to do.
    """
    if not database.exists() and marker.read() is not None:
        raise ConfigurationError(
            f"{database}: is missing, but the log was seen before ({marker.path}); a log that has given SCTs must not "
            "begin again: put the newest copy of the file back, or start a new log with new keys"
        )
    store = Store.open(database)
    try:
        return _checked(store, keys, marker, clock)
    except Damaged as problem:
        store.close()
        raise ConfigurationError(f"{database}: {problem}; {_RESTORE}") from problem
    except sqlite3.Error as problem:
        store.close()
        raise ConfigurationError(f"{database}: cannot be read: {problem}; {_RESTORE}") from problem
    except BaseException:
        store.close()
        raise


def _checked(store: Store, keys: LogKeys, marker: Marker, clock: Callable[[], datetime]) -> Sequencer:
    # 1. The log that these keys belong to.
    identity = store.identity()
    if identity.log_id != keys.log_id:
        raise ConfigurationError(
            f"{store.path}: belongs to the log {identity.log_id.hex()}, the key is of {keys.log_id.hex()}; put the key "
            "back that was made with this log"
        )

    # 2. Whatever a process that died left in the write-ahead log is written and synced again, so that nothing counts
    #    as stored which only a cache holds: a sync that failed once may succeed the next time without having written.
    store.checkpoint_wal("TRUNCATE")

    with store.snapshot():
        # 3. The head: its edge hashes to its root, and it is what the log's keys have signed.
        sequencer = Sequencer(store, keys, clock)
        head = store.head()
        check_head(identity.origin, head, keys)

        # 4. The last tile of entries hashes to what the tree says.
        _check_last_tile(store, head)

        # 5. Not older than the last checkpoint that was seen.
        check_seen(store, head, keys, marker, marker.read())

    # 6. The clock.
    now = milliseconds(clock())
    if now + CLOCK_TOLERANCE < head.timestamp:
        raise ConfigurationError(
            f"{store.path}: the clock is {(head.timestamp - now) / 1000:.1f} s behind the log's last tree head; "
            "correct the clock"
        )
    return sequencer


def check_head(origin: str, head: Head, keys: LogKeys) -> None:
    """Return if the log's keys have signed this head. Raises Damaged."""
    try:
        signed = parse_checkpoint(head.checkpoint)
        timestamp = verify(signed, origin, keys.log_key.public_key(), keys.note_key.public_key())
    except CheckpointInvalid as problem:
        raise Damaged(f"the head's checkpoint is not signed by the log's keys: {problem}") from problem
    seen = signed.checkpoint
    if (seen.size, seen.root, timestamp) != (head.size, head.root, head.timestamp):
        raise Damaged(f"the head is not the one that its checkpoint signs, of size {seen.size}")


def _check_last_tile(store: Store, head: Head) -> None:
    last = store.last_index()
    if last + 1 != head.size:
        raise Damaged(f"the tree has {head.size} entries, and the last one stored is number {last}")
    if not head.size:
        return
    index = last // TILE_WIDTH
    entries = store.entries(index * TILE_WIDTH, head.size)
    hashes = store.read_hashes(0, index, len(entries))
    for position, entry in enumerate(entries):
        check_entry(entry, index * TILE_WIDTH + position, hashes[position * HASH_SIZE : (position + 1) * HASH_SIZE])


def check_entry(row: EntryRow, index: int, expected: bytes) -> LogEntry:
    """Return the entry stored in `row` if it is leaf `index`, whose hash in the tree is `expected`. Raises Damaged."""
    try:
        entry, leaf_index, end = LogEntry.from_tile_leaf(row.tile_leaf, 0)
    except EntryInvalid as problem:
        raise Damaged(f"entry {index} is damaged: {problem}") from problem
    if end != len(row.tile_leaf) or (row.leaf_index, leaf_index) != (index, index):
        raise Damaged(f"entry {index} is damaged: it is not one TileLeaf of that index")
    if row.leaf_hash != expected or leaf_hash(entry.merkle_tree_leaf(index)) != expected:
        raise Damaged(f"entry {index} is damaged: it does not hash to its leaf of the tree")
    if entry.timestamp != row.timestamp:
        raise Damaged(f"entry {index} is damaged: its time is not the one stored beside it")
    return entry


def check_seen(store: Store, head: Head, keys: LogKeys, marker: Marker, text: str | None) -> None:
    """Return if the tree of `head` continues the one seen last, whose checkpoint `text` is what `marker` had.

    Raises ConfigurationError.
    """
    seen = _seen(store.identity().origin, keys, marker, text)
    if seen.size > head.size:
        raise ConfigurationError(
            f"{store.path}: has {head.size} entries, and {seen.size} were seen before ({marker.path}): it is an old "
            f"copy; {_RESTORE}"
        )
    if root_at(seen.size, store.read_hashes) != seen.root:
        raise ConfigurationError(
            f"{store.path}: is another tree than the one seen before with {seen.size} entries ({marker.path}); "
            f"{_RESTORE}"
        )


def _seen(origin: str, keys: LogKeys, marker: Marker, text: str | None) -> Checkpoint:
    if text is None:
        raise ConfigurationError(
            f"{marker.path}: is missing; it holds the last checkpoint seen and shows whether the log is an old copy. "
            "Put it back, or the newest checkpoint that anybody has of this log, such as a monitor"
        )
    try:
        signed = parse_checkpoint(text)
        verify(signed, origin, keys.log_key.public_key(), keys.note_key.public_key())
    except CheckpointInvalid as problem:
        raise ConfigurationError(
            f"{marker.path}: is not a checkpoint of {origin} by the log's keys: {problem}; put the newest "
            "checkpoint of this log there"
        ) from problem
    return signed.checkpoint
