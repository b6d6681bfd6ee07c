"""The CA key in files, followed as the files change."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Final

import structlog
from watchfiles import awatch

from ca.documents import file_bytes
from ca.errors import ConfigurationError
from ca.keys.file import parse_key_pair

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from ca.certificate.chain import Chain
    from ca.keys.model import CAKey
    from ca.keys.settings import CASettings

DEBOUNCE: Final = 0.2
"""Seconds for which changes are gathered: two files are seldom written in the same instant."""
LOOK_AGAIN: Final = 5.0
"""Seconds after which the files are read again without being told: some file systems tell nothing."""


class ReloadingFileKey:
    """`CAKeys` of the pair in two files.

    Chain, key and password are read again when anything changes in their directories, which is how a write in
    place, an editor's rename and Kubernetes' swap of the `..data` symlink look alike. A pair that cannot be loaded,
    such as one of which only half has been replaced, leaves the last good one in use.
    """

    def __init__(self, settings: CASettings, clock: Callable[[], datetime], ca_key: CAKey, seen: bytes) -> None:
        """Use `load`."""
        self._settings = settings
        self._clock = clock
        self._ca_key = ca_key
        self._seen = seen
        self._error: str | None = None

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
        while True:
            try:
                async for _ in awatch(
                    *self._directories(),
                    watch_filter=None,
                    debounce=int(DEBOUNCE * 1000),
                    rust_timeout=int(LOOK_AGAIN * 1000),
                    yield_on_timeout=True,
                    recursive=False,
                    ignore_permission_denied=True,
                ):
                    await self.reload()
            except (OSError, RuntimeError) as problem:  # no such directory, or no inotify watches left
                structlog.get_logger("keys").warning("the CA key's files cannot be watched", problem=str(problem))
            await asyncio.sleep(LOOK_AGAIN)
            await self.reload()

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

    def _directories(self) -> set[Path]:
        paths = (self._settings.cert, self._settings.key, self._settings.key_password_file)
        return {path.absolute().parent for path in paths if path}


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
