"""The composition root: from the configuration to running objects. The only reader of the environment."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import structlog
from prometheus_client import REGISTRY, CollectorRegistry, start_http_server

from ca.api.app import application
from ca.api.ctlog import CTLogEndpoints, ServedLog
from ca.api.health import Health
from ca.api.signing import Signing
from ca.api.trust import Trust
from ca.certificate.profile import Profile
from ca.ct.embedded.directory import LogDirectory
from ca.ct.embedded.keys import load_keys
from ca.ct.embedded.reader import Reader
from ca.ct.remote import RemoteLog, load_log_key
from ca.ct.settings import EMBEDDED, SWITCHED_OFF
from ca.ct.submission import AcceptedRoots
from ca.documents import file_bytes
from ca.errors import ConfigurationError
from ca.issuance import CertificateAuthority
from ca.keys.reload import ReloadingFileKey
from ca.oidc.identity_config import load_identity_config
from ca.oidc.registry import IssuerRegistry
from ca.oidc.verifier import TokenVerifier
from ca.proof.policy import KeyPolicy, KeyPolicyError, load_blocked_keys
from ca.telemetry import Metrics, configure_logging

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from pathlib import Path

    import uvicorn
    from cryptography import x509
    from starlette.types import ASGIApp, Receive, Scope, Send

    from ca.config import ServerSettings
    from ca.ct.embedded.directory import Shard
    from ca.ct.embedded.engine import EmbeddedLog
    from ca.ct.model import Log
    from ca.ct.settings import CTSettings
    from ca.keys.model import CAKeys

GAUGE_INTERVAL = 5.0
"""Seconds between readings of the gauges that change with time alone."""
LOG_PREFIX = "/ctlog"
"""The path of the embedded log."""
GRACE = 30
"""Seconds that requests in flight get at shutdown: more than the CT budget, so that none dies after its SCT."""


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
    keys: CAKeys
    log: Log | None
    ctlog: CTLogEndpoints | None
    tokens: TokenVerifier
    registry: IssuerRegistry


@asynccontextmanager
async def compose(settings: ServerSettings, metrics: Metrics) -> AsyncIterator[Composed]:
    """Load everything the settings name and put it together. Raises ConfigurationError with the place."""
    async with AsyncExitStack() as stack:
        keys = await ReloadingFileKey.load(settings.ca, clock)
        stack.push_async_callback(_cancel, _in_background(keys.run))

        registry = IssuerRegistry(load_identity_config(settings.identity_config))
        tokens = TokenVerifier(registry)
        stack.push_async_callback(tokens.aclose)

        log, ctlog = open_log(settings.ct, settings.data, keys.chains()[0].certificates[-1], stack)

        authority = CertificateAuthority(
            tokens=tokens,
            key_policy=key_policy(settings),
            profile=Profile(settings.lifetime),
            keys=keys,
            log=log,
        )
        signing = Signing(authority, clock, metrics, body_limit=settings.http.body_limit, ct=settings.ct.log)
        composed = Composed(
            signing, Trust(keys, registry), Health(keys, log, clock), keys, log, ctlog, tokens, registry
        )
        stack.push_async_callback(_cancel, _in_background(partial(_read_gauges, composed, metrics)))
        yield composed


def open_log(
    settings: CTSettings, data: Path, root: x509.Certificate, stack: AsyncExitStack
) -> tuple[Log | None, CTLogEndpoints | None]:
    """The log that the settings name, and its endpoints if it is in this process; `stack` lets go of both.

    No log only where the settings switch Certificate Transparency off in so many words.
    """
    if settings.log == SWITCHED_OFF:
        return None, None
    if settings.log == EMBEDDED:
        return open_embedded(LogDirectory(data, settings.log_seen), AcceptedRoots([root]), stack)
    assert settings.log_key is not None  # CTSettings requires it for a log elsewhere
    tls_ca = file_bytes(settings.log_tls_ca).decode(errors="replace") if settings.log_tls_ca else None
    log = RemoteLog(settings.log, load_log_key(settings.log_key), tls_ca=tls_ca)
    stack.push_async_callback(log.aclose)
    return log, None


def open_embedded(
    logs: LogDirectory, roots: AcceptedRoots, stack: AsyncExitStack
) -> tuple[EmbeddedLog, CTLogEndpoints]:
    """The newest log of the directory, and the endpoints of all: the newest under LOG_PREFIX, older ones below it."""
    current = logs.current()
    log = logs.open(current, clock)
    stack.push_async_callback(log.aclose)

    def served(shard: Shard) -> ServedLog:
        keys = load_keys(shard.directory)
        log_key = keys.log_key.public_key()
        reader = Reader.open(shard.database, log_key)
        stack.callback(reader.close)
        is_current = shard.origin == current.origin
        prefix = LOG_PREFIX if is_current else f"{LOG_PREFIX}/{shard.origin.rpartition('/')[2]}"
        return ServedLog(prefix, reader, roots, log_key, keys.note_key.public_key(), log.add if is_current else None)

    *older, newest = (served(shard) for shard in logs.shards())
    return log, CTLogEndpoints(newest, older)


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


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _read_gauges(composed: Composed, metrics: Metrics) -> None:
    while True:
        now = clock()
        ends = [chain.not_after for chain in composed.keys.chains()]
        metrics.chain_expiry_seconds.set((min(ends) - now).total_seconds())
        metrics.key_reload_failed.set(1 if composed.keys.last_reload_error else 0)
        for issuer, age in composed.tokens.jwks_ages(now).items():
            metrics.jwks_age_seconds.labels(issuer).set(age)
        await asyncio.sleep(GAUGE_INTERVAL)


class Worker:
    """One worker process as an ASGI application: composes when the server starts, releases when it stops."""

    def __init__(
        self,
        settings: ServerSettings,
        wrap: Callable[[ASGIApp], ASGIApp] | None = None,
        registry: CollectorRegistry | None = None,
    ) -> None:
        """`registry` is None in a process of several: its values live in files that the parent serves."""
        self._settings = settings
        self._wrap = wrap
        self._registry = registry or CollectorRegistry()
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif self._app is not None:
            await self._app(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        configure_logging(self._settings.log)
        metrics = Metrics(self._registry)
        try:
            async with compose(self._settings, metrics) as composed:
                app = application(
                    composed.signing, composed.trust, composed.health, self._settings.http, composed.ctlog
                )
                self._app = self._wrap(app) if self._wrap else app
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except ConfigurationError as problem:
            await send({"type": "lifespan.startup.failed", "message": str(problem)})
            return
        await send({"type": "lifespan.shutdown.complete"})


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
    import uvicorn

    configure_logging(settings.log)
    logger = structlog.get_logger("server")
    asyncio.run(check(settings))
    if settings.ct.log == SWITCHED_OFF:
        logger.warning(
            "Certificate Transparency is switched off: certificates are issued without an SCT, are in no log, "
            "and no sigstore client accepts them by default"
        )
    config = uvicorn.Config(
        partial(Worker, settings, wrap, REGISTRY if settings.workers == 1 else None),
        factory=True,
        workers=settings.workers,
        http="httptools",
        ws="none",  # else a library that happens to be installed answers upgrades
        loop="uvloop",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE,
    )
    with tempfile.TemporaryDirectory(prefix="dayfly-metrics-") as metrics_directory:
        if settings.workers > 1:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = metrics_directory
        serve_metrics(settings)
        with listening or bind(settings.listen, "--listen") as bound:
            logger.info(
                "listening", address=_address(bound), workers=settings.workers, ct=settings.ct.log, pid=os.getpid()
            )
            if announce:
                announce()
            _run(config, bound)


def _run(config: uvicorn.Config, listening: socket.socket) -> None:
    import uvicorn
    from uvicorn.supervisors import Multiprocess

    if config.workers > 1:
        Multiprocess(config, sockets=[listening]).run()
        return
    uvicorn.Server(config).run([listening])


async def check(settings: ServerSettings) -> None:
    """Load all that the server would and let it go again. Raises ConfigurationError."""
    async with compose(settings, Metrics(CollectorRegistry())):
        pass


def serve_metrics(settings: ServerSettings) -> None:
    """Serve Prometheus' text format on a listener of its own, in a thread of this process."""
    if settings.metrics.listen == "none":
        return
    registry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in environment():
        from prometheus_client.multiprocess import MultiProcessCollector

        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    host, port = split_address(settings.metrics.listen)
    try:
        start_http_server(port, host, registry)
    except OSError as problem:
        raise _cannot_listen(settings.metrics.listen, "--metrics-listen", problem) from problem


def bind(listen: str, flag: str) -> socket.socket:
    """A socket at HOST:PORT that does not listen yet. Raises ConfigurationError naming the flag that changes it."""
    host, port = split_address(listen)
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError as problem:
        bound.close()
        raise _cannot_listen(listen, flag, problem) from problem
    bound.set_inheritable(True)  # for worker processes
    return bound


def _cannot_listen(listen: str, flag: str, problem: OSError) -> ConfigurationError:
    return ConfigurationError(f"{flag}: cannot listen on {listen}: {problem.strerror}; choose another address or port")


def _address(bound: socket.socket) -> str:
    """HOST:PORT of a socket: with the port that the system chose where 0 was asked for."""
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def split_address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)
