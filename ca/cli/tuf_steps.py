"""What `dayfly tuf` does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.table import Table

from ca.cli import trust_documents
from ca.documents import file_bytes
from ca.errors import ConfigurationError
from ca.main import clock

try:
    from ca.tuf.keys import create_key, load_signer, load_signers
    from ca.tuf.repository import ROLES, Repository
    from ca.tuf.targets import targets
except ImportError as missing:
    raise ConfigurationError("dayfly tuf needs more packages: pip install 'dayfly[tuf]'") from missing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rich.console import Console

KEYS: Final = ("root", "targets", "online")


@dataclass(frozen=True, slots=True)
class Rotation:
    """The keys of one rotation, as they were named."""

    new: Sequence[str]
    threshold: int
    root: Sequence[str]
    old: Sequence[str]
    online: str | None


def init(
    directory: Path,
    keys: Path | None,
    named: Mapping[str, Sequence[str]],
    thresholds: Mapping[str, int],
    password_file: Path | None,
    out: Console,
) -> None:
    """Raises ConfigurationError."""
    password = _password(password_file)
    chosen = dict(named)
    if keys:
        if password is None:
            raise ConfigurationError("--password-file: name a file with the password that root and targets keys get")
        for role in KEYS:
            if not chosen[role]:
                path = keys / f"tuf-{role}.key.pem"
                create_key(path, None if role == "online" else password)
                chosen[role] = [str(path)]
                out.print(f"  {path}", highlight=False, markup=False)
    for role in KEYS:
        if not chosen[role]:
            raise ConfigurationError(f"--{role}-key is missing; or have keys made with --keys DIR")
    signers = {role: load_signers(chosen[role], password) for role in KEYS}
    Repository.create(directory, signers, thresholds, clock())
    out.print(f"  {directory / '1.root.json'}", highlight=False, markup=False)
    out.print(
        "\nMove the root and targets keys offline. Next: dayfly tuf publish. Clients begin with 1.root.json, which "
        "they must get by a way that they trust.",
        highlight=False,
    )


def publish(
    config: Path,
    url: str | None,
    directory: Path,
    targets_keys: Sequence[str],
    online_key: str,
    password_file: Path | None,
    out: Console,
) -> None:
    """Raises ConfigurationError."""
    password, now = _password(password_file), clock()
    files = targets(trust_documents.load(config, url), now)
    version = Repository(directory).publish(
        files, load_signers(targets_keys, password), [load_signer(online_key, password)], now
    )
    out.print(f"{directory}: version {version}, {len(files)} files", highlight=False, markup=False)


def refresh(directory: Path, online_key: str, password_file: Path | None, out: Console, *, force: bool) -> None:
    """Raises ConfigurationError."""
    repository = Repository(directory)
    done = repository.refresh([load_signer(online_key, _password(password_file))], clock(), force=force)
    until = min(repository.expiries().values())
    state = "renewed" if done else "nothing is due"
    out.print(f"{directory}: {state}; clients believe it until {until:%Y-%m-%d %H:%M} UTC", highlight=False)


def rotate(role: str, directory: Path, rotation: Rotation, password_file: Path | None, out: Console) -> None:
    """Raises ConfigurationError."""
    if role not in KEYS:
        raise ConfigurationError(f"{role!r} is no role here; expected one of {', '.join(KEYS)}")
    if role == "targets" and rotation.online is None:
        raise ConfigurationError("--online-key is missing: it signs the new snapshot of the targets")
    password = _password(password_file)
    version = Repository(directory).rotate(
        role,
        load_signers(rotation.new, password),
        rotation.threshold,
        root_signers=load_signers(rotation.root, password),
        old=load_signers(rotation.old, password),
        online=[load_signer(rotation.online, password)] if rotation.online else (),
        now=clock(),
    )
    out.print(f"{directory}: root version {version}", highlight=False, markup=False)


def show(directory: Path, out: Console) -> None:
    """Raises ConfigurationError."""
    repository = Repository(directory)
    root, expiries = repository.root().signed, repository.expiries()
    table = Table(title=f"TUF repository {directory}, root version {root.version}", title_justify="left")
    for column in ("role", "keys", "must sign", "until"):
        table.add_column(column, overflow="fold")
    for role in ROLES:
        keys = root.roles[role]
        ids = "\n".join(keyid[:16] for keyid in keys.keyids)
        table.add_row(role, ids, str(keys.threshold), f"{expiries[role]:%Y-%m-%d %H:%M} UTC")
    out.print(table)
    files = Table(title="Files", title_justify="left")
    for column in ("name", "bytes", "for older clients"):
        files.add_column(column, overflow="fold")
    for name, file in sorted(repository.targets().signed.targets.items()):
        custom = file.custom["sigstore"] if file.custom else {}
        files.add_row(name, str(file.length), " ".join((custom.get("usage", ""), custom.get("status", ""))).strip())
    out.print(files)


def _password(path: Path | None) -> bytes | None:
    return file_bytes(path).rstrip(b"\r\n") if path else None
