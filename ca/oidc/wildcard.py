"""The concrete issuers of a wildcard: whoever holds a token makes them up, so their number and rate are bounded."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from ca.errors import IssuerUnavailable
from ca.oidc.known_issuer import KnownIssuer
from ca.oidc.quoting import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ca.oidc.model import TrustedIssuer

MAX_ISSUERS: Final = 1000
"""Of one pattern."""
BURST: Final = 60
"""Issuers of one pattern that may be asked for the first time at once; then RATE a second."""
RATE: Final = 1.0


class Concretes:
    """The issuers of one pattern, the least recently used first."""

    def __init__(self, trusted: TrustedIssuer, most: int = MAX_ISSUERS) -> None:
        self.trusted = trusted
        self._most = most
        self._issuers: OrderedDict[str, KnownIssuer] = OrderedDict()
        self._tokens = float(BURST)
        self._counted_at = 0.0

    def __iter__(self) -> Iterator[KnownIssuer]:
        return iter(tuple(self._issuers.values()))

    def __len__(self) -> int:
        return len(self._issuers)

    def find(self, url: str) -> KnownIssuer:
        """What is known of an issuer; nothing yet, and nothing kept, until it is admitted."""
        if known := self._issuers.get(url):
            self._issuers.move_to_end(url)
            return known
        return KnownIssuer(url, self.trusted)

    def admit(self, known: KnownIssuer, now: float) -> None:
        """Before an issuer without keys is asked. Raises IssuerUnavailable where too many are asked for."""
        self._count(known, now)
        if known.url not in self._issuers and len(self._issuers) >= self._most:
            self._forget_one(known, now)
        self._issuers[known.url] = known

    def _count(self, known: KnownIssuer, now: float) -> None:
        # A clock that is set back gives nothing, and takes nothing away for longer than a burst lasts.
        elapsed = min(max(0.0, now - self._counted_at), BURST / RATE)
        self._tokens, self._counted_at = min(BURST, self._tokens + elapsed * RATE), now
        if self._tokens < 1:
            raise _too_many(known)
        self._tokens -= 1

    def _forget_one(self, known: KnownIssuer, now: float) -> None:
        """The least recently used without keys, if any: invented issuers do not displace real ones.

        One that was asked just now stays, or forgetting it would let it be asked again at once.
        """
        resting = [other for other in self._issuers.values() if other.resting(now)]
        forgotten = next((other for other in resting if not other.keys), next(iter(resting), None))
        if forgotten is None:
            raise _too_many(known)
        del self._issuers[forgotten.url]


def _too_many(known: KnownIssuer) -> IssuerUnavailable:
    detail = f"issuer {quoted(known.url)} is one of too many new ones that match the same pattern; try again later"
    return IssuerUnavailable(detail, retry_after=round(1 / RATE), issuer=known.url)
