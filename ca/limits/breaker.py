"""A store that fails is left alone for a second, so that it costs requests nothing while it is gone."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

import structlog

from ca.limits.model import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ca.limits.model import Charge, LimitStore, Settled, TokenUse
    from ca.telemetry import Metrics

PAUSE: Final = 1.0
"""Seconds between two tries."""


class Breaker:
    """A LimitStore around one that may fail; one request a second finds out whether it still does.

    Says once that the store is gone and once that it is back, and holds up a metric in between.
    """

    def __init__(self, store: LimitStore, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics
        self._gone = False
        self._next_try = 0.0
        self._log = structlog.get_logger("limits")

    async def settle(self, charges: Sequence[Charge], use: TokenUse | None) -> Settled:
        if self._gone:
            if monotonic() < self._next_try:
                raise StoreUnavailable("the store failed less than a second ago")
            self._next_try = monotonic() + PAUSE
        try:
            settled = await self._store.settle(charges, use)
        except StoreUnavailable as problem:
            self._failed(problem)
            raise
        if self._gone:
            self._recovered()
        return settled

    async def aclose(self) -> None:
        await self._store.aclose()

    def _failed(self, problem: StoreUnavailable) -> None:
        self._next_try = monotonic() + PAUSE
        if not self._gone:
            self._gone = True
            self._metrics.limits_store_failed.set(1)
            self._log.error(
                "the store of limits cannot count: limits let everything through, and issuers with a token guard "
                "get no certificates, until it is back",
                cause=str(problem),
            )

    def _recovered(self) -> None:
        self._gone = False
        self._metrics.limits_store_failed.set(0)
        self._log.warning("the store of limits counts again")
