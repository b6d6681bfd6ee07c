"""The keys of an issuer's entry that Fulcio does not have: stricter rules for its tokens, and how it is reached.

Left out, each is as permissive as Fulcio.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from pydantic import Field

from ca.documents import Settings, file_bytes
from ca.errors import ConfigurationError
from ca.oidc.addresses import Scope, literal
from ca.oidc.fetch import FetchError
from ca.oidc.in_cluster import POD, in_cluster
from ca.oidc.jwks import parse_keys
from ca.oidc.jws import ALGORITHMS
from ca.oidc.loopback import is_loopback
from ca.oidc.model import Reach, TokenRules

_DAY: Final = 86400


class StricterEntry(Settings):
    """What `oidc-issuers` and `meta-issuers` take beside Fulcio's keys."""

    enabled: bool = True
    algorithms: tuple[str, ...] = ()
    audiences: tuple[str, ...] = ()
    sole_audience: bool = False
    azp: tuple[str, ...] = ()
    max_token_age: int | None = Field(default=None, ge=1, le=366 * _DAY)
    """Seconds."""
    network: Literal["public", "private"] = "public"
    jwks_hosts: tuple[str, ...] = ()
    jwks_file: str = ""
    ca_cert_file: str = ""
    bearer_token_file: str = ""
    proxy: str = Field(default="", repr=False)
    stale_if_error: int = Field(default=3600, ge=0, le=_DAY)
    """Seconds."""

    def rules(self) -> TokenRules:
        return TokenRules(
            algorithms=frozenset(self.algorithms) or None,
            audiences=frozenset(self.audiences),
            sole_audience=self.sole_audience,
            authorized_parties=frozenset(self.azp) or None,
            max_age=None if self.max_token_age is None else timedelta(seconds=self.max_token_age),
        )

    def reach(self, url: str, *, wildcard: bool, ca_cert: str, kind: str, directory: Path, pod: Path = POD) -> Reach:
        """`directory` is what files are relative to. For the issuer of the cluster that we run in, what pods have."""
        scope = Scope.PRIVATE if self.network == "private" else Scope.LOOPBACK if is_loopback(url) else Scope.PUBLIC
        # Whoever names an issuer of a pattern, or of a private network, does not get to name other hosts there.
        any_host = scope is Scope.PUBLIC and not (wildcard or self.jwks_hosts or self.bearer_token_file)
        reach = Reach(
            scope=scope,
            key_hosts=None if any_host else frozenset(self.jwks_hosts),
            ca_certificate=ca_cert or None,
            ca_certificate_file=_path(directory, self.ca_cert_file),
            bearer_token_file=_path(directory, self.bearer_token_file),
            proxy=self.proxy or None,
            jwks_file=_path(directory, self.jwks_file),
            stale_if_error=self.stale_if_error,
        )
        return in_cluster(reach, url, pod) if kind == "kubernetes" and not wildcard else reach


def stricter_problems(url: str, entry: StricterEntry, directory: Path, *, wildcard: bool) -> Iterator[tuple[str, str]]:
    """What is wrong with these keys, by key; an empty key means the URL itself."""
    if unknown := [name for name in entry.algorithms if name not in ALGORITHMS]:
        yield "algorithms", f"{', '.join(unknown)} is none of {', '.join(ALGORITHMS)}"
    address = literal(urlsplit(url).hostname or "") if "*" not in url else None
    scope = entry.reach(url, wildcard=wildcard, ca_cert="", kind="", directory=directory).scope
    if address and not scope.permits(address):
        yield "", f"{address} is not an address of the internet; if it is one of yours, say network: private"
    if entry.proxy and not _is_proxy(entry.proxy):
        yield "proxy", "expected http://HOST:PORT, with USER:PASSWORD@ before the host if the proxy wants them"
    for host in entry.jwks_hosts:
        if not host.isascii() or host != host.lower() or set(host) & set("/:@ *") or not host:
            yield "jwks-hosts", "expected hosts alone, such as keys.example.org"
    for key in ("jwks_file", "bearer_token_file"):
        if wildcard and getattr(entry, key):
            yield key.replace("_", "-"), "is for one issuer; under meta-issuers anybody's could come to have it"
    if entry.jwks_file:
        yield from _jwks_file_problem(directory / entry.jwks_file)


def _jwks_file_problem(path: Path) -> Iterator[tuple[str, str]]:
    try:
        if not len(parse_keys(str(path), file_bytes(path))):
            yield "jwks-file", f"{path}: it has no key that a token could be signed with"
    except (FetchError, ConfigurationError) as problem:
        yield "jwks-file", problem.detail if isinstance(problem, ConfigurationError) else f"{path}: {problem}"


def _is_proxy(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0 and parts.path in {"", "/"}
        )
    except ValueError:
        return False


def _path(directory: Path, name: str) -> Path | None:
    return directory / name if name else None
