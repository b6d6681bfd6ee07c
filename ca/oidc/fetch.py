"""The one place that connects to issuers: bounded GETs of JSON objects."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urljoin, urlsplit

import httpcore

from ca.oidc.addresses import literal
from ca.oidc.dialling import AddressRefused, CheckedBackend, Internet, refusal
from ca.oidc.strict_json import StrictJSONError, decode_object

if TYPE_CHECKING:
    from ca.oidc.model import Reach

_TIMEOUT: Final = 5.0
"""Seconds for one document, from the name's resolution to the last byte, redirects included."""
_MAX_REDIRECTS: Final = 3
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_HEADERS: Final = (("Accept", "application/json"), ("Accept-Encoding", "identity"), ("User-Agent", "dayfly"))
_MAX_BEARER_TOKEN: Final = 64 << 10
_MAX_AGE: Final = re.compile(r"(?:^|[\s,])max-age=\"?([0-9]{1,10})")
_NOT_CACHEABLE: Final = re.compile(r"(?:^|[\s,])no-(?:cache|store)(?:[\s,=]|$)")


class FetchError(Exception):
    """Public: why a document could not be had."""


class FetchForbiddenError(FetchError):
    """A rule of ours forbids it: nothing was sent."""


@dataclass(frozen=True, slots=True)
class Fetched:
    content: dict[str, Any]
    max_age: int | None
    """Seconds that the answer's Cache-Control allows; None where it says nothing."""
    date: str = ""
    """The answer's Date (RFC 9110 §6.6.1), as it is."""


class Fetcher:
    """GETs the documents of one issuer. Takes neither proxies nor credentials from the environment."""

    def __init__(self, reach: Reach, internet: Internet, tls: ssl.SSLContext) -> None:
        """`tls` is the `tls_context` of the same reach."""
        self._reach = reach
        self._pool: httpcore.AsyncConnectionPool
        if reach.proxy:
            self._pool = _through_proxy(reach.proxy, tls)
        else:
            backend = CheckedBackend(reach.scope, internet)
            self._pool = httpcore.AsyncConnectionPool(tls, network_backend=backend)

    async def get(self, url: str, limit: int) -> Fetched:
        """The JSON object at `url`, of at most `limit` bytes. Raises FetchError."""
        try:
            async with asyncio.timeout(_TIMEOUT):
                return await self._get(url, limit)
        except AddressRefused as error:
            raise FetchForbiddenError(str(error)) from error
        except (TimeoutError, httpcore.TimeoutException) as error:
            raise FetchError(f"no answer within {_TIMEOUT:.0f} seconds") from error
        except _NETWORK_ERRORS as error:
            raise FetchError(_explain(error)) from error

    async def aclose(self) -> None:
        """Close the connection, which serves from the discovery document to the keys."""
        await self._pool.aclose()

    async def _get(self, url: str, limit: int) -> Fetched:
        for _ in range(_MAX_REDIRECTS + 1):
            self._check_literal(url)
            async with self._pool.stream("GET", url, headers=[*_HEADERS, *self._authorization()]) as response:
                if response.status not in _REDIRECTS:
                    return await _read(response, limit)
                url = _redirected(url, _header(response, b"location"))
        raise FetchError(f"more than {_MAX_REDIRECTS} redirects")

    def _check_literal(self, url: str) -> None:
        """Through a proxy, names are the proxy's to resolve; an address in the URL is still ours to refuse."""
        address = literal(urlsplit(url).hostname or "")
        if address and not self._reach.scope.permits(address):
            raise AddressRefused(refusal(self._reach.scope))

    def _authorization(self) -> Iterator[tuple[str, str]]:
        if path := self._reach.bearer_token_file:
            try:
                # Read for every use, since Kubernetes replaces such tokens long before they expire.
                with path.open("rb") as file:
                    token = file.read(_MAX_BEARER_TOKEN).decode("ascii").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise FetchForbiddenError("the token in bearer-token-file, which it wants, cannot be read") from error
            yield "Authorization", f"Bearer {token}"


_NETWORK_ERRORS: Final = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
    OSError,
    ValueError,  # of a URL that is none, UnicodeError of a name that is no IDNA among them
)


def tls_context(reach: Reach) -> ssl.SSLContext:
    """The system's roots and the reach's own. Takes milliseconds. Raises FetchError where a file cannot be used."""
    tls = ssl.create_default_context()
    try:
        if reach.ca_certificate:
            tls.load_verify_locations(cadata=reach.ca_certificate)
        if reach.ca_certificate_file:
            tls.load_verify_locations(cafile=reach.ca_certificate_file)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise FetchForbiddenError("the certificates in ca-cert-file, which it needs, cannot be read") from error
    return tls


def _through_proxy(url: str, tls: ssl.SSLContext) -> httpcore.AsyncHTTPProxy:
    parts = urlsplit(url)
    login = (parts.username or "", parts.password or "") if parts.username is not None else None
    proxy = httpcore.URL(
        scheme=parts.scheme,
        host=parts.hostname or "",
        port=parts.port or (443 if parts.scheme == "https" else 80),
        target="/",
    )
    return httpcore.AsyncHTTPProxy(
        proxy,
        proxy_auth=login,
        ssl_context=tls,
        proxy_ssl_context=ssl.create_default_context() if parts.scheme == "https" else None,
    )


def _redirected(url: str, location: str) -> str:
    """Where a redirect leads, if that is the same origin: another one has not been trusted by anybody."""
    target = urljoin(url, location)
    if urlsplit(target)[:2] != urlsplit(url)[:2]:
        raise FetchForbiddenError("a redirect to another host, which is not followed")
    return target


async def _read(response: httpcore.Response, limit: int) -> Fetched:
    if response.status != 200:
        raise FetchError(f"status {response.status} instead of 200")
    if _header(response, b"content-encoding", "identity").lower() != "identity":
        raise FetchError("a compressed answer, which was not asked for")
    content = bytearray()
    async for chunk in response.aiter_stream():
        content += chunk
        if len(content) > limit:
            raise FetchError(f"an answer of more than {limit >> 10} KiB")
    try:
        max_age, date = _max_age(_header(response, b"cache-control")), _header(response, b"date")
        return Fetched(decode_object(bytes(content)), max_age, date)
    except StrictJSONError as error:
        raise FetchError(f"an answer that is refused: {error}") from error


def _header(response: httpcore.Response, name: bytes, default: str = "") -> str:
    """All fields of a name, joined (RFC 9110 §5.3)."""
    values = [value for field, value in response.headers if field.lower() == name]
    return b", ".join(values).decode("latin-1") if values else default


def _max_age(cache_control: str) -> int | None:
    """RFC 9111 §5.2.2."""
    directives = cache_control.lower()
    if _NOT_CACHEABLE.search(directives):
        return 0
    match = _MAX_AGE.search(directives)
    return int(match.group(1)) if match else None


def _explain(error: Exception) -> str:
    for cause in _causes(error):
        match cause:
            case socket.gaierror():
                return "the host's name does not resolve"
            case ssl.SSLCertVerificationError():
                return (
                    f"the host's TLS certificate is not trusted: {cause.verify_message}; a private CA goes in ca-cert"
                )
            case ssl.SSLError():
                return "the TLS handshake failed"
    match error:
        case httpcore.ConnectError():
            return "the connection failed"
        case httpcore.ProxyError():
            return "the proxy refused to connect"
        case httpcore.UnsupportedProtocol() | ValueError():
            return "not a URL that can be fetched"
    return "the connection broke or the answer is not HTTP"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error:
        yield error
        error = error.__cause__ or error.__context__
