"""Trying an issuer: everything that its first token will need, and whether the clocks agree."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from ca.documents import file_bytes
from ca.errors import ConfigurationError
from ca.oidc.discovery import discover
from ca.oidc.fetch import Fetcher, FetchError, tls_context
from ca.oidc.jwks import fetch_keys, parse_keys
from ca.oidc.jws import ALGORITHMS

if TYPE_CHECKING:
    from ca.oidc.dialling import Internet
    from ca.oidc.jwks import KeySet
    from ca.oidc.model import TrustedIssuer

_MOST_SKEW: Final = timedelta(minutes=1)
"""Beyond it fresh tokens begin to be refused, as expired or as not yet valid."""


@dataclass(frozen=True, slots=True)
class Trial:
    """How an issuer did."""

    problem: str = ""
    """Empty where tokens of the issuer can be verified."""
    algorithms: tuple[str, ...] = ()
    """Those that it signs with, the operator accepts and a key of its is for."""
    keys: int = 0
    """Those that can be used."""
    skew: timedelta | None = None
    """By how much its clock is ahead of ours; None where it does not say."""


async def try_issuer(issuer: str, trusted: TrustedIssuer, internet: Internet, clock: Callable[[], datetime]) -> Trial:
    """`issuer`: the URL that tokens have in `iss`, which `trusted` is the entry of. By the rules for real tokens."""
    try:
        if trusted.reach.jwks_file:
            keys = parse_keys(issuer, file_bytes(trusted.reach.jwks_file))
            return _judged(trusted, frozenset(ALGORITHMS), keys, None)
        async with aclosing(Fetcher(trusted.reach, internet, tls_context(trusted.reach))) as fetcher:
            discovered = await discover(fetcher, issuer, trusted.reach)
            skew = _skew(discovered.date, clock())
            keys, _ = await fetch_keys(fetcher, issuer, discovered.jwks_uri)
    except (FetchError, ConfigurationError) as problem:
        return Trial(str(problem))
    return _judged(trusted, discovered.algorithms, keys, skew)


async def try_issuers(
    issuers: list[tuple[str, TrustedIssuer]], internet: Internet, clock: Callable[[], datetime]
) -> list[Trial]:
    """Each as in `try_issuer`, a few at a time."""
    few = asyncio.Semaphore(8)

    async def one(issuer: str, trusted: TrustedIssuer) -> Trial:
        async with few:
            return await try_issuer(issuer, trusted, internet, clock)

    return await asyncio.gather(*(one(*pair) for pair in issuers))


def _judged(trusted: TrustedIssuer, signs_with: frozenset[str], keys: KeySet, skew: timedelta | None) -> Trial:
    accepted = signs_with & (trusted.rules.algorithms or signs_with)
    of_keys = frozenset(name for key in keys.named(None) for name in key.algorithms)
    usable = tuple(name for name in ALGORITHMS if name in accepted & of_keys)
    problem = ""
    if not accepted:
        problem = f"it signs with {_listed(signs_with)}, of which algorithms: accepts none"
    elif not usable:
        problem = f"it publishes no key for {_listed(accepted)}"
    elif skew is not None and abs(skew) > _MOST_SKEW:
        problem = (
            f"its clock is {abs(skew).total_seconds():.0f} s {'ahead of' if skew > timedelta() else 'behind'} ours"
        )
    return Trial(problem, usable, len(keys), skew)


def _skew(date: str, now: datetime) -> timedelta | None:
    """Whole seconds, for a Date has no more."""
    try:
        theirs = parsedate_to_datetime(date)
    except ValueError:
        return None
    theirs = theirs if theirs.tzinfo else theirs.replace(tzinfo=UTC)
    return timedelta(seconds=round((theirs - now).total_seconds()))


def _listed(algorithms: frozenset[str]) -> str:
    return ", ".join(sorted(algorithms))
