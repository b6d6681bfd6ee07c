"""The last checkpoint seen, kept apart from the log: what shows that a database has gone back in time.

The file is a signed checkpoint as the log serves it. Where it was lost, the newest checkpoint that anybody has (a
monitor, a witness) can be put in its place.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ca.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Marker:
    """Best on another volume than the log: what restores an old database should not restore this with it."""

    path: Path

    @classmethod
    def of(cls, directory: Path, origin: str) -> Marker:
        """The one of a log among those of `directory`."""
        return cls(directory / f"{hashlib.sha256(origin.encode()).hexdigest()[:32]}.checkpoint")

    def read(self) -> str | None:
        """The checkpoint, None where none was ever seen. Raises ConfigurationError."""
        try:
            return self.path.read_text("utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as problem:
            raise ConfigurationError(f"{self.path}: cannot be read: {problem}") from problem

    def create(self, checkpoint: str) -> None:
        """Remember the first checkpoint of a log. Raises ConfigurationError."""
        try:
            self.advance(checkpoint)
        except OSError as problem:
            raise ConfigurationError(f"{self.path}: cannot be written: {problem.strerror}") from problem

    def advance(self, checkpoint: str) -> None:
        """Remember `checkpoint` unless a larger one is there already. Raises OSError."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(self.path.parent) as directory:
            if self.path.exists() and _size(self.path.read_text("utf-8")) > _size(checkpoint):
                return
            draft = self.path.with_suffix(".new")
            with draft.open("w", encoding="utf-8") as file:
                file.write(checkpoint)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self.path)
            os.fsync(directory)


@contextmanager
def _locked(directory: Path) -> Iterator[int]:
    """Worker processes take turns, so that none puts an older checkpoint over a newer one."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _size(checkpoint: str) -> int:
    """The tree size, the second line of a checkpoint; less than any where there is no such line."""
    lines = checkpoint.split("\n", 2)
    return int(lines[1]) if len(lines) == 3 and lines[1].isdecimal() else -1
