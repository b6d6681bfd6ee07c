"""Repositories in a directory, and python-tuf's own client to look at them with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater

from ca.trust.material import Operated
from ca.trust.settings import TrustSettings
from ca.tuf.repository import Repository
from ca.tuf.targets import Target, targets
from tests.trust.instances import own_parts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from securesystemslib.signer import Signer

NOW = datetime.now(UTC).replace(microsecond=0)
"""python-tuf's client reads the clock itself."""
URL = "https://tuf.example.org"


@dataclass(frozen=True)
class Keys:
    """A signer or more for each of the three kinds."""

    root: list[Signer]
    targets: list[Signer]
    online: list[Signer]

    @classmethod
    def new(cls, root: int = 1, targets: int = 1) -> Keys:
        return cls([key() for _ in range(root)], [key() for _ in range(targets)], [key()])


def key() -> Signer:
    return CryptoSigner.generate_ecdsa()


def private_bytes(signer: Signer) -> bytes:
    """PEM, as in a file."""
    assert isinstance(signer, CryptoSigner)
    return signer.private_bytes


def created(directory: Path, keys: Keys, threshold: int = 1, now: datetime = NOW) -> Repository:
    signers = {"root": keys.root, "targets": keys.targets, "online": keys.online}
    return Repository.create(directory, signers, {"root": threshold, "targets": 1, "online": 1}, now)


def files(url: str = "https://ca.example.org") -> dict[str, Target]:
    return targets(Operated(TrustSettings(url=url)).material(own_parts()), NOW)


class Directory(FetcherInterface):
    """The repository as an honest web server has it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def _fetch(self, url: str) -> Iterator[bytes]:
        try:
            yield (self._directory / url.removeprefix(f"{URL}/")).read_bytes()
        except FileNotFoundError as problem:
            raise DownloadHTTPError("not found", 404) from problem


def client(repository: Path, home: Path, root: bytes | None = None) -> Updater:
    """A client that keeps in `home` what it has seen; `root` is what it begins with."""
    (home / "targets").mkdir(parents=True, exist_ok=True)
    return Updater(
        str(home), f"{URL}/", str(home / "targets"), f"{URL}/targets/", fetcher=Directory(repository), bootstrap=root
    )


def fetched(updater: Updater, name: str) -> bytes:
    """A file, all checks of the specification passed."""
    info = updater.get_targetinfo(name)
    assert info is not None, name
    return Path(updater.download_target(info)).read_bytes()
