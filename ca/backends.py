"""The backends that the settings name, opened. What has to be let go of is left to the caller's stack."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Final

from ca.api.ctlog import CTLogEndpoints, ServedLog
from ca.background import cancel, in_background
from ca.ct.embedded.directory import LogDirectory
from ca.ct.embedded.keys import load_keys
from ca.ct.embedded.reader import Reader
from ca.ct.fallbacks import LogWithFallbacks
from ca.ct.guarded import GuardedLog, Term
from ca.ct.remote import RemoteLog, load_log_key
from ca.ct.settings import EMBEDDED, SWITCHED_OFF
from ca.documents import file_bytes
from ca.errors import ConfigurationError
from ca.limits.breaker import Breaker
from ca.limits.memory import MemoryStore
from ca.limits.settings import AUTO, MEMORY, SQLITE
from ca.limits.sqlite import SQLiteStore
from ca.oidc.model import UNGUARDED
from ca.proof.policy import KeyPolicy, KeyPolicyError, load_blocked_keys
from ca.published import log_paths

if TYPE_CHECKING:
    from contextlib import AsyncExitStack
    from pathlib import Path

    from ca.config import ServerSettings
    from ca.ct.embedded.directory import Shard
    from ca.ct.embedded.engine import EmbeddedLog
    from ca.ct.model import Log, Submission
    from ca.ct.rfc6962 import SCT
    from ca.ct.settings import CTSettings, LogElsewhere
    from ca.ct.submission import AcceptedRoots
    from ca.ct.verify import LogKey
    from ca.limits.model import LimitStore
    from ca.oidc.registry import IssuerRegistry
    from ca.telemetry import Metrics
    from ca.tuf.renewal import Renewal
    from ca.tuf.settings import TUFSettings

LIMITS_FILE: Final = "limits.sqlite"
"""In the directory `data`."""

Clock = Callable[[], datetime]


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
    settings: CTSettings,
    data: Path,
    roots: Callable[[], AcceptedRoots],
    clock: Clock,
    metrics: Metrics,
    stack: AsyncExitStack,
) -> OpenedLog:
    """The log that the settings name; `stack` lets go of it. Raises ConfigurationError."""
    if settings.log == SWITCHED_OFF:
        return OpenedLog(None, {})
    if settings.log == EMBEDDED:
        embedded, endpoints = open_embedded(LogDirectory(data, settings.log_seen), roots, clock, metrics, stack)
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
    logs: LogDirectory, roots: Callable[[], AcceptedRoots], clock: Clock, metrics: Metrics, stack: AsyncExitStack
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
    settings: ServerSettings, registry: IssuerRegistry, clock: Clock, metrics: Metrics, stack: AsyncExitStack
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


def open_tuf(settings: TUFSettings, clock: Clock, metrics: Metrics, stack: AsyncExitStack) -> Renewal | None:
    """The TUF repository that the settings name, kept fresh. Raises ConfigurationError."""
    if settings.directory is None:
        return None
    try:
        from ca.tuf.renewal import Renewal
    except ImportError as problem:
        raise ConfigurationError("tuf.directory: needs more packages: pip install 'dayfly[tuf]'") from problem
    renewal = Renewal.open(settings, clock)
    if renewal:
        stack.push_async_callback(cancel, in_background(partial(renewal.run, metrics)))
    return renewal


def key_policy(settings: ServerSettings) -> KeyPolicy:
    blocked = frozenset[bytes]()
    if settings.blocked_keys:
        try:
            blocked = load_blocked_keys(file_bytes(settings.blocked_keys).decode(errors="replace"))
        except KeyPolicyError as problem:
            raise ConfigurationError(f"{settings.blocked_keys}: {problem}") from problem
    return KeyPolicy.parse(settings.client_signing_algorithms, blocked)
