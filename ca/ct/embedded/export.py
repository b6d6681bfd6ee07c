"""A log as the files that it would serve, for a web server or a CDN: static-ct-api and tlog-tiles.

Every file but the checkpoint is written once, complete or not at all, and never changed. The checkpoint comes last, so
that whoever reads it finds all that it promises.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from ca.ct.checkpoint import Checkpoint, CheckpointInvalid, parse_checkpoint
from ca.ct.checkpoint import verify as verify_checkpoint
from ca.ct.embedded.startup import check_entry, check_head
from ca.ct.embedded.store import Damaged, Store
from ca.ct.embedded.verify import Progress
from ca.ct.merkle import EMPTY_ROOT, HASH_SIZE, TILE_HEIGHT, TILE_WIDTH, Edge, edge_at, root_at
from ca.ct.static_ct import tile_path
from ca.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ca.ct.embedded.keys import LogKeys
    from ca.ct.embedded.store import Head

CHECKPOINT: Final = "checkpoint"
_DRAFT: Final = ".new"
_ALL_MAY_READ: Final = 0o644


def export(database: Path, keys: LogKeys, out: Path) -> Iterator[Progress]:
    """Write what `out` lacks of the log as of now; ends when its checkpoint is there.

    Whatever is written has been hashed up to the root that the log signed. Raises ConfigurationError naming the file:
    for a damaged log, where `out` holds another tree or a larger one, where it cannot be written.
    """
    if (out / database.name).exists():
        raise ConfigurationError(f"{out}: holds the log itself and its keys, which nobody must serve; choose another")
    with closing(Store.open(database, read_only=True)) as store:
        try:
            with _Files.locked(out) as files:
                yield from _Export(store, keys, files).run()
        except (Damaged, sqlite3.Error) as problem:
            raise ConfigurationError(
                f"{database}: {problem}; put the newest good copy of the file back, then export again"
            ) from problem
        except OSError as problem:
            raise ConfigurationError(f"{problem.filename or out}: cannot be written: {problem.strerror}") from problem


class _Export:
    """One run."""

    def __init__(self, store: Store, keys: LogKeys, files: _Files) -> None:
        self._store = store
        self._keys = keys
        self._files = files
        self._origin = store.identity().origin
        self._issuers: set[bytes] = set()

    def run(self) -> Iterator[Progress]:
        # 1. What is to be published, and what was.
        head = self._store.head()
        check_head(self._origin, head, self._keys)
        published = self._published(head)

        # 2. Entries and full tiles, from the last full one that the checkpoint covers. Some of the files may be here: a
        #    run that was cut short goes on where it stopped.
        edge = edge_at(published.size // TILE_WIDTH * TILE_WIDTH, self._store.read_hashes)
        while edge.size < head.size:
            yield Progress(edge.size, head.size)
            edge = self._write_tile(edge, min(TILE_WIDTH, head.size - edge.size))
        if edge.root() != head.root:
            raise Damaged(f"the entries do not hash to the root of the tree of {head.size}")

        # 3. The partial tiles that this tree ends with; shorter ones stay, for those who read an earlier checkpoint.
        for level, hashes in enumerate(edge.levels):
            if hashes:
                self._put_hashes(level, head.size >> TILE_HEIGHT * (level + 1), hashes)

        # 4. All names are on the disk before the checkpoint that promises them.
        self._files.sync()
        self._files.replace(CHECKPOINT, head.checkpoint.encode())
        self._files.sync()

        # 5. Partial tiles that have a full one now: clients go on to that (tlog-tiles#partial-tiles).
        self._remove_outgrown(published.size, head.size)
        yield Progress(head.size, head.size)

    def _published(self, head: Head) -> Checkpoint:
        """The checkpoint that is here, of a tree that is the beginning of ours and whose right edge is here."""
        content = self._files.read(CHECKPOINT)
        if content is None:
            return Checkpoint(self._origin, 0, EMPTY_ROOT)
        place = self._files.path(CHECKPOINT)
        try:
            signed = parse_checkpoint(content.decode())
            verify_checkpoint(signed, self._origin, self._keys.log_key.public_key(), self._keys.note_key.public_key())
        except (CheckpointInvalid, UnicodeDecodeError) as problem:
            raise ConfigurationError(
                f"{place}: is not a checkpoint of {self._origin} by its keys: {problem}; every log has a directory of "
                "its own: choose another"
            ) from problem
        published = signed.checkpoint
        if published.size > head.size:
            raise ConfigurationError(
                f"{place}: was published with {published.size} entries, and {self._store.path} has {head.size}: it is "
                "an old copy; put the newest copy of the file back"
            )
        if root_at(published.size, self._store.read_hashes) != published.root:
            raise ConfigurationError(
                f"{place}: is of another tree than the first {published.size} entries of {self._store.path}: two trees "
                "were signed; keep both, and stop the server"
            )
        if root_at(published.size, self._files.read_hashes) != published.root:
            raise ConfigurationError(
                f"{self._files.path('tile')}: its files do not hash to the checkpoint beside them; export into an "
                "empty directory"
            )
        return published

    def _write_tile(self, edge: Edge, width: int) -> Edge:
        """The edge after the next `width` entries, which have been written with the tiles that they filled."""
        index = edge.size // TILE_WIDTH
        hashes = self._store.read_hashes(0, index, width)
        if not self._is_there(index, hashes):
            self._write_entries(index, hashes)
        edge, tiles = edge.append([hashes[at : at + HASH_SIZE] for at in range(0, len(hashes), HASH_SIZE)])
        for tile in tiles:
            self._put_hashes(tile.level, tile.index, tile.hashes)
        return edge

    def _is_there(self, index: int, hashes: bytes) -> bool:
        """A full tile's hashes are written after its entries."""
        return len(hashes) == TILE_WIDTH * HASH_SIZE and all(
            self._files.exists(tile_path(kind, index, TILE_WIDTH)) for kind in (0, "data", "entries")
        )

    def _write_entries(self, index: int, hashes: bytes) -> None:
        width = len(hashes) // HASH_SIZE
        start = index * TILE_WIDTH
        rows = self._store.entries(start, start + width)
        if len(rows) != width:
            raise Damaged(f"{width - len(rows)} of the entries from {start} to {start + width - 1} are missing")
        bundle = []
        for position, row in enumerate(rows):
            entry = check_entry(row, start + position, hashes[position * HASH_SIZE : (position + 1) * HASH_SIZE])
            bundle.append(entry.bundle_entry(start + position))
            for fingerprint in entry.fingerprints:
                self._write_issuer(fingerprint)
        self._files.put(tile_path("data", index, width), b"".join(row.tile_leaf for row in rows))
        self._files.put(tile_path("entries", index, width), b"".join(bundle))

    def _write_issuer(self, fingerprint: bytes) -> None:
        if fingerprint in self._issuers:
            return
        der = self._store.issuer(fingerprint)
        if der is None or hashlib.sha256(der).digest() != fingerprint:
            raise Damaged(f"the issuer {fingerprint.hex()} is missing or damaged")
        self._files.put(f"issuer/{fingerprint.hex()}", der)
        self._issuers.add(fingerprint)

    def _put_hashes(self, level: int, index: int, hashes: bytes) -> None:
        self._files.put(tile_path(level, index, len(hashes) // HASH_SIZE), hashes)

    def _remove_outgrown(self, old_size: int, size: int) -> None:
        level = 0
        while size >> TILE_HEIGHT * (level + 1):
            index = old_size >> TILE_HEIGHT * (level + 1)  # earlier runs ended with a partial tile of this one at most
            if index < size >> TILE_HEIGHT * (level + 1):
                for kind in (0, "data", "entries") if level == 0 else (level,):
                    self._files.remove_partials(tile_path(kind, index, TILE_WIDTH))
            level += 1


class _Files:
    """The directory that a web server serves, and one run's hold on it."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._touched: set[Path] = set()

    @classmethod
    @contextmanager
    def locked(cls, out: Path) -> Iterator[Self]:
        """Two runs at once would let the older one put its checkpoint over the newer. Raises OSError."""
        out.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(out, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield cls(out)
        except BlockingIOError as problem:
            raise ConfigurationError(f"{out}: another export writes there; wait for its end") from problem
        finally:
            os.close(descriptor)

    def path(self, name: str) -> Path:
        return self._out / name

    def exists(self, name: str) -> bool:
        return (self._out / name).is_file()

    def read(self, name: str) -> bytes | None:
        try:
            return (self._out / name).read_bytes()
        except FileNotFoundError:
            return None

    def read_hashes(self, level: int, index: int, width: int) -> bytes:
        """As `merkle.HashReader`: the tile of that width, else the full one. Raises ConfigurationError."""
        names = [tile_path(level, index, width), tile_path(level, index, TILE_WIDTH)]
        for name in names:
            hashes = self.read(name)
            if hashes is not None and len(hashes) >= width * HASH_SIZE:
                return hashes[: width * HASH_SIZE]
        raise ConfigurationError(
            f"{self._out / names[0]}: is missing or too short, though the checkpoint is there; export into an empty "
            "directory"
        )

    def put(self, name: str, content: bytes) -> None:
        """Write a file that never changes. Raises ConfigurationError where another one is in its place."""
        present = self.read(name)
        if present is None:
            self.replace(name, content)
        elif present != content:
            raise ConfigurationError(
                f"{self._out / name}: is not what the log has there; every log has a directory of its own, and what "
                "is in it is never changed: export into an empty one"
            )

    def replace(self, name: str, content: bytes) -> None:
        """Write a file, whole and synced before it has its name: what exists is complete, however a run ended."""
        path, draft = self._out / name, self._out / _DRAFT
        self._make(path.parent)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _ALL_MAY_READ), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        self._touched.add(path.parent)

    def sync(self) -> None:
        """Make the names of all files written so far durable."""
        for directory in self._touched:
            descriptor = os.open(directory, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        self._touched.clear()

    def remove_partials(self, name: str) -> None:
        shutil.rmtree(self._out / f"{name}.p", ignore_errors=True)

    def _make(self, directory: Path) -> None:
        if directory.is_dir():
            return
        self._make(directory.parent)
        directory.mkdir()
        self._touched.add(directory.parent)
