"""A TUF repository in a directory, as a web server may serve it (TUF specification 1.0, consistent snapshots).

1.root.json 2.root.json …        signed by the root keys, offline; each by those of the one before as well
N.targets.json                   signed by the targets keys, offline; names the files below
N.snapshot.json timestamp.json   signed by the online key, renewed every few days
targets/<sha256>.<name>          what clients come for

Nothing that was published is changed or removed but `timestamp.json`, which is replaced last: a client sees all of a
publication or none of it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Final, TypeVar

from securesystemslib.exceptions import Error as SecureSystemsError
from securesystemslib.signer import Signer
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from ca.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ca.tuf.targets import Target

ROOT: Final = "root"
TARGETS: Final = "targets"
ONLINE: Final = ("snapshot", "timestamp")
ROLES: Final = (ROOT, TARGETS, *ONLINE)

LIFETIMES: Final = {
    ROOT: timedelta(days=365),
    TARGETS: timedelta(days=365),
    "snapshot": timedelta(days=30),
    "timestamp": timedelta(days=7),
}
"""For how long each role's metadata counts. A timestamp's is how long a repository that is held back goes unnoticed."""

_Signed = TypeVar("_Signed", Root, Targets, Snapshot, Timestamp)


class Repository:
    """Reads and extends the repository in `directory`. Every method raises ConfigurationError saying what is wrong."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @classmethod
    def create(
        cls,
        directory: Path,
        signers: Mapping[str, Sequence[Signer]],
        thresholds: Mapping[str, int],
        now: datetime,
    ) -> Repository:
        """A new one, with no files in it yet.

        `signers` and `thresholds` by `root`, `targets` and `online`; a threshold is how many of them must sign.
        """
        repository = cls(directory)
        if (directory / "1.root.json").exists():
            raise ConfigurationError(f"{directory}: has a TUF repository already; choose another directory")
        root = Root(expires=_expiry(ROOT, now), consistent_snapshot=True)
        for role in ROLES:
            keys = "online" if role in ONLINE else role
            _check_threshold(keys, len(signers[keys]), thresholds[keys])
            for signer in signers[keys]:
                root.add_key(signer.public_key, role)
            root.roles[role].threshold = thresholds[keys]
        metadata = Metadata(root)
        _sign(metadata, signers[ROOT])
        with repository._writing():
            repository._write("1.root.json", metadata.to_bytes())
        repository.publish({}, signers[TARGETS], signers["online"], now)
        return repository

    def root(self) -> Metadata[Root]:
        """The newest."""
        version = 0
        while (self.directory / f"{version + 1}.root.json").exists():
            version += 1
        if not version:
            raise ConfigurationError(f"{self.directory}: has no TUF repository; make one with `dayfly tuf init`")
        return self._read(f"{version}.root.json", Root)

    def targets(self) -> Metadata[Targets]:
        version = self.snapshot().signed.meta["targets.json"].version
        return self._read(f"{version}.targets.json", Targets)

    def snapshot(self) -> Metadata[Snapshot]:
        return self._read(f"{self.timestamp().signed.snapshot_meta.version}.snapshot.json", Snapshot)

    def timestamp(self) -> Metadata[Timestamp]:
        return self._read("timestamp.json", Timestamp)

    def expiries(self) -> dict[str, datetime]:
        """By role: until when clients believe the newest metadata."""
        return {
            ROOT: self.root().signed.expires,
            TARGETS: self.targets().signed.expires,
            "snapshot": self.snapshot().signed.expires,
            "timestamp": self.timestamp().signed.expires,
        }

    def holds(self, files: Mapping[str, Target]) -> bool:
        """Whether these are the files of the newest publication."""
        return self.targets().signed.targets == _target_files(files)

    def publish(
        self, files: Mapping[str, Target], signers: Sequence[Signer], online: Sequence[Signer], now: datetime
    ) -> int:
        """Make these the repository's files; the new version of targets. The files of older versions stay."""
        with self._writing():
            root = self.root().signed
            for name, target in files.items():
                self._write(f"targets/{sha256(target.content).hexdigest()}.{name}", target.content)
            version = self._targets(_target_files(files), root, signers, now)
            self._snapshot(version, root, online, now)
            return version

    def refresh(self, online: Sequence[Signer], now: datetime, *, force: bool = False) -> bool:
        """Renew snapshot and timestamp if half of either's life is over; whether that was so."""
        with self._writing():
            expiries = self.expiries()
            due = any(expiries[role] - now < LIFETIMES[role] / 2 for role in ONLINE)
            if due or force:
                self._snapshot(self.targets().signed.version, self.root().signed, online, now)
            return due or force

    def rotate(
        self,
        role: str,
        new: Sequence[Signer],
        threshold: int,
        *,
        root_signers: Sequence[Signer],
        old: Sequence[Signer] = (),
        online: Sequence[Signer] = (),
        now: datetime,
    ) -> int:
        """Make `new` the keys of a role (`root`, `targets` or `online`); the new version of root.

        `root_signers` are enough of the root keys, for the role root of the old and of the new ones. What the role had
        signed is signed again: with enough of its `old` keys too, so that no client notices, else between one file and
        the next. `online` signs the new targets' snapshot.
        """
        _check_threshold(role, len(new), threshold)
        with self._writing():
            before, metadata = self.root().signed, self.root()
            root = metadata.signed
            for name in _roles(role):
                for keyid in list(root.roles[name].keyids):
                    root.revoke_key(keyid, name)
                for signer in new:
                    root.add_key(signer.public_key, name)
                root.roles[name].threshold = threshold
            root.version += 1
            root.expires = _expiry(ROOT, now)
            _sign(metadata, _distinct([*root_signers, *(new if role == ROOT else ())]))
            _check_signed_by_both(metadata, before)

            signers = _distinct([*old, *new])
            known = before.roles[_roles(role)[0]]
            seamless = len([each for each in signers if each.public_key.keyid in known.keyids]) >= known.threshold
            if seamless:
                self._sign_again(role, root, signers, online, now)
            self._write(f"{root.version}.root.json", metadata.to_bytes())
            if not seamless:
                self._sign_again(role, root, signers, online, now)
            return root.version

    def _sign_again(
        self, role: str, root: Root, signers: Sequence[Signer], online: Sequence[Signer], now: datetime
    ) -> None:
        if role == TARGETS:
            self._snapshot(self._targets(self.targets().signed.targets, root, signers, now), root, online, now)
        elif role == "online":
            self._snapshot(self.targets().signed.version, root, signers, now)

    def _targets(self, files: dict[str, TargetFile], root: Root, signers: Sequence[Signer], now: datetime) -> int:
        version = self.targets().signed.version + 1 if self._is_published() else 1
        signed = Targets(version=version, expires=_expiry(TARGETS, now), targets=files)
        self._sign_and_write(f"{version}.targets.json", Metadata(signed), signers, root)
        return version

    def _snapshot(self, targets_version: int, root: Root, online: Sequence[Signer], now: datetime) -> None:
        published = self._is_published()
        version = self.snapshot().signed.version + 1 if published else 1
        snapshot = Snapshot(
            version=version,
            expires=_expiry("snapshot", now),
            meta={"targets.json": MetaFile(version=targets_version)},
        )
        self._sign_and_write(f"{version}.snapshot.json", Metadata(snapshot), online, root)
        timestamp = Timestamp(
            version=self.timestamp().signed.version + 1 if published else 1,
            expires=_expiry("timestamp", now),
            snapshot_meta=MetaFile(version=version),
        )
        self._sign_and_write("timestamp.json", Metadata(timestamp), online, root)

    def _is_published(self) -> bool:
        return (self.directory / "timestamp.json").exists()

    def _sign_and_write(self, name: str, metadata: Metadata[_Signed], signers: Sequence[Signer], root: Root) -> None:
        """Nothing is published that clients would refuse."""
        _sign(metadata, signers)
        role = metadata.signed.type
        found = root.get_verification_result(role, metadata.signed_bytes, metadata.signatures)
        if not found:
            raise ConfigurationError(
                f"{role} needs {found.threshold} signatures of the keys that the root names for it and has "
                f"{len(found.signed)}; give its keys, or name new ones with `dayfly tuf rotate`"
            )
        self._write(name, metadata.to_bytes())

    def _read(self, name: str, kind: type[_Signed]) -> Metadata[_Signed]:
        path = self.directory / name
        try:
            metadata = Metadata[kind].from_bytes(path.read_bytes())  # type: ignore[valid-type]
        except OSError as problem:
            raise ConfigurationError(f"{path}: cannot be read: {problem.strerror}") from problem
        except RepositoryError as problem:
            raise ConfigurationError(f"{path}: is no TUF metadata: {problem}") from problem
        if not isinstance(metadata.signed, kind):
            raise ConfigurationError(f"{path}: is {metadata.signed.type} metadata; expected {kind.type}")
        return metadata

    def _write(self, name: str, content: bytes) -> None:
        """Durably, and whole for whoever reads."""
        path = self.directory / name
        draft = path.with_name(f".{path.name}.new")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with draft.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except OSError as problem:
            raise ConfigurationError(f"{path}: cannot be written: {problem.strerror}") from problem

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One at a time, among the workers of a server and the commands beside it."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            with (self.directory / ".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as problem:
            raise ConfigurationError(f"{self.directory}: cannot be written: {problem.strerror}") from problem


def _target_files(files: Mapping[str, Target]) -> dict[str, TargetFile]:
    found = {}
    for name, target in files.items():
        file = TargetFile.from_data(name, target.content, ["sha256"])
        if target.sigstore:
            file.unrecognized_fields["custom"] = {"sigstore": target.sigstore}
        found[name] = file
    return found


def _sign(metadata: Metadata[_Signed], signers: Sequence[Signer]) -> None:
    metadata.signatures.clear()
    try:
        for signer in signers:
            metadata.sign(signer, append=True)
    except (RepositoryError, SecureSystemsError, OSError) as problem:
        raise ConfigurationError(f"a key of {metadata.signed.type} does not sign: {problem}") from problem


def _check_signed_by_both(metadata: Metadata[Root], before: Root) -> None:
    """TUF §5.3.4: a new root is signed by enough of the old root's keys and by enough of its own."""
    for which, judge in (("old", before), ("new", metadata.signed)):
        found = judge.get_verification_result(ROOT, metadata.signed_bytes, metadata.signatures)
        if not found:
            raise ConfigurationError(
                f"root version {metadata.signed.version} needs {found.threshold} signatures of the {which} root keys "
                f"and has {len(found.signed)}; give more with --root-key"
            )


def _roles(role: str) -> tuple[str, ...]:
    """`online` stands for two roles of TUF, which have the same keys."""
    return ONLINE if role == "online" else (role,)


def _distinct(signers: Sequence[Signer]) -> list[Signer]:
    return list({signer.public_key.keyid: signer for signer in signers}.values())


def _expiry(role: str, now: datetime) -> datetime:
    return now.replace(microsecond=0) + LIFETIMES[role]


def _check_threshold(role: str, keys: int, threshold: int) -> None:
    if not 1 <= threshold <= keys:
        raise ConfigurationError(f"{role}: a threshold of {threshold} among {keys} keys; expected 1 to {keys}")
