"""The CA key in files, followed as the files change."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import structlog

from ca.documents import file_bytes
from ca.documents.follow import Follower
from ca.errors import ConfigurationError
from ca.keys.file import parse_key_pair

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from ca.certificate.chain import Chain
    from ca.keys.model import CAKey
    from ca.keys.settings import CASettings


class ReloadingFileKey:
    """`CAKeys` of the pair in two files.

    A pair that cannot be loaded, such as one of which only half has been replaced, leaves the last good one in use.
    """

    def __init__(self, settings: CASettings, clock: Callable[[], datetime], ca_key: CAKey, seen: bytes) -> None:
        """Use `load`."""
        self._settings = settings
        self._clock = clock
        self._ca_key = ca_key
        self._seen = seen
        self._error: str | None = None
        self._follower = Follower(self._files, self.reload)

    @classmethod
    async def load(cls, settings: CASettings, clock: Callable[[], datetime]) -> ReloadingFileKey:
        """Raises ConfigurationError naming the file and what to do."""
        ca_key, seen = await _load(settings, clock())
        return cls(settings, clock, ca_key, seen)

    def current(self, now: datetime) -> CAKey:
        """Raises SignerUnavailable while the chain is not valid."""
        self._ca_key.require_valid(now)
        return self._ca_key

    def chains(self) -> list[Chain]:
        return [self._ca_key.chain]

    @property
    def last_reload_error(self) -> str | None:
        return self._error

    async def run(self) -> None:
        """Follow the files until cancelled."""
        await self._follower.run()

    def look(self) -> None:
        """Have the running `run` read the files now."""
        self._follower.look()

    async def reload(self) -> None:
        """Take the pair in the files if it has changed and is good; say so if it is not."""
        logger = structlog.get_logger("keys")
        try:
            seen = _fingerprint(self._settings)
            if seen == self._seen and self._error is None:
                return
            ca_key, self._seen = await _load(self._settings, self._clock())
        except ConfigurationError as problem:
            if self._error != str(problem):
                logger.warning("the CA key cannot be loaded, the last good one stays in use", problem=str(problem))
            self._error = str(problem)
            return
        self._ca_key = ca_key
        self._error = None
        issuing = ca_key.chain.certificates[0]
        logger.info("CA key loaded", subject=issuing.subject.rfc4514_string(), serial=f"{issuing.serial_number:x}")

    def _files(self) -> list[Path]:
        paths = (self._settings.cert, self._settings.key, self._settings.key_password_file)
        return [path for path in paths if path]


async def _load(settings: CASettings, now: datetime) -> tuple[CAKey, bytes]:
    chain_pem, key_pem, password = _read(settings)
    ca_key = await parse_key_pair(settings.cert, chain_pem, settings.key, key_pem, password=password, now=now)
    return ca_key, _digest(chain_pem, key_pem, password)


def _fingerprint(settings: CASettings) -> bytes:
    return _digest(*_read(settings))


def _read(settings: CASettings) -> tuple[bytes, bytes, bytes | None]:
    try:
        password = settings.password()
    except OSError as problem:
        raise ConfigurationError(f"{problem.filename}: cannot be read: {problem.strerror}") from problem
    return file_bytes(settings.cert), file_bytes(settings.key), password


def _digest(*contents: bytes | None) -> bytes:
    """What was read, to be told from what is read next without keeping it."""
    return hashlib.sha256(b"".join(hashlib.sha256(content or b"").digest() for content in contents)).digest()
