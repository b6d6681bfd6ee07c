"""The composition root: from the configuration to running objects. The only reader of the environment."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from math import nan
from typing import TYPE_CHECKING

import structlog
from prometheus_client import CollectorRegistry

from ca import beside
from ca.api.app import application, log_application
from ca.api.ctlog import CTLogEndpoints
from ca.api.health import Health
from ca.api.signing import Signing
from ca.api.timestamp import Timestamps
from ca.api.trust import Trust
from ca.api.tuf import TUFFiles
from ca.backends import key_policy, open_embedded, open_limit_store, open_log, open_tuf
from ca.background import at_hangup, cancel, in_background
from ca.certificate.chain import ChainInvalid
from ca.certificate.profile import Profile
from ca.ct.embedded.directory import LogDirectory
from ca.ct.settings import EMBEDDED, SWITCHED_OFF
from ca.ct.submission import AcceptedRoots, FollowedRoots
from ca.documents import file_bytes
from ca.errors import ConfigurationError
from ca.http.front import Front
from ca.http.settings import HTTPSettings
from ca.http.tls import LOOK_AGAIN
from ca.issuance import CertificateAuthority
from ca.keys.reload import ReloadingFileKey
from ca.limits.limiter import Limits
from ca.oidc.reload import ReloadingIssuers
from ca.oidc.verifier import TokenVerifier
from ca.published import Publisher
from ca.server import bind, run
from ca.telemetry import Metrics, configure_logging
from ca.timestamp.file import load_timestamp_authority

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from starlette.types import ASGIApp

    from ca.config import ServerSettings
    from ca.ct.model import Log
    from ca.http.tls import ServerCertificate
    from ca.telemetry import LogSettings
    from ca.trust.model import TrustMaterial
    from ca.tuf.renewal import Renewal

GAUGE_INTERVAL = 5.0
"""Seconds between readings of the gauges that change with time alone."""


def environment() -> Mapping[str, str]:
    return os.environ


def clock() -> datetime:
    """The one reading of the wall clock; everything below the edge is given `now`."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Composed:
    """The object graph of one worker."""

    signing: Signing
    trust: Trust
    health: Health
    timestamps: Timestamps | None
    keys: ReloadingFileKey
    log: Log | None
    ctlog: CTLogEndpoints | None
    tokens: TokenVerifier
    issuers: ReloadingIssuers


@asynccontextmanager
async def compose(settings: ServerSettings, metrics: Metrics, front: Front | None = None) -> AsyncIterator[Composed]:
    """Load everything the settings name and put it together. Raises ConfigurationError with the place.

    `front` is the one whose connections are served.
    """
    front = front or Front(settings.http)
    beside.check(settings.grpc, clock())
    async with AsyncExitStack() as stack:
        if front.certificate:
            front.certificate.load(clock())
            stack.push_async_callback(cancel, in_background(partial(_follow, front.certificate, metrics)))

        keys = await ReloadingFileKey.load(settings.ca, clock)
        stack.push_async_callback(cancel, in_background(keys.run))

        issuers = ReloadingIssuers(settings.identity_config)
        stack.push_async_callback(cancel, in_background(issuers.run))
        tokens = TokenVerifier(issuers.registry, metrics)
        issuers.subscribe(tokens.use)
        stack.push_async_callback(tokens.aclose)

        opened = open_log(settings.ct, settings.data, FollowedRoots(keys.chains), clock, metrics, stack)

        limits = Limits(settings.limits, open_limit_store(settings, issuers.registry, clock, metrics, stack), metrics)
        authority = CertificateAuthority(
            limits=limits,
            tokens=tokens,
            key_policy=key_policy(settings),
            profile=Profile(settings.lifetime),
            keys=keys,
            log=opened.log,
        )
        signing = Signing(authority, clock, metrics, body_limit=settings.http.body_limit, ct=settings.ct.log)
        timestamper = load_timestamp_authority(settings.timestamp, clock())
        timestamps = Timestamps(timestamper, clock, metrics) if timestamper else None
        trust = Trust(keys, lambda: issuers.registry, Publisher(settings, keys, timestamper).material)
        tuf = open_tuf(settings.tuf, clock, metrics, stack)
        health = Health(keys, opened.parts, clock, partial(_degraded, keys, issuers, front, tuf), front.is_draining)
        composed = Composed(signing, trust, health, timestamps, keys, opened.log, opened.endpoints, tokens, issuers)
        at_hangup(stack, keys.look, issuers.look)
        stack.push_async_callback(cancel, in_background(partial(_read_gauges, composed, metrics)))
        stack.push_async_callback(cancel, in_background(partial(_keep_keys_fresh, tokens)))
        yield composed


def _degraded(keys: ReloadingFileKey, issuers: ReloadingIssuers, front: Front, tuf: Renewal | None) -> dict[str, str]:
    """Files whose last good content is in use. What is wrong with them is for the operator, hence in the log alone."""
    broken = "the file cannot be loaded; what it last said is in use, and the log says what is wrong"
    checks = {
        "caKeyFiles": broken if keys.last_reload_error else "ok",
        "identityConfig": broken if issuers.last_reload_error else "ok",
    }
    if front.certificate:
        checks["tlsFiles"] = broken if front.certificate.last_reload_error else "ok"
    if tuf:
        checks["tuf"] = "something expires soon or cannot be renewed; the log says what" if tuf.problem else "ok"
    return checks


async def _read_gauges(composed: Composed, metrics: Metrics) -> None:
    while True:
        now = clock()
        metrics.chain_expiry_seconds.set((composed.keys.chains()[0].not_after - now).total_seconds())
        following = composed.keys.rotation.next
        metrics.next_chain_expiry_seconds.set((following.chain.not_after - now).total_seconds() if following else nan)
        metrics.key_reload_failed.set(1 if composed.keys.last_reload_error else 0)
        metrics.identity_config_reload_failed.set(1 if composed.issuers.last_reload_error else 0)
        metrics.jwks_age_seconds.show(composed.tokens.jwks_ages(now))
        metrics.oidc_breaker_open.show(composed.tokens.broken_issuers(now))
        await asyncio.sleep(GAUGE_INTERVAL)


async def _follow(certificate: ServerCertificate, metrics: Metrics) -> None:
    while True:
        now = clock()
        certificate.reload(now)
        metrics.tls_expiry_seconds.set((certificate.not_after - now).total_seconds())
        metrics.tls_reload_failed.set(1 if certificate.last_reload_error else 0)
        await asyncio.sleep(LOOK_AGAIN)


async def _keep_keys_fresh(tokens: TokenVerifier) -> None:
    while True:
        tokens.keep_keys_fresh(clock())
        await asyncio.sleep(GAUGE_INTERVAL)


def serve(
    settings: ServerSettings,
    wrap: Callable[[ASGIApp], ASGIApp] | None = None,
    announce: Callable[[], None] | None = None,
    listening: socket.socket | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM. Raises ConfigurationError before it listens if anything is wrong.

    `wrap` puts something around the application; `announce` is called once all is loaded; `listening` is a socket
    of `bind`, by default a new one.
    """
    configure_logging(settings.log)
    asyncio.run(check(settings))
    if settings.ct.log == SWITCHED_OFF:
        structlog.get_logger("server").warning(
            "Certificate Transparency is switched off: certificates are issued without an SCT, are in no log, "
            "and no sigstore client accepts them by default"
        )
    with listening or bind(settings.listen, "--listen") as bound, beside.reserved(settings) as reserved:
        if announce:
            announce()
        run(
            partial(ca_application, reserved, wrap),
            bound,
            settings.log,
            settings.http,
            workers=settings.workers,
            metrics_listen=settings.metrics.listen,
        )


async def trust_material(settings: ServerSettings) -> TrustMaterial:
    """What clients are told of the instance that these settings make. Raises ConfigurationError."""
    keys = await ReloadingFileKey.load(settings.ca, clock)
    return Publisher(settings, keys, load_timestamp_authority(settings.timestamp, clock())).material()


async def check(settings: ServerSettings) -> None:
    """Load all that the server would and let it go again. Raises ConfigurationError."""
    async with compose(settings, Metrics(CollectorRegistry())):
        pass


@asynccontextmanager
async def ca_application(
    settings: ServerSettings, wrap: Callable[[ASGIApp], ASGIApp] | None, metrics: Metrics, front: Front
) -> AsyncIterator[ASGIApp]:
    async with compose(settings, metrics, front) as composed:
        app = application(
            composed.signing,
            composed.trust,
            composed.health,
            settings.http,
            composed.ctlog,
            composed.timestamps,
            TUFFiles(settings.tuf.directory) if settings.tuf.directory else None,
        )
        async with beside.serving(settings, (composed.signing, composed.trust, composed.health), metrics, clock):
            yield wrap(app) if wrap else app


def serve_log(
    logs: LogDirectory, roots: Path, listen: str, log: LogSettings, *, workers: int, metrics_listen: str
) -> None:
    """Serve the log alone until SIGINT or SIGTERM, for CAs whose roots are in the PEM file `roots`.

    Raises ConfigurationError before it listens if anything is wrong.
    """
    configure_logging(log)
    settings = HTTPSettings()
    build = partial(log_only, logs, roots)

    async def check_log() -> None:
        async with build(Metrics(CollectorRegistry()), Front(settings)):
            pass

    asyncio.run(check_log())
    with bind(listen, "--listen") as bound:
        run(build, bound, log, settings, workers=workers, metrics_listen=metrics_listen)


@asynccontextmanager
async def log_only(logs: LogDirectory, roots: Path, metrics: Metrics, front: Front) -> AsyncIterator[ASGIApp]:
    try:
        accepted = AcceptedRoots.parse(file_bytes(roots))
    except ChainInvalid as problem:
        raise ConfigurationError(f"{roots}: {problem}") from problem
    async with AsyncExitStack() as stack:
        log, endpoints = open_embedded(logs, lambda: accepted, clock, metrics, stack)
        yield log_application(endpoints, Health(None, {EMBEDDED: log}, clock), front.settings)
