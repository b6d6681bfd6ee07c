"""CAs to go from and to, and the steps in between."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from ca.certificate.chain import Chain
from ca.keys.ceremony import Authority, create_intermediate, create_root
from ca.keys.handover import handover
from ca.keys.reload import ReloadingFileKey
from ca.keys.settings import CASettings
from tests.keys.conftest import NOW
from tests.keys.pems import private_pem

HOUR = timedelta(hours=1)
LATER = NOW + 2 * HOUR
MUCH_LATER = LATER + HOUR


@dataclass
class Pair:
    chain: Chain
    key: object


def root(name: str = "root", now: datetime = NOW - 100 * HOUR) -> Authority:
    return create_root("Dayfly tests", name, now)


def pair(under: Authority, name: str, now: datetime = NOW - HOUR) -> Pair:
    made = create_intermediate(under, "Dayfly tests", name, now)
    return Pair(Chain.of([made.certificate, under.certificate]), made.private_key)


def write(directory: Path, active: Pair, password: bytes | None = None) -> CASettings:
    directory.mkdir(exist_ok=True)
    chain, key = directory / "chain.pem", directory / "intermediate.key.pem"
    chain.write_text("".join(active.chain.pems))
    key.touch(mode=0o600)
    key.write_bytes(private_pem(active.key, password=password))
    secret = {"key-password": password.decode()} if password else {}
    return CASettings.model_validate({"cert": chain, "key": key, **secret})


def prepare(settings: CASettings, following: Pair, now: datetime = NOW, **options: bool) -> None:
    with handover(settings) as steps:
        asyncio.run(steps.prepare(following.chain, following.key, now, **options))


def activate(settings: CASettings, now: datetime = LATER, after: timedelta = HOUR) -> None:
    with handover(settings) as steps:
        asyncio.run(steps.activate(now, after))


def retire(settings: CASettings, now: datetime = MUCH_LATER) -> list[Chain]:
    with handover(settings) as steps:
        return steps.retire(now)


def loaded(settings: CASettings, now: datetime = LATER) -> ReloadingFileKey:
    """As a server that starts now."""
    return asyncio.run(ReloadingFileKey.load(settings, lambda: now))


def spkis(keys: ReloadingFileKey) -> list[bytes]:
    return [chain.spki for chain in keys.chains()]
