"""A CA that lives as long as its process: for tests and demonstrations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ca.certificate.chain import Chain
from ca.keys.ceremony import create_intermediate, create_root
from ca.keys.local import LocalKey
from ca.keys.model import CAKey, prove

if TYPE_CHECKING:
    from datetime import datetime

    from ca.keys.model import RetiredChain


async def ephemeral_ca_key(now: datetime, organization: str = "Dayfly, ephemeral") -> CAKey:
    """A new root and a new P-256 intermediate, in memory alone."""
    root = create_root(organization, "ephemeral root", now)
    intermediate = create_intermediate(root, organization, "ephemeral intermediate", now)
    chain = Chain.of([intermediate.certificate, root.certificate])
    return await prove(LocalKey.of(intermediate.private_key), chain, now)


@dataclass(frozen=True, slots=True)
class EphemeralKeys:
    """`CAKeys` of one CA key that never changes."""

    ca_key: CAKey

    def current(self, now: datetime) -> CAKey:
        """Raises SignerUnavailable while the chain is not valid."""
        self.ca_key.require_valid(now)
        return self.ca_key

    def chains(self) -> list[Chain]:
        return [self.ca_key.chain]

    def retired(self) -> list[RetiredChain]:
        return []

    @property
    def last_reload_error(self) -> str | None:
        """Nothing is loaded, so nothing fails to."""
        return None
