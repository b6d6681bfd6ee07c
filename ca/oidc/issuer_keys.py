"""The keys of issuers, fetched when first needed and kept."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from ca.errors import IssuerUnavailable
from ca.oidc.discovery import discover
from ca.oidc.fetch import Fetcher, FetchError
from ca.oidc.jwks import KeySet, fetch_keys
from ca.oidc.quoting import quoted

if TYPE_CHECKING:
    from datetime import datetime

    from ca.oidc.model import TrustedIssuer

# In seconds, all of them.
FRESH: Final = range(60, 3600 + 1)
"""How long keys may be used without asking again: what Cache-Control says, within these bounds."""
_FRESH_BY_DEFAULT: Final = 300
STALE: Final = 3600
"""How much longer, while the issuer does not answer."""
REFETCH_INTERVAL: Final = 10
"""Between two fetches because of a key that is not known."""
RETRY: Final = 5
"""Between two attempts at an issuer that does not answer."""
_RETRY_WHILE_STALE: Final = 60
"""The same while old keys serve: each attempt can make a request wait for its timeout."""
_CLOCK_SLACK: Final = 60
"""By how much requests may see the clock earlier than one before them, before it counts as set back."""

_MAX_WILDCARD_ISSUERS: Final = 1000


@dataclass(frozen=True, slots=True)
class IssuerKeys:
    """What is needed to verify an issuer's tokens."""

    algorithms: frozenset[str]
    keys: KeySet


class _Span:
    """A stretch of time that begins now; until it is started, no time is in it."""

    __slots__ = ("_end", "_start")

    def __init__(self) -> None:
        self._start = self._end = 0.0

    def start(self, now: float, seconds: float) -> None:
        self._start, self._end = now, now + seconds

    def __contains__(self, now: float) -> bool:
        return self._start - _CLOCK_SLACK <= now < self._end

    def extended(self, now: float, seconds: float) -> bool:
        """Whether `now` would be in it if it were longer."""
        return self._start - _CLOCK_SLACK <= now < self._end + seconds

    def left(self, now: float) -> int:
        return max(1, round(self._end - now))


class _Issuer:
    """What is known of one issuer."""

    def __init__(self, url: str, trusted: TrustedIssuer) -> None:
        self.url = url
        self.trusted = trusted
        self.keys: IssuerKeys | None = None
        self.fetched_at = 0.0
        self.fresh = _Span()
        self.failure = ""
        self.failed = _Span()
        self.refetched = _Span()
        self.fetch: asyncio.Task[None] | None = None

    def usable(self, now: float) -> IssuerKeys | None:
        return self.keys if self.fresh.extended(now, STALE) else None

    def stale(self, now: float) -> bool:
        return self.usable(now) is not None and now not in self.fresh


class IssuerKeyCache:
    """Answers from memory while keys are fresh; one fetch at a time for each issuer, however many wait for it.

    Fails closed, after a bounded time in which old keys serve: an issuer that is down for longer than that
    cannot vouch for tokens, nor take a lost key back.
    """

    def __init__(self) -> None:
        self._fixed: dict[str, _Issuer] = {}
        self._wildcard: OrderedDict[str, _Issuer] = OrderedDict()
        self._fetchers: dict[str | None, Fetcher] = {}
        self._logger = structlog.get_logger("oidc")

    async def get(self, issuer: str, trusted: TrustedIssuer, now: datetime) -> IssuerKeys:
        """The keys of an issuer that the registry trusts. Raises IssuerUnavailable."""
        known, moment = self._known(issuer, trusted), now.timestamp()
        if known.keys and moment in known.fresh:
            return known.keys
        if moment not in known.failed:
            await self._fetch(known, moment)
        if keys := known.usable(moment):
            return keys
        raise _unavailable(known, moment)

    async def get_newer(self, issuer: str, trusted: TrustedIssuer, now: datetime) -> IssuerKeys:
        """The keys fetched again, for a token that none of them verifies; or the same, if that was done just now.

        Raises IssuerUnavailable where nobody can tell whether there is such a key.
        """
        known, moment = self._known(issuer, trusted), now.timestamp()
        if moment not in known.refetched and moment not in known.failed:
            known.refetched.start(moment, REFETCH_INTERVAL)
            await self._fetch(known, moment)
        elif known.fetch:
            await asyncio.shield(known.fetch)
        if known.failure or not known.keys:
            raise _unavailable(known, moment)
        return known.keys

    def ages(self, now: datetime) -> dict[str, float]:
        """Seconds since keys were fetched, by the configured URL or pattern; of a pattern, the oldest."""
        ages: dict[str, float] = {}
        for known in (*self._fixed.values(), *self._wildcard.values()):
            if known.keys:
                url, age = known.trusted.url, now.timestamp() - known.fetched_at
                ages[url] = max(age, ages.get(url, 0.0))
        return ages

    async def aclose(self) -> None:
        fetches = [known.fetch for known in (*self._fixed.values(), *self._wildcard.values()) if known.fetch]
        for fetch in fetches:
            fetch.cancel()
        await asyncio.gather(*fetches, return_exceptions=True)
        for fetcher in self._fetchers.values():
            await fetcher.aclose()

    def _known(self, issuer: str, trusted: TrustedIssuer) -> _Issuer:
        if not trusted.wildcard:
            return self._fixed.get(issuer) or self._fixed.setdefault(issuer, _Issuer(issuer, trusted))
        # Whoever holds a token decides which issuers a pattern becomes, so their number is bounded.
        known = self._wildcard.get(issuer)
        if known is None:
            if len(self._wildcard) >= _MAX_WILDCARD_ISSUERS:
                self._forget_one()
            known = self._wildcard[issuer] = _Issuer(issuer, trusted)
        self._wildcard.move_to_end(issuer)
        return known

    def _forget_one(self) -> None:
        """The least recently used without keys, if any: invented issuers do not displace real ones."""
        without_keys = (url for url, known in self._wildcard.items() if not known.keys)
        del self._wildcard[next(without_keys, next(iter(self._wildcard)))]

    async def _fetch(self, known: _Issuer, moment: float) -> None:
        if known.fetch is None:
            known.fetch = asyncio.create_task(self._refresh(known, moment))
        # A client that goes away does not take the answer away from those that wait for the same fetch.
        await asyncio.shield(known.fetch)

    async def _refresh(self, known: _Issuer, moment: float) -> None:
        try:
            await self._load(known, moment)
        except FetchError as error:
            known.failure = str(error)
            known.failed.start(moment, _RETRY_WHILE_STALE if known.stale(moment) else RETRY)
            self._logger.warning("issuer unavailable", issuer=known.url, why=known.failure)
        finally:
            known.fetch = None

    async def _load(self, known: _Issuer, moment: float) -> None:
        fetcher = self._fetcher(known.trusted.ca_certificate)
        try:
            discovered = await discover(fetcher, known.url)
        except FetchError as error:
            raise FetchError(f"its discovery document: {error}") from error
        try:
            keys, max_age = await fetch_keys(fetcher, known.url, discovered.jwks_uri)
        except FetchError as error:
            raise FetchError(f"its key set: {error}") from error
        ages = [age for age in (discovered.max_age, max_age) if age is not None]
        known.keys = IssuerKeys(discovered.algorithms, keys)
        known.failure = ""
        known.fetched_at = moment
        known.fresh.start(moment, min(max(FRESH[0], min(ages, default=_FRESH_BY_DEFAULT)), FRESH[-1]))

    def _fetcher(self, ca_certificate: str | None) -> Fetcher:
        # A set of roots takes milliseconds to load, so issuers that trust the same share it, and idle connections.
        if ca_certificate not in self._fetchers:
            self._fetchers[ca_certificate] = Fetcher(ca_certificate)
        return self._fetchers[ca_certificate]


def _unavailable(known: _Issuer, moment: float) -> IssuerUnavailable:
    detail = f"issuer {quoted(known.url)} does not answer as it should: {known.failure}"
    return IssuerUnavailable(detail, retry_after=known.failed.left(moment), issuer=known.url)
