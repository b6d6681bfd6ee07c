"""Chains beside the active pair: the next one, published before it issues, and those that have issued.

DIR/next/chain.pem  key.pem  state.json           `published`: since when clients are told of it
DIR/former/<id>/chain.pem  key.pem  state.json    `replaced`: when the next took its place; `retired`: when it left the
                                                  trust bundle, and its key was deleted

Here is what a server reads of them, which is no key; `ca.keys.handover` writes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from pydantic import AwareDatetime

from ca.certificate.chain import Chain, ChainInvalid
from ca.documents import Settings, parse, validate
from ca.errors import ConfigurationError
from ca.keys.model import RetiredChain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NEXT: Final = Path("next")
FORMER: Final = Path("former")
CHAIN: Final = "chain.pem"
KEY: Final = "key.pem"
STATE: Final = "state.json"

Files = dict[Path, bytes]
"""Contents by path."""


class NextState(Settings):
    """What is known of the next chain."""

    published: AwareDatetime


class FormerState(Settings):
    """What is known of a chain that has issued."""

    replaced: AwareDatetime
    retired: AwareDatetime | None = None


_State = TypeVar("_State", NextState, FormerState)


@dataclass(frozen=True, slots=True)
class Next:
    """The chain that is to issue."""

    chain: Chain
    published: datetime


@dataclass(frozen=True, slots=True)
class Former:
    """A chain that issues no more."""

    chain: Chain
    replaced: datetime
    retired: datetime | None


@dataclass(frozen=True, slots=True)
class Rotation:
    """What is beside the active pair; nothing, where there never was a rotation."""

    next: Next | None = None
    former: tuple[Former, ...] = ()
    """The one replaced last comes last."""

    @classmethod
    def read(cls, directory: Path) -> Rotation:
        """Raises ConfigurationError naming the file."""
        return cls.of(read_files(directory), directory)

    @classmethod
    def of(cls, files: Mapping[Path, bytes], directory: Path) -> Rotation:
        """From the contents that `read_files` found. Raises ConfigurationError naming the file."""
        following, former = None, []
        for place in sorted({path.parent for path in files}):
            if place == directory / NEXT:
                following = Next(_chain(place, files), _state(NextState, place, files).published)
            else:
                state = _state(FormerState, place, files)
                former.append(Former(_chain(place, files), state.replaced, state.retired))
        return cls(following, tuple(sorted(former, key=lambda one: one.replaced)))

    def bundle(self, active: Chain) -> list[Chain]:
        """Every chain that certificates in use may lead to, the active one first, each once."""
        beside = [self.next.chain] if self.next else []
        return _once([active, *beside, *(one.chain for one in reversed(self.former) if one.retired is None)])

    def retired(self, active: Chain) -> list[RetiredChain]:
        """Chains of which nothing valid is left, that what was signed with them leads to."""
        in_use = {chain.ders for chain in self.bundle(active)}
        ended = [RetiredChain(one.chain, one.retired) for one in self.former if one.retired]
        return [one for one in ended if one.chain.ders not in in_use]


def identifier(chain: Chain) -> str:
    """What tells it from other chains: serial numbers are unique under one root alone, so all certificates count."""
    return hashlib.sha256(b"".join(chain.ders)).hexdigest()[:16]


def read_files(directory: Path) -> Files:
    """All that a server reads there: empty where there is nothing. Raises ConfigurationError."""
    try:
        return dict(_contents(directory))
    except OSError as problem:
        raise ConfigurationError(f"{problem.filename}: cannot be read: {problem.strerror}") from problem


def _contents(directory: Path) -> Iterator[tuple[Path, bytes]]:
    for place in (directory / NEXT, *_formers(directory)):
        for name in (CHAIN, STATE):
            try:
                yield place / name, (place / name).read_bytes()
            except FileNotFoundError:
                continue


def _formers(directory: Path) -> list[Path]:
    """Without drafts, whose names have a dot."""
    return sorted(place for place in (directory / FORMER).glob("*") if "." not in place.name)


def _once(chains: list[Chain]) -> list[Chain]:
    return list({chain.ders: chain for chain in chains}.values())


def _chain(place: Path, files: Mapping[Path, bytes]) -> Chain:
    path = place / CHAIN
    try:
        chain = Chain.parse(_content(path, files))
        chain.check_path()
    except ChainInvalid as problem:
        raise ConfigurationError(f"{path}: {problem}") from problem
    return chain


def _state(model: type[_State], place: Path, files: Mapping[Path, bytes]) -> _State:
    path = place / STATE
    try:
        text = _content(path, files).decode()
    except UnicodeDecodeError as problem:
        raise ConfigurationError(f"{path}: not UTF-8") from problem
    return validate(model, parse(text, str(path)))


def _content(path: Path, files: Mapping[Path, bytes]) -> bytes:
    if path not in files:
        raise ConfigurationError(f"{path}: is missing; put it back, or remove {path.parent} if it never issued")
    return files[path]
