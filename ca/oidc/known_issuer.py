"""What is known of one issuer: its keys, how long they serve, and whether it answers at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ca.errors import IssuerUnavailable
from ca.oidc.quoting import quoted

if TYPE_CHECKING:
    import asyncio

    from ca.oidc.jwks import KeySet
    from ca.oidc.model import TrustedIssuer

# In seconds, all of them.
FRESH: Final = range(60, 3600 + 1)
"""How long keys may be used without asking again: what Cache-Control says, within these bounds."""
_FRESH_BY_DEFAULT: Final = 300
_AGEING: Final = 0.8
"""The part of that time after which they are fetched again beforehand, so that nobody waits for it."""
REFETCH_INTERVAL: Final = 60
"""Between two fetches because of a key that is not known."""
RETRY: Final = range(5, 60 + 1)
"""Between two attempts at an issuer that does not answer: the first pause, and what its doubling leads to."""
IN_USE: Final = 3600
"""How long after a token of an issuer its keys are kept fresh for the next."""
_CLOCK_SLACK: Final = 60
"""By how much requests may see the clock earlier than one before them, before it counts as set back."""


@dataclass(frozen=True, slots=True)
class IssuerKeys:
    """What is needed to verify an issuer's tokens."""

    algorithms: frozenset[str]
    keys: KeySet


class Span:
    """A stretch of time that begins now; until it is started, no time is in it."""

    __slots__ = ("_end", "_start")

    def __init__(self) -> None:
        self._start = self._end = 0.0

    def start(self, now: float, seconds: float) -> None:
        self._start, self._end = now, now + seconds

    def stop(self) -> None:
        self._start = self._end = 0.0

    def __contains__(self, now: float) -> bool:
        return self._start - _CLOCK_SLACK <= now < self._end

    def extended(self, now: float, seconds: float) -> bool:
        """Whether `now` would be in it if it were longer."""
        return self._start - _CLOCK_SLACK <= now < self._end + seconds

    def left(self, now: float) -> int:
        return max(1, round(self._end - now))


class KnownIssuer:
    """One issuer's keys and its circuit breaker. Times are seconds since 1970."""

    def __init__(self, url: str, trusted: TrustedIssuer) -> None:
        self.url = url
        self.trusted = trusted
        self.keys: IssuerKeys | None = None
        self.fetched_at = 0.0
        self.used_at = 0.0
        self.failure = ""
        """Why the last attempt failed; empty after one that did not."""
        self.fetch: asyncio.Task[None] | None = None
        self._fresh = Span()
        self._young = Span()
        self._open = Span()
        self._refetched = Span()
        self._failures = 0

    def fresh(self, now: float) -> bool:
        return self.keys is not None and now in self._fresh

    def ageing(self, now: float) -> bool:
        """Whether it is time to fetch before the keys are old."""
        return self.keys is not None and now not in self._young

    def usable(self, now: float) -> IssuerKeys | None:
        """The keys, fresh or not too stale."""
        return self.keys if self._fresh.extended(now, self.trusted.reach.stale_if_error) else None

    def broken(self, now: float) -> bool:
        """Whether the circuit breaker is open: it failed, and is not asked again yet."""
        return now in self._open

    def may_refetch(self, now: float) -> bool:
        """Whether a key that is not known is reason to ask again. Counts as done when it is."""
        if now in self._refetched or now in self._open:
            return False
        self._refetched.start(now, REFETCH_INTERVAL)
        return True

    def resting(self, now: float) -> bool:
        """Whether nothing would be forgotten with it that holds fetches back."""
        return self.fetch is None and now not in self._open and now not in self._refetched

    def succeed(self, now: float, keys: IssuerKeys, max_age: int | None) -> None:
        """`max_age`: what Cache-Control allows."""
        seconds = min(max(FRESH[0], _FRESH_BY_DEFAULT if max_age is None else max_age), FRESH[-1])
        self.keys, self.fetched_at = keys, now
        self._fresh.start(now, seconds)
        self._young.start(now, seconds * _AGEING)
        self.failure, self._failures = "", 0
        self._open.stop()

    def fail(self, now: float, why: str) -> None:
        # Whoever invents issuers of a pattern does not get them asked again soon.
        invented = self.trusted.wildcard and self.keys is None
        pause = RETRY[-1] if invented else min(RETRY[0] << min(self._failures, 8), RETRY[-1])
        self.failure, self._failures = why, self._failures + 1
        self._open.start(now, pause)

    def unavailable(self, now: float) -> IssuerUnavailable:
        detail = f"issuer {quoted(self.url)} does not answer as it should: {self.failure}"
        return IssuerUnavailable(detail, retry_after=self._open.left(now), issuer=self.url)
