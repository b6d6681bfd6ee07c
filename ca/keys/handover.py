"""The steps from one CA key to the next, each safe to be cut short anywhere and to be asked for again.

    prepare    next/ appears                   clients are told of the chain, which issues nothing yet
    activate   former/<id>/ appears            the old pair, which still issues
               the key's file is replaced      from here on the new pair issues, also after a restart (`ca.keys.reload`)
               the chain's file is replaced
               next/ disappears
    retire     former/<id>/state.json changes  the old chain leaves the trust bundle
               former/<id>/key.pem disappears

Every arrow is one rename. Files are synced before they are renamed, directories after.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from ca.certificate.chain import Chain, ChainInvalid
from ca.documents import file_bytes
from ca.errors import ConfigurationError
from ca.keys.file import fits, read_private_key
from ca.keys.local import LocalKey
from ca.keys.model import KeyUnusable, prove
from ca.keys.rotation import CHAIN, FORMER, KEY, NEXT, STATE, FormerState, NextState, Rotation, identifier

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from pydantic import BaseModel

    from ca.keys.local import PrivateKey
    from ca.keys.rotation import Former
    from ca.keys.settings import CASettings

RETIRE_AFTER: Final = timedelta(minutes=15)
"""After a chain was replaced: ten minutes, the longest that a certificate lives, and five for requests and clocks."""

_PUBLIC: Final = 0o644
_DIRECTORY: Final = 0o750
_DRAFT: Final = ".new"


class Handover:
    """What one command does. Use `handover`."""

    def __init__(self, settings: CASettings) -> None:
        self._settings = settings
        self._directory = settings.rotation_directory
        # Behind symlinks, which stay.
        self._chain_path, self._key_path = settings.cert.resolve(), settings.key.resolve()
        self._password = settings.password()
        self._discard_drafts()
        self.rotation = Rotation.read(self._directory)
        self.active = self._in_use()
        """The chain that issues."""
        self._finish_retiring()

    @property
    def interrupted(self) -> bool:
        """Whether the next chain issues already, since the last `activate` was cut short."""
        return self.rotation.next is not None and self.rotation.next.chain.ders == self.active.ders

    def require_room(self, *, replace: bool) -> None:
        """For another next chain. Raises ConfigurationError."""
        if self.interrupted:
            raise ConfigurationError(f"{self._next}: is being activated; end that first, with `dayfly ca activate`")
        if self.rotation.next and not replace:
            raise ConfigurationError(
                f"{self._next}: {named(self.rotation.next.chain)} is prepared already; activate it, or give it up with "
                "--replace"
            )

    async def prepare(
        self, chain: Chain, private_key: PrivateKey, now: datetime, *, new_root: bool = False, replace: bool = False
    ) -> None:
        """Have the chain published from `now` on.

        `new_root` says that its root may be another one, `replace` that a chain prepared before may go. Raises
        ConfigurationError.
        """
        self.require_room(replace=replace)
        await _check_pair(chain, private_key, now)
        if chain.spki == self.active.spki:
            raise ConfigurationError(f"{named(chain)} has the key that issues now; a rotation needs another key")
        if chain.ders[-1] != self.active.ders[-1] and not new_root:
            raise ConfigurationError(
                f"{named(chain)} is under another root than {named(self.active)}; if that is meant, say --new-root"
            )
        self._put(
            self._next,
            {
                CHAIN: ("".join(chain.pems).encode(), _PUBLIC),
                KEY: (self._key_pem(private_key), self._key_mode),
                STATE: (_json(NextState(published=now)), _PUBLIC),
            },
        )

    async def activate(self, now: datetime, after: timedelta) -> None:
        """Have the next chain issue, which was published for as long as `after`. Raises ConfigurationError."""
        following = self.rotation.next
        if following is None:
            raise ConfigurationError(f"{self._next}: there is no next chain; make one with `dayfly ca prepare`")
        if not self.interrupted:
            if now < following.published + after:
                raise ConfigurationError(
                    f"{named(following.chain)} is published since {following.published:%FT%TZ}; activate it from "
                    f"{following.published + after:%FT%TZ} on. Before that (--now), clients whose trusted root is "
                    "older refuse what it signs"
                )
            key_pem = file_bytes(self._next / KEY)
            await _check_pair(following.chain, read_private_key(self._next / KEY, key_pem, self._password), now)
            self._put(
                self._directory / FORMER / identifier(self.active),
                {
                    CHAIN: ("".join(self.active.pems).encode(), _PUBLIC),
                    KEY: (file_bytes(self._key_path), self._key_mode),
                    STATE: (_json(FormerState(replaced=now)), _PUBLIC),
                },
            )
            self._replace(self._key_path, key_pem, self._key_mode)
        self._replace(self._chain_path, "".join(following.chain.pems).encode(), self._mode_of(self._chain_path))
        # Where it issued before, it is no former one any more.
        self._remove(self._directory / FORMER / identifier(following.chain))
        self._remove(self._next)

    def retire(self, now: datetime) -> list[Chain]:
        """End every former chain that nothing valid leads to. Raises ConfigurationError where there is none."""
        waiting = self.waiting()
        if not waiting:
            raise ConfigurationError("no chain waits to be retired: one does after `dayfly ca activate`")
        due = [former for former in waiting if former.replaced + RETIRE_AFTER <= now]
        if not due:
            raise ConfigurationError(
                f"certificates of {named(waiting[0].chain)} may still be valid; retire it from "
                f"{waiting[0].replaced + RETIRE_AFTER:%FT%TZ} on"
            )
        for former in due:
            place = self._directory / FORMER / identifier(former.chain)
            state = FormerState(replaced=former.replaced, retired=now)
            self._replace(place / STATE, _json(state), _PUBLIC)
            (place / KEY).unlink(missing_ok=True)
        return [former.chain for former in due]

    def waiting(self) -> list[Former]:
        """Chains that issue no more and are not retired; the one replaced first comes first."""
        return [one for one in self.rotation.former if one.retired is None and one.chain.ders != self.active.ders]

    @property
    def _next(self) -> Path:
        return self._directory / NEXT

    @property
    def _key_mode(self) -> int:
        return self._mode_of(self._key_path)

    def _in_use(self) -> Chain:
        """By the key, as servers see it; unlike them, also one that has expired."""
        key_pem = file_bytes(self._key_path)
        following = self.rotation.next
        if following and fits(following.chain, self._key_path, key_pem, self._password):
            return following.chain
        try:
            chain = Chain.parse(file_bytes(self._chain_path))
        except ChainInvalid as problem:
            raise ConfigurationError(f"{self._chain_path}: {problem}") from problem
        if not fits(chain, self._key_path, key_pem, self._password):
            raise ConfigurationError(
                f"{self._key_path}: is not the key of {self._chain_path}; put the pair right first"
            )
        return chain

    def _finish_retiring(self) -> None:
        for former in self.rotation.former:
            if former.retired:
                (self._directory / FORMER / identifier(former.chain) / KEY).unlink(missing_ok=True)

    def _key_pem(self, private_key: PrivateKey) -> bytes:
        encryption = BestAvailableEncryption(self._password) if self._password else NoEncryption()
        return private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)

    # ---- files ----------------------------------------------------------------------------------------------

    def _put(self, place: Path, files: dict[str, tuple[bytes, int]]) -> None:
        """A directory with these files, or none, whatever happens; one that is there goes."""
        draft = place.with_name(place.name + _DRAFT)
        self._make(draft)
        for name, (content, mode) in files.items():
            self._write(draft / name, content, mode)
        _sync(draft)
        self._remove(place)
        draft.rename(place)
        _sync(place.parent)

    def _replace(self, path: Path, content: bytes, mode: int) -> None:
        draft = path.with_name(path.name + _DRAFT)
        self._write(draft, content, mode)
        draft.replace(path)
        _sync(path.parent)

    def _remove(self, place: Path) -> None:
        """At once for those who read it, then its files."""
        if place.exists():
            gone = place.with_name(place.name + _DRAFT + "-gone")
            place.rename(gone)
            _sync(place.parent)
            shutil.rmtree(gone)

    def _make(self, directory: Path) -> None:
        if not directory.exists():
            self._make(directory.parent)
            directory.mkdir(_DIRECTORY)
            self._give(directory)

    def _write(self, path: Path, content: bytes, mode: int) -> None:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
            self._give(path)
            file.flush()
            os.fsync(file.fileno())

    def _give(self, path: Path) -> None:
        """To whoever has the CA key: root may rotate it for a server that runs as somebody else."""
        wanted, found = self._key_path.stat(), path.stat()
        if (wanted.st_uid, wanted.st_gid) != (found.st_uid, found.st_gid):
            os.chown(path, wanted.st_uid, wanted.st_gid)

    def _mode_of(self, path: Path) -> int:
        return path.stat().st_mode & 0o777

    def _discard_drafts(self) -> None:
        """What a command that was cut short has left, keys among it."""
        for path in (self._chain_path, self._key_path):
            path.with_name(path.name + _DRAFT).unlink(missing_ok=True)
        for place in (self._directory, self._directory / FORMER):
            for draft in place.glob(f"*{_DRAFT}*"):
                shutil.rmtree(draft)
        for draft in (self._directory / FORMER).glob(f"*/*{_DRAFT}"):
            draft.unlink()


@contextmanager
def handover(settings: CASettings) -> Iterator[Handover]:
    """Nobody else's steps in between. Raises ConfigurationError, also for what cannot be read or written."""
    directory = settings.rotation_directory
    try:
        descriptor = os.open(settings.key.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield Handover(settings)
        finally:
            os.close(descriptor)
    except BlockingIOError as problem:
        raise ConfigurationError(f"{directory}: another `dayfly ca` is at work there; try again") from problem
    except OSError as problem:
        raise ConfigurationError(
            f"{problem.filename or directory}: {problem.strerror}; rotate where the files are kept, as their owner"
        ) from problem


def named(chain: Chain) -> str:
    """What people call a chain."""
    issuing = chain.certificates[0]
    return f'"{issuing.subject.rfc4514_string()}" ({identifier(chain)})'


async def _check_pair(chain: Chain, private_key: object, now: datetime) -> None:
    try:
        await prove(LocalKey.of(private_key), chain, now)
    except (ChainInvalid, KeyUnusable) as problem:
        raise ConfigurationError(f"{named(chain)} cannot issue: {problem}") from problem


def _json(state: BaseModel) -> bytes:
    return state.model_dump_json(by_alias=True, exclude_none=True).encode() + b"\n"


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
