"""`limits:` in the server's configuration."""

from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from ca.documents import Settings
from ca.limits.rate import Limit, parse_rate

_Networks = TypeVar("_Networks", dict[str, Limit], tuple[str, ...])

AUTO: Final = "auto"
MEMORY: Final = "memory"
SQLITE: Final = "sqlite"
_REDIS: Final = ("redis://", "rediss://")
_SENTINEL: Final = ("redis+sentinel://", "rediss+sentinel://")


class RedisSettings(Settings):
    """What a `redis://` store needs beside its URL."""

    password_file: Path | None = None
    """Of the URL's user, or of Redis' default one."""
    sentinel_password_file: Path | None = None
    tls_ca: Path | None = None
    """PEM; instead of the system's roots where the URL begins with `rediss`."""
    prefix: str = Field(default="dayfly", pattern=r"^[A-Za-z0-9._-]{1,64}$")
    """Of all keys, in braces: `{dayfly}:…`."""


class LimitsSettings(Settings):
    """How much is served to whom, and where that is counted.

    The defaults are beyond what honest clients do: CI runners of a whole company share one address and come at the
    same time, a build of 256 jobs signs 20 artifacts in each, and all clients have one address where a proxy's is
    taken for theirs.
    """

    store: str = AUTO
    """`auto`, `memory`, `sqlite`, `sqlite:FILE`, `redis://[USER@]HOST[:PORT][/DB]` or `rediss://…` with TLS, or
    `redis+sentinel://[USER@]HOST[:PORT],…/SERVICE[/DB]` or `rediss+sentinel://…`."""
    client: Limit = parse_rate("100/s burst 6000")
    """Requests of a client address; of a network /64 for IPv6."""
    failures: Limit = parse_rate("10/s burst 600")
    """Requests of a client address whose token or proof of possession is refused."""
    issuer: Limit = None
    """Certificates for the tokens of an issuer. Off: what is right depends on the size of the instance."""
    identity: Limit = parse_rate("100/s burst 6000")
    """Certificates for a subject of an issuer."""
    clients: dict[str, Limit] = Field(default_factory=dict)
    """Another `client` limit for each address of a network."""
    issuers: dict[str, Limit] = Field(default_factory=dict)
    """Another `issuer` limit, by the URL in tokens or by the pattern of the identity configuration."""
    identities: dict[str, Limit] = Field(default_factory=dict)
    """Another `identity` limit, by the subject of any issuer."""
    exempt: tuple[str, ...] = ()
    """Networks for which neither `client` nor `failures` counts."""
    redis: RedisSettings = RedisSettings()

    @field_validator("store")
    @classmethod
    def _is_known(cls, store: str) -> str:
        if store in {AUTO, MEMORY, SQLITE} or re.fullmatch(r"sqlite:.+", store):
            return store
        if not store.startswith(_REDIS + _SENTINEL):
            raise ValueError(f"write {AUTO}, {MEMORY}, {SQLITE}, {SQLITE}:FILE, redis://… or redis+sentinel://…")
        try:
            return _redis_url(store)
        except ValueError as problem:
            raise ValueError(f"not a URL of Redis: {problem}") from problem

    @field_validator("clients", "exempt")
    @classmethod
    def _are_networks(cls, networks: _Networks) -> _Networks:
        for network in networks:
            try:
                ip_network(network)
            except ValueError as problem:
                raise ValueError(f"{problem}; write a network such as 192.0.2.0/24 or 2001:db8::/48") from problem
        return networks


def _redis_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.password is not None:
        raise ValueError("it holds a password; put that into a file, and the file's name into redis: password-file")
    service, _, database = parts.path.strip("/").partition("/")
    if url.startswith(_SENTINEL):
        hosts = parts.netloc.rpartition("@")[2].split(",")
        if not all(re.fullmatch(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?", host) for host in hosts):
            raise ValueError("write sentinels as HOST[:PORT],HOST[:PORT]")
        if not service:
            raise ValueError("the name of the service that the sentinels watch is missing at its end")
    elif not parts.hostname or (parts.port is not None and not parts.port) or database:
        raise ValueError("write redis://HOST[:PORT][/DB]")
    else:
        database = service
    if not re.fullmatch(r"[0-9]{0,4}", database):
        raise ValueError("the database is a number")
    if parts.query or parts.fragment:
        raise ValueError("it has no query and no fragment")
    return url
