"""What `dayfly ca prepare`, `activate`, `retire` and `show` do."""

from __future__ import annotations

import asyncio
import json
import re
from base64 import b64decode
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from rich.table import Table

from ca.backends import log_keys, remote_log
from ca.certificate.chain import Chain, ChainInvalid
from ca.cli.init import MAX_NAME
from ca.config import load_settings
from ca.documents import file_bytes
from ca.errors import ConfigurationError, DayflyError
from ca.keys.ceremony import Authority, create_intermediate, write_root
from ca.keys.file import fits, read_private_key
from ca.keys.handover import RETIRE_AFTER, handover, named
from ca.keys.local import PrivateKey
from ca.keys.rotation import identifier
from ca.main import clock, environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from rich.console import Console

    from ca.config import ServerSettings
    from ca.ct.settings import CTSettings
    from ca.keys.handover import Handover

TIMEOUT: Final = 10.0
"""Seconds for each answer of the live instance."""
ASKED: Final = 5
"""Times that it is asked."""
RENEW: Final = timedelta(days=90)
"""Before the active chain ends; time for everybody who has to put a new root somewhere."""
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True, slots=True)
class Source:
    """Where the next pair comes from, as the command line says it."""

    root_key: Path | None
    root_password_file: Path | None
    chain: Path | None
    key: Path | None
    out: Path | None
    common_name: str | None
    new_root: bool


def prepare(config: Path, source: Source, out: Console, *, replace: bool) -> None:
    """Raises ConfigurationError."""
    settings, now = load_settings(config, {}, environment()), clock()
    with handover(settings.ca) as steps:
        steps.require_room(replace=replace)
        chain, private_key = _pair(settings, steps.active, source, now, out)
        asyncio.run(steps.prepare(chain, private_key, now, new_root=source.new_root, replace=replace))
        out.print(f"Prepared {named(chain)}; servers publish it within seconds.", highlight=False, markup=False)
        for log in asyncio.run(_logs_without(settings.ct, chain)):
            out.print(f"{log}; have its root added before `dayfly ca activate`.", highlight=False, markup=False)
    _advise_publication(settings, out)
    show(config, out)


def activate(config: Path, url: str | None, after: str, out: Console, *, asking: bool) -> None:
    """`asking` says whether those are asked that should have published the chain. Raises ConfigurationError."""
    settings = load_settings(config, {"trust-url": url}, environment())
    with handover(settings.ca) as steps:
        following = steps.rotation.next
        if following and not steps.interrupted:
            if missing := asyncio.run(_logs_without(settings.ct, following.chain)):
                raise ConfigurationError("\n".join(f"{log}; issuance would stop" for log in missing))
            if asking and (missing := list(_unpublished(settings, following.chain))):
                raise ConfigurationError("\n".join(missing))
        asyncio.run(steps.activate(clock(), _duration(after)))
    show(config, out)


def retire(config: Path, out: Console) -> None:
    """Raises ConfigurationError."""
    settings = load_settings(config, {}, environment())
    with handover(settings.ca) as steps:
        for chain in steps.retire(clock()):
            out.print(f"Retired {named(chain)}; its key is deleted.", highlight=False, markup=False)
    _advise_publication(settings, out)
    show(config, out)


def show(config: Path, out: Console, *, as_json: bool = False) -> None:
    """Raises ConfigurationError."""
    now = clock()
    with handover(load_settings(config, {}, environment()).ca) as steps:
        rows, advice = list(_rows(steps, now)), _advice(steps, now)
    if as_json:
        out.print(
            json.dumps({"chains": rows, "next": advice}, indent=2, default=_rfc3339), markup=False, highlight=False
        )
        return
    table = Table(title="CA keys", title_justify="left")
    for column in ("state", "id", "issuing certificate, root", "since", "expires"):
        table.add_column(column, overflow="fold")
    for row in rows:
        expires = f"{row['expires']:%F}, {_spell(timedelta(seconds=row['expiresIn']))}"
        since = f"{row['since']:%F %T}" if row["since"] else ""
        table.add_row(row["state"], row["id"], f"{row['certificate']}\n{row['root']}", since, expires)
    out.print(table)
    out.print(f"Next: {advice}", highlight=False, markup=False)


# ---- where the next pair comes from ---------------------------------------------------------------------------


def _pair(
    settings: ServerSettings, active: Chain, source: Source, now: datetime, out: Console
) -> tuple[Chain, PrivateKey]:
    if source.common_name is not None:
        _check_name(source.common_name)
    match source:
        case Source(chain=Path() as chain, key=Path() as key, root_key=None, out=None):
            return _made_elsewhere(chain, key, settings.ca.password())
        case Source(root_key=Path() as key, chain=None, key=None, out=None, new_root=False):
            root = _root(key, source.root_password_file, active)
        case Source(new_root=True, out=Path() as directory, chain=None, key=None, root_key=None):
            root = _new_root(directory, source.root_password_file, active, now, out)
        case _:
            raise ConfigurationError(
                "where does the next pair come from? Give --root-key, or --chain and --key, or --new-root with --out"
            )
    subject = root.certificate.subject
    name = source.common_name or f"{_undated(_attribute(subject, NameOID.COMMON_NAME))}-issuing-{now:%Y-%m-%d}"
    _check_name(name)
    organization = _attribute(active.certificates[0].subject, NameOID.ORGANIZATION_NAME) or "dayfly"
    made = create_intermediate(root, organization, name, now)
    return Chain.of([made.certificate, root.certificate]), made.private_key


def _made_elsewhere(chain_path: Path, key_path: Path, password: bytes | None) -> tuple[Chain, PrivateKey]:
    try:
        chain = Chain.parse(file_bytes(chain_path))
    except ChainInvalid as problem:
        raise ConfigurationError(f"{chain_path}: {problem}") from problem
    private_key = read_private_key(key_path, file_bytes(key_path), password)
    if not isinstance(private_key, PrivateKey):
        raise ConfigurationError(f"{key_path}: no ECDSA, RSA or Ed25519 key; use P-256 or P-384")
    return chain, private_key


def _root(key_path: Path, password_file: Path | None, active: Chain) -> Authority:
    """The root of the chain that issues, with its key."""
    password, certificate, pem = _password(password_file), active.certificates[-1], file_bytes(key_path)
    private_key = read_private_key(key_path, pem, password)
    if not fits(Chain.of([certificate]), key_path, pem, password):
        raise ConfigurationError(f'{key_path}: is not the key of the root "{certificate.subject.rfc4514_string()}"')
    if not isinstance(private_key, ec.EllipticCurvePrivateKey):
        raise ConfigurationError(f"{key_path}: is no ECDSA key; make the pair elsewhere and give --chain and --key")
    return Authority(certificate, private_key)


def _new_root(directory: Path, password_file: Path | None, active: Chain, now: datetime, out: Console) -> Authority:
    """Another root of the same name but for the date, whose key is for a safe place."""
    subject = active.certificates[-1].subject
    old = _undated(_attribute(subject, NameOID.COMMON_NAME))
    organization = _attribute(subject, NameOID.ORGANIZATION_NAME) or "dayfly"
    root, written = write_root(directory, organization, f"{old}-{now:%Y-%m-%d}", now, _password(password_file))
    for path in written:
        out.print(f"  {path}", highlight=False, markup=False)
    out.print("Move the root's key and password offline.", highlight=False)
    return root


def _check_name(name: str) -> None:
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
        raise ConfigurationError(f"--common-name: expected 1 to {MAX_NAME} printable characters, not {len(name)}")


def _undated(name: str) -> str:
    """Without the date that an earlier rotation gave it."""
    return re.sub(r"-\d{4}-\d\d-\d\d$", "", name)


def _password(path: Path | None) -> bytes | None:
    return file_bytes(path).rstrip(b"\r\n") if path else None


def _attribute(name: Any, oid: Any) -> str:
    return next((str(attribute.value) for attribute in name.get_attributes_for_oid(oid)), "")


# ---- who has to know of it ------------------------------------------------------------------------------------


async def _logs_without(settings: CTSettings, chain: Chain) -> list[str]:
    """The logs elsewhere that would refuse the chain, or do not say; the embedded log takes whatever is published."""
    found = []
    for log, key in zip(settings.elsewhere, log_keys(settings.elsewhere), strict=True):
        remote = remote_log(log, key)
        try:
            if chain.ders[-1] not in await remote.roots():
                found.append(f"{log.log}: does not accept the root of {named(chain)}")
        except DayflyError as problem:
            found.append(f"{log.log}: {problem.detail}")
        finally:
            await remote.aclose()
    return found


def _unpublished(settings: ServerSettings, chain: Chain) -> Iterator[str]:
    """Where clients get their trusted root without this chain."""
    if url := settings.trust.url:
        place = f"{url}/api/v2/trustedRoot"
        # On a connection each: every worker may answer.
        yield from _without(place, chain, [lambda: httpx.get(place, timeout=TIMEOUT).content] * ASKED)
    if directory := settings.tuf.directory:
        yield from _without(str(directory), chain, [lambda: _in_tuf(directory)])


def _without(place: str, chain: Chain, trusted_roots: Sequence[Callable[[], bytes]]) -> Iterator[str]:
    """What is wrong with the first that is without the chain."""
    for read in trusted_roots:
        try:
            published = [
                tuple(b64decode(certificate["rawBytes"]) for certificate in authority["certChain"]["certificates"])
                for authority in json.loads(read())["certificateAuthorities"]
            ]
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, LookupError, TypeError) as problem:
            yield f"{place}: no trusted root there ({problem}); is the server running? --now does not ask"
            return
        if chain.ders not in published:
            yield f"{place}: its trusted root is without {named(chain)}; publish it there first. --now does not ask"
            return


def _in_tuf(directory: Path) -> bytes:
    from ca.tuf.repository import Repository

    file = Repository(directory).targets().signed.targets["trusted_root.json"]
    return file_bytes(directory / "targets" / f"{file.hashes['sha256']}.trusted_root.json")


def _advise_publication(settings: ServerSettings, out: Console) -> None:
    if settings.tuf.directory:
        out.print("Clients of the TUF repository see it after `dayfly tuf publish`.", highlight=False)


# ---- how it stands --------------------------------------------------------------------------------------------


def _rows(steps: Handover, now: datetime) -> Iterator[dict[str, Any]]:
    """`since`: when it was published, replaced or retired."""
    rotation = steps.rotation
    yield _row("active", steps.active, None, now)
    if rotation.next and not steps.interrupted:
        yield _row("next", rotation.next.chain, rotation.next.published, now)
    for former in steps.waiting():
        yield _row("former", former.chain, former.replaced, now)
    for former in rotation.former:
        if former.retired:
            yield _row("retired", former.chain, former.retired, now)


def _row(state: str, chain: Chain, since: datetime | None, now: datetime) -> dict[str, Any]:
    return {
        "state": state,
        "id": identifier(chain),
        "certificate": chain.certificates[0].subject.rfc4514_string(),
        "root": chain.certificates[-1].subject.rfc4514_string(),
        "since": since,
        "expires": chain.not_after,
        "expiresIn": round((chain.not_after - now).total_seconds()),
    }


def _rfc3339(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _advice(steps: Handover, now: datetime) -> str:
    if steps.interrupted:
        return "`dayfly ca activate`, which was cut short: the new pair issues already"
    if steps.rotation.next:
        since = now - steps.rotation.next.published
        return f"`dayfly ca activate`, once all clients have the next chain; it is published for {_spell(since)}"
    if waiting := steps.waiting():
        left = waiting[0].replaced + RETIRE_AFTER - now
        return f"`dayfly ca retire`{f', in {_spell(left)}' if left > timedelta() else ''}"
    if steps.active.not_after - now < RENEW:
        return "`dayfly ca prepare`: the active chain expires soon"
    return f"nothing; `dayfly ca prepare` by {steps.active.not_after - RENEW:%F}"


def _duration(text: str) -> timedelta:
    found = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
    if not found:
        raise ConfigurationError(f"--after: {text!r} is no time; write a number with s, m, h or d, such as 90m")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _spell(time: timedelta) -> str:
    seconds = round(time.total_seconds())
    if seconds < 0:
        return "expired"
    for unit, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
