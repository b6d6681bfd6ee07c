"""Where logs are kept: one after the other, each with its keys and its file. Old ones stay readable.

DIR/ctlog.key.pem  ctlog.pub.pem  ctlog-note.key.pem  ctlog.sqlite      the first log
DIR/shards/2027h1/…                                                     the same files of a later one, by its `name`
DIR/ctlog-seen/<hash of the origin>.checkpoint                          the last checkpoint seen of each
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ca.ct.embedded.engine import DEFAULT_LIMITS, EmbeddedLog, Limits, end_process
from ca.ct.embedded.host import HostLock
from ca.ct.embedded.keys import create_keys, load_keys
from ca.ct.embedded.marker import Marker
from ca.ct.embedded.sequencer import first_head
from ca.ct.embedded.startup import start
from ca.ct.embedded.store import Store
from ca.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from ca.telemetry import CTLogMetrics

DATABASE: Final = "ctlog.sqlite"
SHARDS: Final = "shards"
SEEN: Final = "ctlog-seen"

RESERVED: Final = frozenset({"checkpoint", "ct", "issuer", "tile"})
"""Names that no log may have: the newest one's own paths, below which older logs are served by name."""

_ORIGIN: Final = re.compile(r"[a-z0-9.-]+(:[0-9]{1,5})?(/(?!\.\.?(/|$))[A-Za-z0-9._~-]+)*")


@dataclass(frozen=True, slots=True)
class Shard:
    """One log of a directory."""

    directory: Path
    origin: str
    created: int
    """Milliseconds since the epoch."""
    frozen: bool

    @property
    def name(self) -> str:
        """What tells it from the others of the directory, in paths and URLs."""
        return _name(self.origin)

    @property
    def database(self) -> Path:
        return self.directory / DATABASE


class LogDirectory:
    """All logs of one operator on this host."""

    def __init__(self, data: Path, seen: Path | None = None) -> None:
        """`seen` is where the last checkpoints seen are kept, best on another volume; in `data` by default."""
        self._data = data
        self._seen = seen or data / SEEN

    def shards(self) -> list[Shard]:
        """All of them, the oldest first. Raises ConfigurationError for a file that cannot be read."""
        return sorted(map(_shard, self.directories()), key=lambda shard: shard.created)

    def directories(self) -> list[Path]:
        """Where there is a log, in no order of age. Cheap: nothing is opened."""
        below = sorted(path.parent for path in self._data.glob(f"{SHARDS}/*/{DATABASE}"))
        return [directory for directory in (self._data, *below) if (directory / DATABASE).exists()]

    def current(self) -> Shard:
        """The newest, which takes certificates unless it is frozen. Raises ConfigurationError where there is none."""
        shards = self.shards()
        if shards:
            return shards[-1]
        if lost := sorted(self._seen.glob("*.checkpoint")):
            raise ConfigurationError(
                f"{self._data / DATABASE}: is missing, but a log was seen before ({lost[0]}); a log that has given "
                "SCTs must not begin again: put the newest copy of the file back"
            )
        raise ConfigurationError(f"{self._data / DATABASE}: there is no log; make one with `dayfly log init`")

    def create(self, origin: str, now: datetime) -> Shard:
        """A new log with new keys: the first in the directory itself, later ones below it.

        A log key that `dayfly ca init` left in the directory becomes the first log's. Raises ConfigurationError, also
        for an origin whose last part is another log's or one of RESERVED.
        """
        _check_origin(origin)
        shards = self.shards()
        for shard in shards:
            if shard.name == _name(origin):
                raise ConfigurationError(
                    f"{self._data}: has a log {shard.origin} already, and logs are told apart by the last part of "
                    f"their origin, here {shard.name!r}; choose another origin, such as …/2027h1"
                )
        marker = self.marker(origin)
        if marker.read() is not None:
            raise ConfigurationError(
                f"{marker.path}: the log {origin} was seen before; a log must not begin again under its old name: put "
                "its file back, or choose another origin"
            )
        directory = self._data / SHARDS / _name(origin) if shards else self._data
        database = directory / DATABASE
        keys = create_keys(directory)
        head = first_head(origin, keys, now)
        Store.create(database, origin, keys.log_id, head)
        marker.create(head.checkpoint)
        return _shard(directory)

    def open(
        self,
        shard: Shard,
        clock: Callable[[], datetime],
        *,
        limits: Limits = DEFAULT_LIMITS,
        metrics: CTLogMetrics | None = None,
        die: Callable[[], None] = end_process,
    ) -> EmbeddedLog:
        """Check the log and start its sequencer. Raises ConfigurationError saying why it must not go on."""
        keys = load_keys(shard.directory)
        marker = self.marker(shard.origin)
        lock = HostLock.hold(shard.database)
        try:
            sequencer = start(shard.database, keys, marker, clock)
        except BaseException:
            lock.release()
            raise
        return EmbeddedLog(sequencer, marker, lock, limits=limits, metrics=metrics, die=die)

    def marker(self, origin: str) -> Marker:
        """Where the last checkpoint seen of the log with this name is kept."""
        return Marker.of(self._seen, origin)


def _shard(directory: Path) -> Shard:
    path = directory / DATABASE
    try:
        with closing(Store.open(path, read_only=True)) as store:
            identity = store.identity()
            _, _, _, frozen = store.head_state()
    except sqlite3.Error as problem:
        raise ConfigurationError(
            f"{path}: cannot be read: {problem}; put the newest good copy of the file back"
        ) from problem
    return Shard(directory, identity.origin, identity.created, frozen)


def _check_origin(origin: str) -> None:
    if not _ORIGIN.fullmatch(origin):
        raise ConfigurationError(
            f"the origin {origin!r} is not a log's submission prefix without scheme and trailing slash; expected "
            "HOST[:PORT][/PATH], such as ct.example.com/2026h2"
        )
    if _name(origin) in RESERVED:
        raise ConfigurationError(
            f"the origin {origin!r} ends in {_name(origin)!r}, a path of every log, below which the log could not be "
            f"served once it has a successor; expected another last part than {', '.join(sorted(RESERVED))}"
        )


def _name(origin: str) -> str:
    return origin.rpartition("/")[2]
