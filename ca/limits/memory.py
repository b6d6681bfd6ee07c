"""Counts in this process, for one worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ca.limits.model import Settled, StoreUnavailable, settle_arrivals, since_1970
from ca.limits.rate import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from ca.limits.model import Charge, TokenUse

MAX_COUNTS: Final = 200_000
"""Of a hundred bytes each. Beyond, whoever asked least recently is forgotten first."""
MAX_TOKENS: Final = 200_000
"""Of three hundred bytes each. Beyond, tokens of guarded issuers are refused: forgetting one would permit a replay."""
_FIRST_SWEEP: Final = 4096


class MemoryStore:
    """A LimitStore of one process, empty at its start. Bounded, whatever is sent."""

    def __init__(
        self, clock: Callable[[], datetime], max_counts: int = MAX_COUNTS, max_tokens: int = MAX_TOKENS
    ) -> None:
        self._clock = clock
        self._generation = max_counts // 2
        self._young: dict[bytes, int] = {}
        self._old: dict[bytes, int] = {}
        """TATs in two generations: who is seen again moves to the young one, and a full one ends the older."""
        self._tokens: dict[bytes, tuple[bytes, int, int]] = {}
        """Key, first use and when it may be forgotten, by token."""
        self._max_tokens = max_tokens
        self._sweep_at = min(_FIRST_SWEEP, max_tokens)
        self._full_until = 0

    def __len__(self) -> int:
        return len(self._young) + len(self._old) + len(self._tokens)

    async def settle(self, charges: Sequence[Charge], use: TokenUse | None) -> Settled:
        now = since_1970(self._clock())
        bound = self._tokens.get(use.token) if use else None
        if bound and bound[2] <= now:
            bound = None
        if use and bound and not use.repeats(bound[0], bound[1], now):
            return Settled(replayed=True)
        young, old = self._young, self._old
        arrivals = [young.get(charge.key) or old.get(charge.key) for charge in charges]
        settled, nexts = settle_arrivals(charges, arrivals, now)
        if settled.taken:
            if use and not bound:
                self._bind(use, now)
            for charge, arrival in zip(charges, nexts, strict=True):
                young[charge.key] = arrival
            if len(young) >= self._generation:
                self._young, self._old = {}, young
        return settled

    async def aclose(self) -> None:
        pass

    def _bind(self, use: TokenUse, now: int) -> None:
        if len(self._tokens) >= self._sweep_at:
            self._sweep(now)
        self._tokens[use.token] = (use.key, now, now + use.lifetime)

    def _sweep(self, now: int) -> None:
        """Forget what has expired, when there is twice what was left the last time."""
        if now >= self._full_until:
            self._tokens = {token: bound for token, bound in self._tokens.items() if bound[2] > now}
            self._sweep_at = min(max(_FIRST_SWEEP, 2 * len(self._tokens)), self._max_tokens)
        if len(self._tokens) >= self._max_tokens:
            self._full_until = now + SECOND
            raise StoreUnavailable(f"{self._max_tokens} tokens are in use, and no more are remembered in memory")
