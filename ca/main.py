"""The composition root: from the configuration to running objects. The only reader of the environment."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
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
from ca.api.ctlog import CTLogEndpoints, ServedLog
from ca.api.health import Health
from ca.api.signing import Signing
from ca.api.timestamp import Timestamps
from ca.api.trust import Trust
from ca.api.tuf import TUFFiles
from ca.certificate.chain import ChainInvalid
from ca.certificate.profile import Profile
from ca.ct.embedded.directory import LogDirectory
from ca.ct.embedded.keys import load_keys
from ca.ct.embedded.reader import Reader
from ca.ct.fallbacks import LogWithFallbacks
from ca.ct.guarded import GuardedLog, Term
from ca.ct.remote import RemoteLog, load_log_key
from ca.ct.settings import EMBEDDED, SWITCHED_OFF
from ca.ct.submission import AcceptedRoots, FollowedRoots
from ca.documents import file_bytes
from ca.errors import ConfigurationError
from ca.http.front import Front
from ca.http.settings import HTTPSettings
from ca.http.tls import LOOK_AGAIN
from ca.issuance import CertificateAuthority
from ca.keys.reload import ReloadingFileKey
from ca.limits.breaker import Breaker
from ca.limits.limiter import Limits
from ca.limits.memory import MemoryStore
from ca.limits.settings import AUTO, MEMORY, SQLITE
from ca.limits.sqlite import SQLiteStore
from ca.oidc.model import UNGUARDED
from ca.oidc.reload import ReloadingIssuers
from ca.oidc.verifier import TokenVerifier
from ca.proof.policy import KeyPolicy, KeyPolicyError, load_blocked_keys
from ca.published import Publisher, log_paths
from ca.server import bind, run
from ca.telemetry import Metrics, configure_logging
from ca.timestamp.file import load_timestamp_authority

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from starlette.types import ASGIApp

    from ca.config import ServerSettings
    from ca.ct.embedded.directory import Shard
    from ca.ct.embedded.engine import EmbeddedLog
    from ca.ct.model import Log, Submission
    from ca.ct.rfc6962 import SCT
    from ca.ct.settings import CTSettings, LogElsewhere
    from ca.ct.verify import LogKey
    from ca.http.tls import ServerCertificate
    from ca.limits.model import LimitStore
    from ca.oidc.registry import IssuerRegistry
    from ca.telemetry import LogSettings
    from ca.trust.model import TrustMaterial
    from ca.tuf.renewal import Renewal
    from ca.tuf.settings import TUFSettings

GAUGE_INTERVAL = 5.0
"""Seconds between readings of the gauges that change with time alone."""
LIMITS_FILE = "limits.sqlite"
"""In the directory `data`."""


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
            stack.push_async_callback(_cancel, _in_background(partial(_follow, front.certificate, metrics)))

        keys = await ReloadingFileKey.load(settings.ca, clock)
        stack.push_async_callback(_cancel, _in_background(keys.run))

        issuers = ReloadingIssuers(settings.identity_config)
        stack.push_async_callback(_cancel, _in_background(issuers.run))
        tokens = TokenVerifier(issuers.registry, metrics)
        issuers.subscribe(tokens.use)
        stack.push_async_callback(tokens.aclose)

        opened = open_log(settings.ct, settings.data, FollowedRoots(keys.chains), metrics, stack)

        limits = Limits(settings.limits, open_limit_store(settings, issuers.registry, metrics, stack), metrics)
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
        tuf = open_tuf(settings.tuf, metrics, stack)
        health = Health(keys, opened.parts, clock, partial(_degraded, keys, issuers, front, tuf), front.is_draining)
        composed = Composed(signing, trust, health, timestamps, keys, opened.log, opened.endpoints, tokens, issuers)
        _at_hangup(stack, keys.look, issuers.look)
        stack.push_async_callback(_cancel, _in_background(partial(_read_gauges, composed, metrics)))
        stack.push_async_callback(_cancel, _in_background(partial(_keep_keys_fresh, tokens)))
        yield composed


def open_tuf(settings: TUFSettings, metrics: Metrics, stack: AsyncExitStack) -> Renewal | None:
    """The TUF repository that the settings name, kept fresh. Raises ConfigurationError."""
    if settings.directory is None:
        return None
    try:
        from ca.tuf.renewal import Renewal
    except ImportError as problem:
        raise ConfigurationError("tuf.directory: needs more packages: pip install 'dayfly[tuf]'") from problem
    renewal = Renewal.open(settings, clock)
    if renewal:
        stack.push_async_callback(_cancel, _in_background(partial(renewal.run, metrics)))
    return renewal


@dataclass(frozen=True, slots=True)
class OpenedLog:
    """Where certificates go before they go out."""

    log: Log | None
    """None only where the settings switch Certificate Transparency off in so many words."""
    parts: Mapping[str, Log]
    """By name, for readiness: the log itself, or the several it is made of."""
    endpoints: CTLogEndpoints | None = None
    """Of the log that is in this process."""


def open_log(
    settings: CTSettings, data: Path, roots: Callable[[], AcceptedRoots], metrics: Metrics, stack: AsyncExitStack
) -> OpenedLog:
    """The log that the settings name; `stack` lets go of it. Raises ConfigurationError."""
    if settings.log == SWITCHED_OFF:
        return OpenedLog(None, {})
    if settings.log == EMBEDDED:
        embedded, endpoints = open_embedded(LogDirectory(data, settings.log_seen), roots, metrics, stack)
        return OpenedLog(embedded, {EMBEDDED: embedded}, endpoints)
    keys = log_keys(settings.elsewhere)
    logs = [_elsewhere(log, key, metrics) for log, key in zip(settings.elsewhere, keys, strict=True)]
    log = logs[0] if len(logs) == 1 else LogWithFallbacks(logs, settings.fallback_after)
    stack.push_async_callback(log.aclose)
    return OpenedLog(log, {part.name: part for part in logs})


def log_keys(logs: Sequence[LogElsewhere]) -> list[LogKey]:
    """Raises ConfigurationError for two logs with one key: they would be one log, and a failover no failover."""
    keys: list[LogKey] = []
    for log in logs:
        key = load_log_key(log.log_key)
        if any(key.log_id == other.log_id for other in keys):
            raise ConfigurationError(f"{log.log_key}: is the key of another log of `ct` already; every log has its own")
        keys.append(key)
    return keys


def _elsewhere(log: LogElsewhere, key: LogKey, metrics: Metrics) -> GuardedLog:
    term = Term(log.log_not_after_start, log.log_not_after_limit)
    return GuardedLog(log.log, remote_log(log, key), metrics, term)


def remote_log(log: LogElsewhere, key: LogKey) -> RemoteLog:
    """Raises ConfigurationError."""
    tls_ca = file_bytes(log.log_tls_ca).decode(errors="replace") if log.log_tls_ca else None
    return RemoteLog(log.log, key, tls_ca=tls_ca)


def open_embedded(
    logs: LogDirectory, roots: Callable[[], AcceptedRoots], metrics: Metrics, stack: AsyncExitStack
) -> tuple[EmbeddedLog, CTLogEndpoints]:
    """The newest log of the directory, and the endpoints of all."""
    (prefix, current), *older = log_paths(logs)
    log = logs.open(current, clock, metrics=metrics.ctlog)
    stack.push_async_callback(log.aclose)

    def served(shard: Shard, prefix: str, add: Callable[[Submission], Awaitable[SCT]] | None = None) -> ServedLog:
        keys = load_keys(shard.directory)
        log_key = keys.log_key.public_key()
        reader = Reader.open(shard.database, log_key)
        stack.callback(reader.close)
        return ServedLog(prefix, reader, roots, log_key, keys.note_key.public_key(), add)

    newest = served(current, prefix, log.add)
    return log, CTLogEndpoints(newest, [served(shard, path) for path, shard in older])


def open_limit_store(
    settings: ServerSettings, registry: IssuerRegistry, metrics: Metrics, stack: AsyncExitStack
) -> LimitStore:
    """The store that the settings name; `stack` lets go of it. Raises ConfigurationError."""
    name = settings.limits.store
    if name == AUTO:
        # Nothing but a guarded token's use is worth a file where there is one worker.
        guarded = any(issuer.token_guard != UNGUARDED for issuer in registry.issuers)
        name = SQLITE if settings.workers > 1 or guarded else MEMORY
    store: LimitStore
    if name == MEMORY:
        return MemoryStore(clock)
    if name.startswith(SQLITE):
        store = SQLiteStore.open(settings.data / (name.partition(":")[2] or LIMITS_FILE), clock)
    else:
        try:
            from ca.limits.redis import RedisStore
        except ImportError as problem:
            raise ConfigurationError("limits: store: Redis needs the extra `redis`: dayfly[redis]") from problem
        store = RedisStore(name, settings.limits.redis)
    stack.push_async_callback(store.aclose)
    return Breaker(store, metrics)


def key_policy(settings: ServerSettings) -> KeyPolicy:
    blocked = frozenset[bytes]()
    if settings.blocked_keys:
        try:
            blocked = load_blocked_keys(file_bytes(settings.blocked_keys).decode(errors="replace"))
        except KeyPolicyError as problem:
            raise ConfigurationError(f"{settings.blocked_keys}: {problem}") from problem
    return KeyPolicy.parse(settings.client_signing_algorithms, blocked)


def _in_background(work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
    """Keep `work` going until cancelled: what ends it is logged, and it starts over."""

    async def forever() -> None:
        while True:
            try:
                await work()
            except Exception:  # noqa: BLE001 - a task that dies unnoticed would be worse than any of its errors
                structlog.get_logger().exception("a background task failed and starts over", task=repr(work))
            await asyncio.sleep(GAUGE_INTERVAL)

    return asyncio.create_task(forever())


def _at_hangup(stack: AsyncExitStack, *looks: Callable[[], None]) -> None:
    """SIGHUP has files read at once; `stack` ends that. Only the main thread is given signals."""

    def look() -> None:
        for one in looks:
            one()

    if threading.current_thread() is threading.main_thread():
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, look)
        stack.callback(loop.remove_signal_handler, signal.SIGHUP)


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


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


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
        log, endpoints = open_embedded(logs, lambda: accepted, metrics, stack)
        yield log_application(endpoints, Health(None, {EMBEDDED: log}, clock), front.settings)
