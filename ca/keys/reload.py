"""The CA key in files, followed as the files change."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from ca.documents import file_bytes
from ca.documents.follow import Follower
from ca.errors import ConfigurationError
from ca.keys.file import fits, parse_key_pair
from ca.keys.rotation import CHAIN, NEXT, Rotation, read_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from ca.certificate.chain import Chain
    from ca.keys.model import CAKey, RetiredChain
    from ca.keys.rotation import Files
    from ca.keys.settings import CASettings

_READINGS: Final = 10


class ReloadingFileKey:
    """`CAKeys` of the pair in two files, and of the chains before and after it.

    What cannot be loaded, such as a pair of which only half has been replaced, leaves the last good one in use.
    """

    def __init__(self, settings: CASettings, clock: Callable[[], datetime], loaded: _Loaded) -> None:
        """Use `load`."""
        self._settings = settings
        self._clock = clock
        self._loaded = loaded
        self._error: str | None = None
        self._follower = Follower(self._files, self.reload)

    @classmethod
    async def load(cls, settings: CASettings, clock: Callable[[], datetime]) -> ReloadingFileKey:
        """Raises ConfigurationError naming the file and what to do."""
        return cls(settings, clock, await _load(settings, _Read.settled(settings), clock()))

    def current(self, now: datetime) -> CAKey:
        """Raises SignerUnavailable while the chain is not valid."""
        ca_key = self._loaded.ca_key
        ca_key.require_valid(now)
        return ca_key

    def chains(self) -> list[Chain]:
        return self._loaded.rotation.bundle(self._loaded.ca_key.chain)

    def retired(self) -> list[RetiredChain]:
        return self._loaded.rotation.retired(self._loaded.ca_key.chain)

    @property
    def rotation(self) -> Rotation:
        """What is beside the active pair."""
        return self._loaded.rotation

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
        """Take what is in the files if it has changed and is good; say so if it is not."""
        logger = structlog.get_logger("keys")
        try:
            if _Read.once(self._settings).digest == self._loaded.seen and self._error is None:
                return
            loaded = await _load(self._settings, _Read.settled(self._settings), self._clock())
        except ConfigurationError as problem:
            if self._error != str(problem):
                logger.warning("the CA key cannot be loaded, the last good one stays in use", problem=str(problem))
            self._error = str(problem)
            return
        self._loaded = loaded
        self._error = None
        issuing = loaded.ca_key.chain.certificates[0]
        logger.info(
            "CA key loaded",
            subject=issuing.subject.rfc4514_string(),
            serial=f"{issuing.serial_number:x}",
            chains=len(self.chains()),
            retired=len(self.retired()),
        )

    def _files(self) -> list[Path]:
        """To be watched; what else is read is looked at as often as they are, and waits for a second at most."""
        paths = (self._settings.cert, self._settings.key, self._settings.key_password_file)
        return [path for path in paths if path]


@dataclass(frozen=True, slots=True)
class _Loaded:
    ca_key: CAKey
    rotation: Rotation
    seen: bytes


@dataclass(frozen=True, slots=True, repr=False)
class _Read:
    """Everything that was read at about one time."""

    chain_pem: bytes
    key_pem: bytes
    password: bytes | None
    rotation: Files

    @classmethod
    def once(cls, settings: CASettings) -> _Read:
        try:
            password = settings.password()
        except OSError as problem:
            raise ConfigurationError(f"{problem.filename}: cannot be read: {problem.strerror}") from problem
        return cls(
            file_bytes(settings.cert), file_bytes(settings.key), password, read_files(settings.rotation_directory)
        )

    @classmethod
    def settled(cls, settings: CASettings) -> _Read:
        """Read again until nothing has changed meanwhile: half of a rotation's step is not to be taken for its end."""
        before = cls.once(settings)
        for _ in range(_READINGS):
            now = cls.once(settings)
            if now == before:
                return now
            before = now
        raise ConfigurationError(f"{settings.cert}: the files beside it do not stop changing")

    @property
    def digest(self) -> bytes:
        """What was read, to be told from what is read next without keeping it."""
        names = [str(path).encode() for path in self.rotation]
        contents = [self.chain_pem, self.key_pem, self.password or b"", *names, *self.rotation.values()]
        return hashlib.sha256(b"".join(hashlib.sha256(content).digest() for content in contents)).digest()


async def _load(settings: CASettings, read: _Read, now: datetime) -> _Loaded:
    rotation = Rotation.of(read.rotation, settings.rotation_directory)
    chain_path, chain_pem = settings.cert, read.chain_pem
    following = settings.rotation_directory / NEXT / CHAIN
    # `activate` exchanges the key before the chain. The key decides, so there is no moment without a pair.
    if rotation.next and fits(rotation.next.chain, settings.key, read.key_pem, read.password):
        chain_path, chain_pem = following, read.rotation[following]
    ca_key = await parse_key_pair(chain_path, chain_pem, settings.key, read.key_pem, password=read.password, now=now)
    return _Loaded(ca_key, rotation, read.digest)
