"""Who may have how much, and what a token may be used for."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from ipaddress import ip_network
from math import ceil
from time import monotonic
from typing import TYPE_CHECKING, Final

from ca.errors import InvalidToken, ProofFailed, RateLimited, TokenGuardUnavailable, TokenReplayed
from ca.limits.client import client_network, within
from ca.limits.model import Charge, Settled, StoreUnavailable
from ca.limits.rate import SECOND

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Network, IPv6Network

    from ca.errors import DayflyError
    from ca.limits.model import LimitStore, TokenUse
    from ca.limits.rate import Rate
    from ca.limits.settings import LimitsSettings
    from ca.telemetry import Metrics

CLIENT: Final = "client"
FAILURES: Final = "failures"
ISSUER: Final = "issuer"
IDENTITY: Final = "identity"

_REMEMBERED: Final = 4096
"""Clients and issuers whose limits need not be worked out again, and clients that are known to be over theirs."""
_STORE_RETRY: Final = 1
"""Seconds after which a store that is gone is tried again."""


class Limits:
    """The limits of a configuration over a store.

    A request is counted in one round trip, when it is known how it ends: before the first signature, together with
    its token's use, or when it is refused. What the store then says of its client is kept, and whoever is known to be
    over a limit is refused on the next request's arrival, before any cryptography.
    """

    def __init__(self, settings: LimitsSettings, store: LimitStore, metrics: Metrics) -> None:
        self._settings = settings
        self._store = store
        self._metrics = metrics
        self._exempt = [ip_network(network) for network in settings.exempt]
        overrides = ((ip_network(network), rate) for network, rate in settings.clients.items())
        self._clients = sorted(overrides, key=lambda override: -override[0].prefixlen)  # the most specific first
        self._of_client = lru_cache(_REMEMBERED)(self._client_charges)
        self._of_issuer = lru_cache(_REMEMBERED)(self._issuer_charges)
        self._over: dict[bytes, float] = {}
        """When a client's count permits one more, by the monotonic clock."""

    def admit(self, client: str) -> None:
        """Refuse a client that is known to be over a limit. Raises RateLimited."""
        if not self._over:
            return
        for charge in self._of_client(client):
            until = self._over.get(charge.key, 0.0)
            if (wait := until - monotonic()) > 0:
                raise self._refusal(charge, wait)
            self._over.pop(charge.key, None)

    async def settle(self, client: str, issuer: str, configured: str, subject: str, use: TokenUse | None) -> None:
        """Count a request that is about to get a certificate, and bind its token to its key.

        `configured` is the URL or the pattern of the identity configuration under which `issuer` is trusted. `use`
        is None where the issuer has no token guard.

        Raises RateLimited, TokenReplayed or TokenGuardUnavailable; where the store is gone limits let pass.
        """
        charges = [charge for charge in self._of_client(client) if charge.limit == CLIENT]
        charges += self._of_issuer(issuer, configured)
        charges += self._identity_charges(issuer, subject)
        settled = await self._settled(charges, use)
        if settled is None:
            if use:
                raise TokenGuardUnavailable(
                    "tokens of this issuer are good for one key, and what remembers them does not answer",
                    retry_after=_STORE_RETRY,
                )
        elif settled.replayed:
            raise TokenReplayed(
                "this token has been used before, with another key or too long ago; get a new one for each key"
            )
        elif settled.limited is not None:
            raise self._refusal(charges[settled.limited], settled.waits[settled.limited] / SECOND)

    async def count_refused(self, client: str, refusal: DayflyError) -> None:
        """Count a request that was refused: on its client, and as a failure where its token or its proof was."""
        failed = isinstance(refusal, InvalidToken | ProofFailed)
        await self._settled([charge for charge in self._of_client(client) if failed or charge.limit == CLIENT], None)

    async def _settled(self, charges: Sequence[Charge], use: TokenUse | None) -> Settled | None:
        """What the store says, or None where it says nothing."""
        if not charges and not use:
            return Settled()
        try:
            settled = await self._store.settle(charges, use)
        except StoreUnavailable:
            self._metrics.limits_unchecked.inc()
            return None
        for charge, wait in zip(charges, settled.waits, strict=False):
            if wait and charge.limit in {CLIENT, FAILURES}:
                self._remember(charge, wait / SECOND)
        return settled

    def _remember(self, charge: Charge, wait: float) -> None:
        if len(self._over) >= _REMEMBERED:
            # Forgetting costs whoever was over a limit one more look into the store.
            self._over.clear()
        self._over[charge.key] = monotonic() + wait

    def _refusal(self, charge: Charge, wait: float) -> RateLimited:
        self._metrics.rate_limited.labels(charge.limit).inc()
        rate = charge.rate
        return RateLimited(
            f"the limit `{charge.limit}` of this server is {rate.burst} at once and one every "
            f"{rate.interval / SECOND:g} seconds; try again later",
            limit=charge.limit,
            quota=rate.burst,
            window=ceil(rate.capacity / SECOND),
            retry_after=max(1, ceil(wait)),
        )

    # ---- who is counted -------------------------------------------------------------------------------------

    def _client_charges(self, address: str) -> Sequence[Charge]:
        network = client_network(address)
        if network is None or any(within(network, exempt) for exempt in self._exempt):
            return ()
        rates = {CLIENT: self._client_rate(network), FAILURES: self._settings.failures}
        return [Charge(limit, f"{limit}:{network}".encode(), rate) for limit, rate in rates.items() if rate]

    def _client_rate(self, network: IPv4Network | IPv6Network) -> Rate | None:
        return next((rate for override, rate in self._clients if within(network, override)), self._settings.client)

    def _issuer_charges(self, issuer: str, configured: str) -> Sequence[Charge]:
        """Each issuer of a wildcard has a count of its own, so none uses up another's."""
        settings = self._settings
        rate = settings.issuers.get(issuer, settings.issuers.get(configured, settings.issuer))
        return [Charge(ISSUER, _key(ISSUER, issuer), rate)] if rate else ()

    def _identity_charges(self, issuer: str, subject: str) -> Sequence[Charge]:
        """By the token's subject: many identities of CI providers share the name that certificates carry."""
        rate = self._settings.identities.get(subject, self._settings.identity)
        return [Charge(IDENTITY, _key(IDENTITY, issuer, subject), rate)] if rate else ()


def _key(limit: str, *whose: str) -> bytes:
    """Short, however long what a token says is."""
    # Lengths in front, or one pair could be spelled as another.
    digest = hashlib.sha256("".join(f"{len(part)}:{part}" for part in whose).encode()).hexdigest()
    return f"{limit}:{digest[:32]}".encode()
