"""Counts in Redis, for replicas."""

from __future__ import annotations

import asyncio
import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError

from ca.documents import file_bytes
from ca.limits.model import Settled, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from redis.asyncio.connection import AbstractConnection

    from ca.limits.model import Charge, TokenUse
    from ca.limits.settings import RedisSettings

_TIMEOUT: Final = 0.25
"""Seconds that the server has to answer a request."""
_TURNS: Final = 10
"""Turns of the event loop that an answer has after them: a busy loop comes late to what the server sent in time."""
_CONNECTIONS: Final = 8
"""Of one worker. An answer takes a fraction of a millisecond, so few are enough for any number of requests; and making
one costs milliseconds of CPU, which a first burst must not spend on many within _TIMEOUT."""
_HEALTH_CHECK_INTERVAL: Final = 15
_PORT: Final = 6379
_SENTINEL_PORT: Final = 26379
_SENTINEL: Final = "+sentinel"
_TOKEN_REFUSED: Final = -1


class RedisStore:
    """A LimitStore that replicas share: one round trip for all that a request takes, by the server's clock.

    A failover forgets what the new primary had not received, and a server without persistence everything when it
    restarts.
    """

    def __init__(self, url: str, settings: RedisSettings) -> None:
        """`url` is one that `RedisSettings` documents. Connects when first asked. Raises ConfigurationError."""
        self._redis, self._sentinel = _client(url, settings)
        # In one hash slot, as a script's keys have to be; the digest part is binary.
        self._prefix = f"{{{settings.prefix}}}:".encode()
        self._script = files("ca.limits").joinpath("settle.lua").read_bytes()
        self._digest = hashlib.sha1(self._script, usedforsecurity=False).hexdigest()  # by which Redis knows a script
        # redis-py's own way through its pool costs a request as much CPU again as the question does.
        self._pool = self._redis.connection_pool
        self._idle: list[AbstractConnection] = []
        self._free = asyncio.Semaphore(_CONNECTIONS)

    async def settle(self, charges: Sequence[Charge], use: TokenUse | None) -> Settled:
        keys = [self._prefix + charge.key for charge in charges]
        arguments: list[int | bytes] = []
        for charge in charges:
            arguments += (charge.rate.interval, charge.rate.capacity)
        if use:
            keys.append(self._prefix + b"token:" + use.token)
            arguments += (use.key, use.window, use.lifetime)
        try:
            async with asyncio.timeout(None) as deadline:
                expiry = _Expiry(deadline)
                try:
                    refused, *waits = await self._ask(len(keys), *keys, *arguments)
                finally:
                    expiry.cancel()
        except (RedisError, OSError) as problem:  # of which TimeoutError is one
            raise StoreUnavailable(f"Redis: {type(problem).__name__}: {problem}") from problem
        if refused == _TOKEN_REFUSED:
            return Settled(replayed=True)
        return Settled(waits, refused - 1 if refused else None)

    async def _ask(self, *words: int | bytes) -> Any:
        async with self._free:
            # One that was idle may have been closed since. Asking twice is harmless: it counts twice at most.
            if self._idle:
                try:
                    return await self._ask_by(self._idle.pop(), *words)
                except RedisConnectionError:
                    await self._let_go()
            return await self._ask_by(self._pool.make_connection(), *words)  # type: ignore[no-untyped-call]

    async def _ask_by(self, connection: AbstractConnection, *words: int | bytes) -> Any:
        try:
            if not connection.is_connected:
                await connection.connect()  # type: ignore[no-untyped-call]
            try:
                await connection.send_packed_command(connection.pack_command("EVALSHA", self._digest, *words))
                answer = await connection.read_response()
            except NoScriptError:
                await connection.send_packed_command(connection.pack_command("EVAL", self._script, *words))
                answer = await connection.read_response()
        except BaseException:
            # What it would answer next belongs to nobody, and what it met the others may meet: a server that is a
            # replica by now, for which whoever has taken over is found by connecting again.
            await connection.disconnect(nowait=True)
            await self._let_go()
            raise
        self._idle.append(connection)
        return answer

    async def _let_go(self) -> None:
        while self._idle:
            await self._idle.pop().disconnect(nowait=True)

    async def aclose(self) -> None:
        await self._let_go()
        await self._redis.aclose()
        for sentinel in self._sentinel.sentinels if self._sentinel else ():
            await sentinel.aclose()


class _Expiry:
    """Ends `deadline` after _TIMEOUT and then _TURNS."""

    def __init__(self, deadline: asyncio.Timeout) -> None:
        self._deadline = deadline
        self._turns = _TURNS
        self._loop = asyncio.get_running_loop()
        self._next: asyncio.Handle = self._loop.call_later(_TIMEOUT, self._turn)

    def _turn(self) -> None:
        if self._turns:
            self._turns -= 1
            self._next = self._loop.call_soon(self._turn)
        else:
            self._deadline.reschedule(self._loop.time())

    def cancel(self) -> None:
        self._next.cancel()


def _client(url: str, settings: RedisSettings) -> tuple[Redis, Sentinel | None]:
    parts = urlsplit(url)
    options = _options(parts.scheme, settings.tls_ca, settings.password_file) | {"username": parts.username}
    if _SENTINEL not in parts.scheme:
        tls = options.pop("ssl")
        pool = BlockingConnectionPool(
            _CONNECTIONS,
            _TIMEOUT,
            SSLConnection if tls else Connection,
            host=parts.hostname,
            port=parts.port or _PORT,
            db=int(parts.path.strip("/") or 0),
            **options,
        )
        return Redis.from_pool(pool), None
    service, _, database = parts.path.strip("/").partition("/")
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        [_split(host) for host in parts.netloc.rpartition("@")[2].split(",")],
        sentinel_kwargs=_options(parts.scheme, settings.tls_ca, settings.sentinel_password_file),
        **options,
    )
    return sentinel.master_for(service, db=int(database or 0)), sentinel


def _options(scheme: str, tls_ca: Path | None, password_file: Path | None) -> dict[str, Any]:
    options: dict[str, Any] = {
        "ssl": scheme.startswith("rediss"),
        # By default ten tries are made, and a server that is gone costs a request four seconds.
        "retry": Retry(NoBackoff(), 0),
        "health_check_interval": _HEALTH_CHECK_INTERVAL,
        # The one deadline is that of `settle`; a second one in the client would only cost.
        "socket_timeout": None,
        "socket_connect_timeout": None,
        "protocol": 2,
        "password": file_bytes(password_file).decode(errors="replace").strip() if password_file else None,
    }
    if options["ssl"] and tls_ca:
        options["ssl_ca_data"] = file_bytes(tls_ca).decode(errors="replace")
    return options


def _split(host: str) -> tuple[str, int]:
    name, _, port = host.partition(":")
    return name, int(port or _SENTINEL_PORT)
