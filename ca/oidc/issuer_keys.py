"""The keys of issuers, fetched when first needed and kept fresh."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

import structlog

from ca.oidc.dialling import SystemInternet
from ca.oidc.discovery import discover
from ca.oidc.fetch import Fetcher, FetchError, FetchForbiddenError, tls_context
from ca.oidc.files import Stamp, stamp
from ca.oidc.jwks import fetch_keys
from ca.oidc.jwks_file import JWKSFile
from ca.oidc.known_issuer import IN_USE, IssuerKeys, KnownIssuer
from ca.oidc.wildcard import MAX_ISSUERS, Concretes

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from ca.oidc.dialling import Internet
    from ca.oidc.model import Reach, TrustedIssuer
    from ca.oidc.registry import IssuerRegistry
    from ca.telemetry import Metrics


class IssuerKeyCache:
    """Answers from memory while keys are fresh; one fetch at a time for each issuer, however many wait for it.

    Fails closed, after a bounded time in which old keys serve: an issuer that is down for longer than that
    cannot vouch for tokens, nor take a lost key back.
    """

    def __init__(
        self, metrics: Metrics, internet: Internet | None = None, *, most_of_a_wildcard: int = MAX_ISSUERS
    ) -> None:
        """`internet`: the system's, by default."""
        self._metrics = metrics
        self._internet = internet or SystemInternet()
        self._most_of_a_wildcard = most_of_a_wildcard
        self._fixed: dict[str, KnownIssuer] = {}
        self._wildcard: dict[str, Concretes] = {}
        self._files: dict[tuple[str, Path], JWKSFile] = {}
        self._tls: dict[Reach, tuple[Stamp, ssl.SSLContext]] = {}
        self._fetches: set[asyncio.Task[None]] = set()
        """Under way, those of issuers that are no longer known among them."""
        self._logger = structlog.get_logger("oidc")

    async def get(self, issuer: str, trusted: TrustedIssuer, now: datetime) -> IssuerKeys:
        """The keys of an issuer that the registry trusts. Raises IssuerUnavailable."""
        if trusted.reach.jwks_file:
            return self._file(issuer, trusted.reach.jwks_file)
        known, moment = self._known(issuer, trusted), now.timestamp()
        known.used_at = moment
        if known.keys and known.fresh(moment):
            self._refresh_if_ageing(known, moment)
            return known.keys
        # Whoever comes while an issuer is known to be down is served what there is, and does not wait for it.
        wait = not (known.failure and known.usable(moment))
        if not known.broken(moment):
            fetch = self._start(known, moment)
            if wait:
                await asyncio.shield(fetch)
        if keys := known.usable(moment):
            if not known.fresh(moment):
                self._metrics.oidc_stale_keys_used.labels(trusted.url).inc()
            return keys
        raise known.unavailable(moment)

    async def get_newer(self, issuer: str, trusted: TrustedIssuer, now: datetime) -> IssuerKeys:
        """The keys fetched again, for a token that none of them verifies; or the same, if that was done just now.

        Raises IssuerUnavailable where nobody can tell whether there is such a key.
        """
        if trusted.reach.jwks_file:
            return self._file(issuer, trusted.reach.jwks_file)
        known, moment = self._known(issuer, trusted), now.timestamp()
        if known.may_refetch(moment):
            await asyncio.shield(self._start(known, moment))
        elif known.fetch:
            await asyncio.shield(known.fetch)
        if known.failure or not known.keys:
            raise known.unavailable(moment)
        return known.keys

    def keep(self, registry: IssuerRegistry) -> None:
        """Let go of what is known of issuers that are not trusted now, or not reached in the same way."""
        reach = {(issuer.wildcard, issuer.url): issuer.reach for issuer in registry.issuers if issuer.enabled}
        self._fixed = {
            url: known for url, known in self._fixed.items() if reach.get((False, url)) == known.trusted.reach
        }
        self._wildcard = {
            url: concretes
            for url, concretes in self._wildcard.items()
            if reach.get((True, url)) == concretes.trusted.reach
        }
        files = {(url, how.jwks_file) for (wildcard, url), how in reach.items() if not wildcard}
        self._files = {key: file for key, file in self._files.items() if key in files}
        self._tls = {how: tls for how, tls in self._tls.items() if how in reach.values()}

    def keep_fresh(self, now: datetime) -> None:
        """Begin to fetch what is in use and soon too old. To be called every few seconds."""
        moment = now.timestamp()
        for known in self._all():
            if moment - known.used_at < IN_USE:
                self._refresh_if_ageing(known, moment)

    def ages(self, now: datetime) -> dict[str, float]:
        """Seconds since keys were fetched, by the configured URL or pattern; of a pattern, the oldest."""
        ages: dict[str, float] = {}
        for known in self._all():
            if known.keys:
                url, age = known.trusted.url, now.timestamp() - known.fetched_at
                ages[url] = max(age, ages.get(url, 0.0))
        return ages

    def broken(self, now: datetime) -> dict[str, int]:
        """How many issuers are not asked now because they failed, by the configured URL or pattern."""
        counts: dict[str, int] = {}
        for known in self._all():
            url = known.trusted.url
            counts[url] = counts.get(url, 0) + known.broken(now.timestamp())
        for (url, _), file in self._files.items():
            counts[url] = int(file.broken)
        return counts

    async def aclose(self) -> None:
        fetches = tuple(self._fetches)
        for fetch in fetches:
            fetch.cancel()
        await asyncio.gather(*fetches, return_exceptions=True)

    def _all(self) -> Iterator[KnownIssuer]:
        yield from tuple(self._fixed.values())
        for concretes in tuple(self._wildcard.values()):
            yield from concretes

    def _file(self, issuer: str, path: Path) -> IssuerKeys:
        file = self._files.get((issuer, path)) or self._files.setdefault((issuer, path), JWKSFile(issuer, path))
        return file.keys()

    def _known(self, issuer: str, trusted: TrustedIssuer) -> KnownIssuer:
        """What is known of it, reached as it is now: what came another way does not count."""
        if trusted.wildcard:
            return self._concretes(trusted).find(issuer)
        known = self._fixed.get(issuer)
        if known is None or known.trusted.reach != trusted.reach:
            known = self._fixed[issuer] = KnownIssuer(issuer, trusted)
        return known

    def _concretes(self, trusted: TrustedIssuer) -> Concretes:
        concretes = self._wildcard.get(trusted.url)
        if concretes is None or concretes.trusted.reach != trusted.reach:
            concretes = self._wildcard[trusted.url] = Concretes(trusted, self._most_of_a_wildcard)
        return concretes

    def _refresh_if_ageing(self, known: KnownIssuer, moment: float) -> None:
        if known.fetch is None and known.ageing(moment) and not known.broken(moment):
            self._start(known, moment)

    def _start(self, known: KnownIssuer, moment: float) -> asyncio.Task[None]:
        """The one fetch under way. A client that goes away does not take the answer away from others: shield it."""
        if known.fetch is None:
            if known.trusted.wildcard and not known.keys:
                self._concretes(known.trusted).admit(known, moment)
            known.fetch = asyncio.create_task(self._refresh(known, moment))
            self._fetches.add(known.fetch)
            known.fetch.add_done_callback(self._fetches.discard)
        return known.fetch

    async def _refresh(self, known: KnownIssuer, moment: float) -> None:
        outcome = "failed"
        try:
            await self._load(known, moment)
            outcome = "ok"
        except FetchError as error:
            if any(isinstance(cause, FetchForbiddenError) for cause in (error, error.__cause__)):
                outcome = "forbidden"
            known.fail(moment, str(error))
            self._logger.warning("issuer unavailable", issuer=known.url, why=known.failure)
        except Exception:
            # Whatever it is, the breaker opens: an issuer that we stumble over is not asked again by every request.
            known.fail(moment, "an error here, which the log has")
            self._logger.exception("fetching an issuer's keys failed", issuer=known.url)
        finally:
            known.fetch = None
            self._metrics.oidc_fetches.labels(known.trusted.url, outcome).inc()

    async def _load(self, known: KnownIssuer, moment: float) -> None:
        reach = known.trusted.reach
        async with aclosing(Fetcher(reach, self._internet, self._tls_context(reach))) as fetcher:
            try:
                discovered = await discover(fetcher, known.url, reach)
            except FetchError as error:
                raise FetchError(f"its discovery document: {error}") from error
            try:
                keys, max_age = await fetch_keys(fetcher, known.url, discovered.jwks_uri)
            except FetchError as error:
                raise FetchError(f"its key set: {error}") from error
        ages = [age for age in (discovered.max_age, max_age) if age is not None]
        known.succeed(moment, IssuerKeys(discovered.algorithms, keys), min(ages, default=None))

    def _tls_context(self, reach: Reach) -> ssl.SSLContext:
        """Shared by issuers that trust the same, for it takes milliseconds to load."""
        found = stamp(reach.ca_certificate_file) if reach.ca_certificate_file else ()
        known = self._tls.get(reach)
        if known is None or known[0] != found:
            known = self._tls[reach] = found, tls_context(reach)
        return known[1]
