"""What a request takes, what it uses its token for, and what a store answers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal, Protocol

from ca.limits.rate import SECOND

if TYPE_CHECKING:
    from ca.limits.rate import Rate

GuardMode = Literal["per-key", "single-use"]

RETRY_WINDOW: Final = timedelta(minutes=2)
"""For how long a single-use token may come back with the key it came with first. A client that lost an answer asks
again: sigstore's clients do so within 65 seconds at most."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LEEWAY: Final = timedelta(minutes=5)
"""A use is remembered this much longer than the token lives: for replicas whose clocks differ."""


class StoreUnavailable(Exception):
    """The store cannot count now: nothing was taken, or it is not known whether."""


@dataclass(frozen=True, slots=True)
class Charge:
    """One request on the count of somebody."""

    limit: str
    """The limit's name in the configuration."""
    key: bytes
    """Whose count: short, and one for each limit and whoever is limited."""
    rate: Rate


@dataclass(frozen=True, slots=True)
class TokenUse:
    """A verified token that is about to bring a certificate for a key."""

    token: bytes
    """SHA-256 of the issuer and of what the issuer signed."""
    key: bytes
    """SHA-256 of the SubjectPublicKeyInfo."""
    window: int
    """Microseconds after the first use in which the same key may come back; 0 for as long as the token lives."""
    lifetime: int
    """Microseconds for which the use has to be remembered."""

    @classmethod
    def of(
        cls, issuer: str, signing_input: bytes, spki: bytes, mode: GuardMode, *, expires: datetime, now: datetime
    ) -> TokenUse:
        """`signing_input` is the canonical one (RFC 7515 §5.1), without the signature.

        ECDSA's can be changed by anybody without becoming invalid, and `jti` is optional and the issuer's alone.
        """
        token = hashlib.sha256(b"%d:%b%b" % (len(issuer.encode()), issuer.encode(), signing_input))
        window = RETRY_WINDOW if mode == "single-use" else timedelta()
        lifetime = expires - now + _LEEWAY
        return cls(
            token.digest(), hashlib.sha256(spki).digest(), microseconds(window), max(SECOND, microseconds(lifetime))
        )

    def repeats(self, key: bytes, first: int, now: int) -> bool:
        """Whether this is the request again that used the token first, for `key`, at `first`."""
        return self.key == key and (not self.window or now <= first + self.window)


@dataclass(frozen=True, slots=True)
class Settled:
    """What came of a request's charges and of its token's use."""

    waits: Sequence[int] = field(default=())
    """For each charge, microseconds until one more like it would be permitted."""
    limited: int | None = None
    """The index of the first charge that its rate refuses."""
    replayed: bool = False
    """Whether the token has been used otherwise before."""

    @property
    def taken(self) -> bool:
        return self.limited is None and not self.replayed


class LimitStore(Protocol):
    """Counts requests and remembers tokens for all who share it."""

    async def settle(self, charges: Sequence[Charge], use: TokenUse | None) -> Settled:
        """Take all charges and bind the token to its key, or, where one of them is refused, do nothing at all.

        Atomic among all who share the store, by its own clock. The token is looked at first. At most as many charges
        of one key as its rate permits are taken, and one key is bound to a token; a charge or a token that was
        taken is not forgotten before its time, except where the store's documentation says so.

        Raises StoreUnavailable, and never waits for longer than a quarter of a second.
        """

    async def aclose(self) -> None:
        """Let go of files and connections."""


def settle_arrivals(
    charges: Sequence[Charge], arrivals: Sequence[int | None], now: int
) -> tuple[Settled, Sequence[int]]:
    """What comes of charges whose TATs are `arrivals`, and their TATs after it where they are taken."""
    nexts = [charge.rate.next_arrival(arrival, now) for charge, arrival in zip(charges, arrivals, strict=True)]
    waits = [charge.rate.wait(arrival, now) for charge, arrival in zip(charges, nexts, strict=True)]
    for index, wait in enumerate(waits):
        if wait:
            return Settled(waits, index), nexts
    further = [
        charge.rate.wait(arrival + charge.rate.interval, now) for charge, arrival in zip(charges, nexts, strict=True)
    ]
    return Settled(further), nexts


def microseconds(span: timedelta) -> int:
    """Whole ones: a float's last digits are not exact."""
    return (span.days * 86_400 + span.seconds) * SECOND + span.microseconds


def since_1970(now: datetime) -> int:
    """Microseconds."""
    return microseconds(now - _EPOCH)
