"""Logs in temporary directories, a clock to set, and real submissions."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ca.ct.embedded.directory import LogDirectory
from ca.ct.embedded.engine import DEFAULT_LIMITS, EmbeddedLog, Limits
from ca.ct.embedded.keys import load_keys
from ca.ct.embedded.marker import Marker
from ca.ct.embedded.sequencer import Sequencer
from ca.ct.embedded.startup import start
from ca.ct.model import Submission
from tests.ct.embedded import certificates
from tests.ct.embedded.certificates import CHAIN, ISSUER_KEY_HASH

ORIGIN = "log.example.com/2026h2"
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@dataclass
class Clock:
    """Stands still until it is told the time."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def real_clock() -> datetime:
    return datetime.now(UTC)


@dataclass
class World:
    """A log's directory with a clock beside it."""

    path: Path
    clock: Clock = field(default_factory=Clock)
    deaths: list[str] = field(default_factory=list)

    @property
    def logs(self) -> LogDirectory:
        return LogDirectory(self.path)

    @property
    def database(self) -> Path:
        return self.path / "ctlog.sqlite"

    @property
    def marker(self) -> Marker:
        return Marker.of(self.path / "ctlog-seen", ORIGIN)

    def create(self) -> World:
        self.logs.create(ORIGIN, self.clock())
        return self

    def sequencer(self) -> Sequencer:
        return start(self.database, load_keys(self.path), self.marker, self.clock)

    def open(self, limits: Limits = DEFAULT_LIMITS) -> EmbeddedLog:
        logs = self.logs
        return logs.open(logs.current(), self.clock, limits=limits, die=lambda: self.deaths.append("died"))


def submission(number: int = 0, *, again: bool = False, chain: tuple[bytes, ...] = CHAIN) -> Submission:
    """A precertificate; `again` it is the same one signed anew."""
    der, clean_tbs = certificates.precertificate(number, again=again)
    return Submission(True, clean_tbs, ISSUER_KEY_HASH, der, chain)


def certificate(number: int = 0) -> Submission:
    return Submission(False, certificates.certificate(number), b"", b"", CHAIN)
