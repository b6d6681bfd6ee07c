"""One log in one SQLite file: what is stored, and every statement that reads or writes it.

Entries, full tiles, tree head and signed checkpoint of a batch are committed in one transaction, which one sync of the
write-ahead log makes durable. Partial tiles are not stored: the head's edge holds the newest, and older ones are
beginnings of newer ones.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Self, TypeVar

from ca.ct.embedded.host import Turn
from ca.ct.embedded.index import PREFIX_SIZE, indexed_before
from ca.ct.merkle import HASH_SIZE, TILE_WIDTH, Edge
from ca.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from ca.ct.embedded.index import Key
    from ca.ct.merkle import FullTile

Index = Literal["identity", "leaf_hash"]
"""By which hash of an entry."""
_Value = TypeVar("_Value", bytes, int)

APPLICATION_ID: Final = 0x44_61_79_43
"""`DayC`, in the file's header: tells a log from any other SQLite file."""
SCHEMA_VERSION: Final = 2

_SCHEMA: Final = """
CREATE TABLE log (
  one INTEGER PRIMARY KEY CHECK (one = 0),
  origin TEXT NOT NULL,
  log_id BLOB NOT NULL,
  created INTEGER NOT NULL          -- milliseconds
) STRICT;
CREATE TABLE head (                 -- exactly one row: what compare-and-swap looks at
  one INTEGER PRIMARY KEY CHECK (one = 0),
  size INTEGER NOT NULL,
  root BLOB NOT NULL,
  timestamp INTEGER NOT NULL,       -- milliseconds; of the last tree head, which no SCT in the tree is younger than
  frozen INTEGER NOT NULL CHECK (frozen IN (0, 1)),
  checkpoint TEXT NOT NULL,         -- signed, as served
  edge BLOB NOT NULL                -- last: the columns before it are read without its overflow pages
) STRICT;
CREATE TABLE entry (
  leaf_index INTEGER PRIMARY KEY,
  timestamp INTEGER NOT NULL,
  leaf_hash BLOB NOT NULL,
  identity BLOB NOT NULL,           -- what makes two submissions the same
  tile_leaf BLOB NOT NULL           -- static-ct-api TileLeaf
) STRICT;
CREATE TABLE identity_index (       -- ca/ct/embedded/index.py says which entries are here
  prefix BLOB NOT NULL,
  leaf_index INTEGER NOT NULL,
  PRIMARY KEY (prefix, leaf_index)
) STRICT, WITHOUT ROWID;
CREATE TABLE leaf_hash_index (
  prefix BLOB NOT NULL,
  leaf_index INTEGER NOT NULL,
  PRIMARY KEY (prefix, leaf_index)
) STRICT, WITHOUT ROWID;
CREATE TABLE tile (                 -- full ones alone: they never change
  level INTEGER NOT NULL,
  tile_index INTEGER NOT NULL,
  hashes BLOB NOT NULL,
  PRIMARY KEY (level, tile_index)
) STRICT, WITHOUT ROWID;
CREATE TABLE issuer (
  fingerprint BLOB PRIMARY KEY,
  der BLOB NOT NULL
) STRICT, WITHOUT ROWID;
"""

_MAX_ROWS: Final = 256
"""Rows of one statement. Every statement lets go of the interpreter's lock and has to win it back, which a busy event
loop makes slow; one for many rows pays that once."""
_PAGE_SIZE: Final = 8192
"""Bytes. An entry has 1 to 3 kB: of 4096 much is left empty, of 16384 a single entry's commit writes more."""
_BUSY_TIMEOUT: Final = 5.0
"""Seconds to wait for the transaction of somebody who does not take turns, such as the `sqlite3` command."""
_CACHE_KIB: Final = 16 * 1024


class Damaged(Exception):
    """What is stored is not what the log signed. Says what and where; whoever catches it knows who must act."""


@dataclass(frozen=True, slots=True)
class LogIdentity:
    """What a log is and stays."""

    origin: str
    log_id: bytes
    created: int
    """Milliseconds."""


@dataclass(frozen=True, slots=True)
class Head:
    """The newest tree head."""

    size: int
    root: bytes
    timestamp: int
    """Milliseconds."""
    frozen: bool
    """Whether this is the last one that there will be."""
    checkpoint: str
    """Signed."""
    edge: bytes
    """`Edge.encode()`."""

    def tree_edge(self) -> Edge:
        """Raises Damaged if it is not the edge of a tree of this size."""
        try:
            return Edge.decode(self.size, self.edge)
        except ValueError as problem:
            raise Damaged(f"the head is damaged: {problem}") from problem


@dataclass(frozen=True, slots=True)
class EntryRow:
    """An entry as it is stored."""

    leaf_index: int
    timestamp: int
    leaf_hash: bytes
    identity: bytes
    tile_leaf: bytes


class Store:
    """A connection to a log's file. Reads may come from any thread; writes belong to one that calls `begin` first."""

    def __init__(self, path: Path, connection: sqlite3.Connection, turn: Turn | None) -> None:
        self.path = path
        self._sql = connection
        self._turn = turn

    @classmethod
    def create(cls, path: Path, origin: str, log_id: bytes, head: Head) -> None:
        """Make a new log's file, mode 600, complete or not at all.

        Raises ConfigurationError if it exists or cannot be written.
        """
        draft = path.with_name(f"{path.name}.new")
        try:
            draft.unlink(missing_ok=True)  # of a start that was cut short: nobody has seen it
            os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))  # SQLite takes the mode over
            with closing(_connect(draft)) as sql:
                sql.execute(f"PRAGMA page_size = {_PAGE_SIZE}")
                sql.execute("PRAGMA journal_mode = WAL")
                sql.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                sql.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
                sql.executescript(f"BEGIN; {_SCHEMA}")
                sql.execute("INSERT INTO log VALUES (0, ?, ?, ?)", (origin, log_id, head.timestamp))
                sql.execute("INSERT INTO head VALUES (0, ?, ?, ?, ?, ?, ?)", _head_values(head))
                sql.execute("COMMIT")
            try:
                os.link(draft, path)  # unlike a rename, this does not replace
            finally:
                draft.unlink()
            _sync_directory(path.parent)
        except FileExistsError as problem:
            raise ConfigurationError(f"{path}: exists and is not overwritten; choose another directory") from problem
        except (sqlite3.Error, OSError) as problem:
            raise ConfigurationError(f"{path}: cannot be written: {problem}") from problem

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False) -> Self:
        """Connect to a file that `create` made; it is never made here, because a missing log is not an empty one.

        `read_only` connections take no locks that a writer waits for. Raises ConfigurationError.
        """
        if not path.exists():
            raise ConfigurationError(
                f"{path}: is missing. A log that has given SCTs must not begin again: put the newest copy of the file "
                "back. Only a new log is made by `dayfly log init`"
            )
        try:
            sql = _connect(path)
            try:
                _check_schema(path, sql)
                sql.execute("PRAGMA journal_mode = WAL")
                sql.execute(f"PRAGMA query_only = {int(read_only)}")
                return cls(path, sql, None if read_only else Turn(path))
            except BaseException:
                sql.close()
                raise
        except (sqlite3.Error, OSError) as problem:
            raise ConfigurationError(
                f"{path}: cannot be opened: {problem}; put the newest good copy of the file back, or mend what it is on"
            ) from problem

    def close(self) -> None:
        self._sql.close()
        if self._turn is not None:
            self._turn.close()

    # ---- reads ----------------------------------------------------------------------------------------------

    def identity(self) -> LogIdentity:
        return LogIdentity(*self._sql.execute("SELECT origin, log_id, created FROM log").fetchone())

    def head(self) -> Head:
        row = self._sql.execute("SELECT size, root, timestamp, frozen, checkpoint, edge FROM head").fetchone()
        size, root, timestamp, frozen, checkpoint, edge = row
        return Head(size, root, timestamp, bool(frozen), checkpoint, edge)

    def head_state(self) -> tuple[int, bytes, int, bool]:
        """Size, root, timestamp and frozen of the head: what a sequencer compares, without the rest."""
        size, root, timestamp, frozen = self._sql.execute("SELECT size, root, timestamp, frozen FROM head").fetchone()
        return size, root, timestamp, bool(frozen)

    def tile_leaves(self, start: int, end: int) -> list[bytes]:
        """The TileLeaf of each entry in [start, end), as many as there are."""
        rows = self._sql.execute(
            "SELECT tile_leaf FROM entry WHERE leaf_index >= ? AND leaf_index < ? ORDER BY leaf_index", (start, end)
        )
        return [row[0] for row in rows.fetchall()]

    def entries(self, start: int, end: int) -> list[EntryRow]:
        """The entries in [start, end), as many as there are."""
        rows = self._sql.execute(
            "SELECT leaf_index, timestamp, leaf_hash, identity, tile_leaf FROM entry "
            "WHERE leaf_index >= ? AND leaf_index < ? ORDER BY leaf_index",
            (start, end),
        )
        return [EntryRow(*row) for row in rows.fetchall()]

    def last_index(self) -> int:
        """The leaf index of the last entry, -1 where there is none."""
        (last,) = self._sql.execute("SELECT max(leaf_index) FROM entry").fetchone()
        return -1 if last is None else int(last)

    def hash_tile(self, level: int, index: int, width: int) -> bytes | None:
        """The first `width` hashes of a tile, 1 to 256 of them; None where the tree has no such tile yet.

        Raises Damaged where the head is.
        """
        tile = self._full_tile(level, index)
        if tile is None:
            head = self.head()
            edge = head.tree_edge()
            if level >= len(edge.levels):
                return None
            if head.size >> 8 * (level + 1) > index:  # filled since the first look
                tile = self._full_tile(level, index)
            elif head.size >> 8 * (level + 1) == index:
                tile = edge.levels[level]
        if tile is None or len(tile) < width * HASH_SIZE:
            return None
        return tile[: width * HASH_SIZE]

    def read_hashes(self, level: int, index: int, width: int) -> bytes:
        """`hash_tile` as `merkle.HashReader`, which asks for what must be there. Raises Damaged."""
        hashes = self.hash_tile(level, index, width)
        if hashes is None:
            raise Damaged(f"tile {index} of level {level} is missing or has less than {width} hashes")
        return hashes

    def issuer(self, fingerprint: bytes) -> bytes | None:
        """The DER certificate with this SHA-256."""
        row = self._sql.execute("SELECT der FROM issuer WHERE fingerprint = ?", (fingerprint,)).fetchone()
        return None if row is None else row[0]

    def index_of(self, leaf_hash: bytes) -> int | None:
        """The leaf index of the entry with this Merkle leaf hash. Raises Damaged where the head is."""
        if len(leaf_hash) != HASH_SIZE:
            return None
        size = self.head_state()[0]  # first: what waits for the index now may be in it a moment later, and stays here
        row = self._sql.execute(
            "SELECT leaf_index FROM leaf_hash_index JOIN entry USING (leaf_index) WHERE prefix = ? AND leaf_hash = ?",
            (leaf_hash[:PREFIX_SIZE], leaf_hash),
        ).fetchone()
        return self._waiting_index_of(leaf_hash, size) if row is None else row[0]

    def hashes(self, start: int, end: int) -> list[tuple[bytes, bytes]]:
        """Identity and leaf hash of each entry in [start, end). Raises Damaged where one is missing."""
        rows = self._sql.execute(
            "SELECT identity, leaf_hash FROM entry WHERE leaf_index >= ? AND leaf_index < ? ORDER BY leaf_index",
            (start, end),
        ).fetchall()
        if len(rows) != end - start or any(len(part) != HASH_SIZE for row in rows for part in row):
            raise Damaged(f"of the entries from {start} to {end - 1} some are missing or without their hashes")
        return rows

    def candidates(self, index: Index, hashes: Sequence[bytes]) -> list[Key]:
        """The rows of an index that begin as one of these hashes."""
        found: list[Key] = []
        for asked in _in_rows([key_hash[:PREFIX_SIZE] for key_hash in hashes]):
            found += self._sql.execute(
                f"SELECT prefix, leaf_index FROM {index}_index WHERE prefix IN ({_marks(len(asked))})",  # noqa: S608 - one of two names, question marks
                asked,
            ).fetchall()
        return found

    def places(self, leaf_indexes: Sequence[int]) -> list[tuple[bytes, int, int]]:
        """Identity, leaf index and timestamp of those of these entries that there are."""
        found: list[tuple[bytes, int, int]] = []
        for asked in _in_rows(leaf_indexes):
            found += self._sql.execute(
                f"SELECT identity, leaf_index, timestamp FROM entry WHERE leaf_index IN ({_marks(len(asked))})",  # noqa: S608 - question marks alone
                asked,
            ).fetchall()
        return found

    # ---- writes ---------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start a transaction as the one writer of all processes. Raises sqlite3.OperationalError."""
        assert self._turn is not None, "opened read-only"
        self._turn.take()
        try:
            self._sql.execute("BEGIN IMMEDIATE")
        except BaseException:
            self._turn.give()
            raise

    def insert_entries(self, entries: Sequence[EntryRow]) -> None:
        rows = [(row.leaf_index, row.timestamp, row.leaf_hash, row.identity, row.tile_leaf) for row in entries]
        self._insert("entry", rows)

    def insert_keys(self, index: Index, keys: Sequence[Key]) -> None:
        """New rows of an index; in their order that changes the fewest pages at a time."""
        self._insert(f"{index}_index", keys)

    def insert_tiles(self, tiles: Sequence[FullTile]) -> None:
        rows = [(tile.level, tile.index, tile.hashes) for tile in tiles]
        self._sql.executemany("INSERT INTO tile VALUES (?, ?, ?)", rows)

    def insert_issuers(self, issuers: Mapping[bytes, bytes]) -> None:
        """DER certificates by their SHA-256; those that are there stay as they are."""
        self._sql.executemany("INSERT INTO issuer VALUES (?, ?) ON CONFLICT DO NOTHING", list(issuers.items()))

    def replace_head(self, size: int, root: bytes, head: Head) -> bool:
        """Compare-and-swap: put `head` where the head of `size` and `root` is; whether it was there."""
        cursor = self._sql.execute(
            "UPDATE head SET size = ?, root = ?, timestamp = ?, frozen = ?, checkpoint = ?, edge = ? "
            "WHERE size = ? AND root = ? AND frozen = 0",
            (*_head_values(head), size, root),
        )
        return cursor.rowcount == 1

    def touch(self) -> None:
        """Write the file's header again as it is: a head would not be written that has not changed."""
        self._sql.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def commit(self) -> None:
        """Returns when the transaction is on the disk. After an error `rollback` is still to be called."""
        self._sql.execute("COMMIT")
        if self._turn is not None:
            self._turn.give()

    def rollback(self) -> None:
        """End the transaction without a trace, if there is one: SQLite ends some itself when they fail."""
        if self._sql.in_transaction:
            with suppress(sqlite3.Error):  # what made it necessary is what counts; a next `begin` would fail
                self._sql.execute("ROLLBACK")
        if self._turn is not None:
            self._turn.give()

    def checkpoint_wal(self, mode: str) -> int:
        """Bring the write-ahead log into the file; the number of its pages that could not be brought yet.

        `mode` is one of SQLite's. Raises sqlite3.Error where a write or a sync failed, which SQLite would hide
        if it did this by itself.
        """
        _, pages, done = self._sql.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        return int(pages) - int(done)

    # ---- whole-file checks ----------------------------------------------------------------------------------

    def damage(self) -> str | None:
        """What SQLite finds wrong with the file's structure; reads all of it."""
        (first,) = self._sql.execute("PRAGMA integrity_check(1)").fetchone()
        return None if first == "ok" else str(first)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """All reads inside see the log as it is now, whatever is written meanwhile."""
        self._sql.execute("BEGIN")
        try:
            yield
        finally:
            self._sql.execute("COMMIT")

    def tiles(self) -> Iterator[tuple[int, int]]:
        """Level and index of each stored tile."""
        return iter(self._sql.execute("SELECT level, tile_index FROM tile ORDER BY level, tile_index").fetchall())

    def count_keys(self) -> int:
        """The rows of both indexes."""
        (count,) = self._sql.execute(
            "SELECT (SELECT count(*) FROM identity_index) + (SELECT count(*) FROM leaf_hash_index)"
        ).fetchone()
        return int(count)

    def _insert(self, table: str, rows: Sequence[tuple[object, ...]]) -> None:
        at = 0
        while at < len(rows):
            width = min(_MAX_ROWS, 1 << (len(rows) - at).bit_length() - 1)
            marks = ",".join([f"({_marks(len(rows[at]))})"] * width)
            values = [value for row in rows[at : at + width] for value in row]
            self._sql.execute(f"INSERT INTO {table} VALUES {marks}", values)  # noqa: S608 - a name of ours, question marks
            at += width

    def _waiting_index_of(self, leaf_hash: bytes, size: int) -> int | None:
        """Where the index of a tree of `size` does not have it, level 0 does; the newest are asked for most."""
        head = self.head()
        first = head.size // TILE_WIDTH * TILE_WIDTH
        if first < head.size and (place := _place(head.tree_edge().levels[0], leaf_hash)) is not None:
            return first + place
        tiles = self._sql.execute(
            "SELECT tile_index, hashes FROM tile WHERE level = 0 AND tile_index >= ? ORDER BY tile_index DESC",
            (indexed_before(size, leaf_hash) // TILE_WIDTH,),
        ).fetchall()
        for tile_index, hashes in tiles:
            if (place := _place(hashes, leaf_hash)) is not None:
                return int(tile_index) * TILE_WIDTH + place
        return None

    def _full_tile(self, level: int, index: int) -> bytes | None:
        row = self._sql.execute("SELECT hashes FROM tile WHERE level = ? AND tile_index = ?", (level, index)).fetchone()
        return None if row is None else row[0]


def _connect(path: Path) -> sqlite3.Connection:
    sql = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=_BUSY_TIMEOUT,
        isolation_level=None,  # transactions are spelled out
        check_same_thread=False,  # opened and checked by one thread, used by another; SQLite itself serialises
    )
    for pragma in (
        "synchronous = FULL",  # COMMIT returns when the write-ahead log is synced
        "fullfsync = ON",  # macOS: through the drive's cache; others ignore it
        "checkpoint_fullfsync = ON",
        "wal_autocheckpoint = 0",  # SQLite ignores what fails there; the sequencer does it and looks
        "trusted_schema = OFF",
        "cell_size_check = ON",
        f"cache_size = -{_CACHE_KIB}",
    ):
        sql.execute(f"PRAGMA {pragma}")
    return sql


def _check_schema(path: Path, sql: sqlite3.Connection) -> None:
    (application_id,) = sql.execute("PRAGMA application_id").fetchone()
    if application_id != APPLICATION_ID:
        raise ConfigurationError(f"{path}: is not a log's file; put the newest copy of the file that is back")
    (version,) = sql.execute("PRAGMA user_version").fetchone()
    if version != SCHEMA_VERSION:
        raise ConfigurationError(
            f"{path}: has schema {version}, this Dayfly knows {SCHEMA_VERSION}; run the version that wrote it, or "
            "freeze the log with that and begin a new one"
        )


def _head_values(head: Head) -> tuple[int, bytes, int, int, str, bytes]:
    return head.size, head.root, head.timestamp, int(head.frozen), head.checkpoint, head.edge


def _place(hashes: bytes, wanted: bytes) -> int | None:
    """Which of `hashes` is `wanted`."""
    at = hashes.find(wanted)
    while at >= 0 and at % HASH_SIZE:
        at = hashes.find(wanted, at + 1)
    return at // HASH_SIZE if at >= 0 else None


def _in_rows(values: Sequence[_Value]) -> Iterator[list[_Value]]:
    """At most _MAX_ROWS at a time, in few lengths, so that their statements stay prepared: some come twice."""
    for start in range(0, len(values), _MAX_ROWS):
        asked = list(values[start : start + _MAX_ROWS])
        width = 1 << (len(asked) - 1).bit_length()
        yield asked + asked[:1] * (width - len(asked))


def _marks(count: int) -> str:
    return ",".join("?" * count)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
