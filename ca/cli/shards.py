"""`dayfly log init`, `info`, `freeze` and `rotate`: the logs of a data directory, one after the other."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from base64 import b64encode
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from rich.filesize import decimal
from rich.text import Text

from ca.ct.checkpoint import verifier_key
from ca.ct.embedded.keys import LOG_PUBLIC_KEY, LogKeys, load_keys
from ca.ct.embedded.store import Head, Store
from ca.errors import ConfigurationError
from ca.main import clock

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from ca.ct.embedded.directory import LogDirectory, Shard

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ShardInfo:
    """What there is to say of a log at a glance."""

    shard: Shard
    keys: LogKeys
    head: Head
    file_size: int
    """Bytes, with what is in the write-ahead log."""

    @classmethod
    def read(cls, shard: Shard) -> ShardInfo:
        """Raises ConfigurationError."""
        keys = load_keys(shard.directory)
        with closing(Store.open(shard.database, read_only=True)) as store:
            try:
                head = store.head()
            except sqlite3.Error as problem:
                raise ConfigurationError(f"{shard.database}: cannot be read: {problem}") from problem
            # While the file is open its write-ahead log does not go away.
            files = (shard.database, shard.database.with_name(f"{shard.database.name}-wal"))
            return cls(shard, keys, head, sum(path.stat().st_size for path in files if path.exists()))

    @property
    def log_id(self) -> str:
        return b64encode(self.keys.log_id).decode()

    @property
    def verifier_key(self) -> str:
        return verifier_key(self.shard.origin, self.keys.note_key.public_key())

    @property
    def time(self) -> datetime:
        return _EPOCH + timedelta(milliseconds=self.head.timestamp)


def make_first(logs: LogDirectory, data: Path, origin: str, out: Console) -> None:
    """Make the first log of a directory. Raises ConfigurationError where there is one."""
    if shards := logs.shards():
        raise ConfigurationError(
            f"{data}: has the log {shards[-1].origin} already; one that takes its place is made by `dayfly log rotate`"
        )
    _print_rows(out, *_names(ShardInfo.read(logs.create(origin, clock()))))


def rotate(logs: LogDirectory, origin: str, out: Console) -> None:
    """Make another log. Raises ConfigurationError where there is none, or one of that name."""
    old = logs.current()
    _print_rows(out, *_names(ShardInfo.read(logs.create(origin, clock()))))
    out.print(
        "\nNext: give clients the new public key, start the server again, then end the old log with\n"
        f"  dayfly log freeze --origin {old.origin} …",
        markup=False,
    )


def freeze(logs: LogDirectory, origin: str | None, out: Console) -> None:
    """Sign the last checkpoint. Raises ConfigurationError, or LogUnavailable where the file is busy."""
    shard = named(logs, origin)

    async def run() -> None:
        log = logs.open(shard, clock)
        try:
            await log.freeze()
        finally:
            await log.aclose()

    asyncio.run(run())
    head = ShardInfo.read(shard).head
    out.print(f"{shard.origin}: frozen with {head.size} entries; its last checkpoint is\n", markup=False)
    out.print(head.checkpoint, end="", markup=False)


def print_rows(logs: LogDirectory, out: Console) -> None:
    """Raises ConfigurationError where there is no log."""
    for place, info in enumerate(_all(logs)):
        out.print(end="\n" if place else "")
        _print_rows(
            out,
            *_names(info),
            ("size", f"{info.head.size} entries"),
            ("root", b64encode(info.head.root).decode()),
            ("checkpoint", f"{info.time:%Y-%m-%d %H:%M:%S} UTC"),
            ("frozen", "yes: it takes nothing more" if info.head.frozen else "no"),
            ("file", f"{info.shard.database}, {decimal(info.file_size)}"),
        )


def print_json(logs: LogDirectory, out: Console) -> None:
    """Raises ConfigurationError where there is no log."""
    shards: list[dict[str, Any]] = [
        {
            "origin": info.shard.origin,
            "logId": info.log_id,
            "verifierKey": info.verifier_key,
            "publicKey": str(info.shard.directory / LOG_PUBLIC_KEY),
            "size": info.head.size,
            "root": b64encode(info.head.root).decode(),
            "timestamp": info.head.timestamp,
            "frozen": info.head.frozen,
            "file": str(info.shard.database),
            "fileSize": info.file_size,
        }
        for info in _all(logs)
    ]
    out.print(json.dumps(shards, indent=2), markup=False)


def named(logs: LogDirectory, origin: str | None) -> Shard:
    """The log with this name, the newest where None is given. Raises ConfigurationError."""
    newest = logs.current()
    if origin is None:
        return newest
    shards = {shard.origin: shard for shard in logs.shards()}
    if origin not in shards:
        raise ConfigurationError(f"--origin: there is no log {origin}; there are {', '.join(shards)}")
    return shards[origin]


def _all(logs: LogDirectory) -> list[ShardInfo]:
    logs.current()  # says what to do where there is none
    return [ShardInfo.read(shard) for shard in logs.shards()]


def _names(info: ShardInfo) -> list[tuple[str, str]]:
    """What others need, to verify what the log signs."""
    return [
        ("origin", info.shard.origin),
        ("log id", info.log_id),
        ("verifier key", info.verifier_key),
        ("public key", str(info.shard.directory / LOG_PUBLIC_KEY)),
    ]


def _print_rows(out: Console, *rows: tuple[str, str]) -> None:
    """Each on one line, however long: keys are there to be copied."""
    for name, value in rows:
        out.print(Text.assemble((f"{name:<14}", "bold"), value))
