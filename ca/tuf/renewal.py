"""Keeps snapshot and timestamp fresh while a server runs, and tells when what people must renew runs out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from ca.documents import file_bytes
from ca.errors import ConfigurationError
from ca.tuf.keys import load_signer
from ca.tuf.repository import LIFETIMES, Repository

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from securesystemslib.signer import Signer

    from ca.telemetry import Metrics
    from ca.tuf.settings import TUFSettings

INTERVAL: Final = 60.0
"""Seconds between looks at the repository."""


class Renewal:
    """The repository of a server. The online key, if it has one, is the only key that it knows."""

    def __init__(self, repository: Repository, online: Signer | None, clock: Callable[[], datetime]) -> None:
        """Use `open`."""
        self.repository = repository
        self._online = online
        self._clock = clock
        self.problem: str | None = None
        """What somebody has to do; certificates are issued all the same."""

    @classmethod
    def open(cls, settings: TUFSettings, clock: Callable[[], datetime]) -> Renewal | None:
        """Of the repository that the settings name, if any. Raises ConfigurationError where something is wrong."""
        if settings.directory is None:
            return None
        renewal = cls(Repository(settings.directory), _online_key(settings), clock)
        renewal.repository.expiries()
        return renewal

    async def run(self, metrics: Metrics) -> None:
        """Renew what is due until cancelled."""
        while True:
            # In a thread: a key may be in a KMS, and a command may hold the repository's lock.
            await asyncio.to_thread(self.look, metrics)
            await asyncio.sleep(INTERVAL)

    def look(self, metrics: Metrics) -> None:
        """Renew what is due now, and say what is not as it should be."""
        now = self._clock()
        problem = None
        try:
            if self._online and self.repository.refresh([self._online], now):
                structlog.get_logger("tuf").info("TUF timestamp renewed")
            for role, expiry in self.repository.expiries().items():
                left = expiry - now
                metrics.tuf_expiry_seconds.labels(role).set(left.total_seconds())
                if left < LIFETIMES[role] / 4:
                    problem = f"TUF {role} metadata expires at {expiry:%FT%TZ}; renew it with `dayfly tuf`"
        except ConfigurationError as error:
            problem = str(error)
        if problem and problem != self.problem:
            structlog.get_logger("tuf").warning("the TUF repository needs attention", problem=problem)
        self.problem = problem


def _online_key(settings: TUFSettings) -> Signer | None:
    if settings.online_key_uri:
        return load_signer(f"{settings.online_key_uri}={settings.online_key_public}", None)
    if settings.online_key is None:
        return None
    password = settings.online_key_password_file
    return load_signer(str(settings.online_key), file_bytes(password).rstrip(b"\r\n") if password else None)
