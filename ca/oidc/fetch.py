"""The one place that connects to issuers: bounded GETs of JSON objects."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from ca.oidc.strict_json import StrictJSONError, decode_object

_TIMEOUT: Final = 5.0
"""Seconds for one document, from the name's resolution to the last byte, redirects included."""
_MAX_REDIRECTS: Final = 3
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "dayfly"}
_MAX_AGE: Final = re.compile(r"(?:^|[\s,])max-age=\"?([0-9]{1,10})")
_NOT_CACHEABLE: Final = re.compile(r"(?:^|[\s,])no-(?:cache|store)(?:[\s,=]|$)")


class FetchError(Exception):
    """Public: why a document could not be had."""


@dataclass(frozen=True, slots=True)
class Fetched:
    content: dict[str, Any]
    max_age: int | None
    """Seconds that the answer's Cache-Control allows; None where it says nothing."""


class Fetcher:
    """GETs with one set of trusted roots. Takes neither proxies nor credentials from the environment."""

    def __init__(self, ca_certificate: str | None = None) -> None:
        """`ca_certificate`: PEM, trusted beside the system's roots."""
        tls = ssl.create_default_context()
        if ca_certificate:
            tls.load_verify_locations(cadata=ca_certificate)
        self._client = httpx.AsyncClient(
            verify=tls, trust_env=False, follow_redirects=False, timeout=_TIMEOUT, headers=_HEADERS
        )

    async def get(self, url: str, limit: int) -> Fetched:
        """The JSON object at `url`, of at most `limit` bytes. Raises FetchError."""
        try:
            async with asyncio.timeout(_TIMEOUT):
                return await self._get(url, limit)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise FetchError(f"no answer within {_TIMEOUT:.0f} seconds") from error
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise FetchError(_explain(error)) from error

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _get(self, url: str, limit: int) -> Fetched:
        for _ in range(_MAX_REDIRECTS + 1):
            async with self._client.stream("GET", url) as response:
                if response.status_code not in _REDIRECTS:
                    return await _read(response, limit)
                url = _redirected(response)
        raise FetchError(f"more than {_MAX_REDIRECTS} redirects")


def _redirected(response: httpx.Response) -> str:
    """Where a redirect leads, if that is the same host: another one has not been trusted by anybody."""
    target = response.url.join(response.headers.get("location", ""))
    origin, new_origin = (urlsplit(str(url))[:2] for url in (response.url, target))
    if origin != new_origin:
        raise FetchError("a redirect to another host, which is not followed")
    return str(target)


async def _read(response: httpx.Response, limit: int) -> Fetched:
    if response.status_code != 200:
        raise FetchError(f"status {response.status_code} instead of 200")
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise FetchError("a compressed answer, which was not asked for")
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > limit:
            raise FetchError(f"an answer of more than {limit >> 10} KiB")
    try:
        return Fetched(decode_object(bytes(content)), _max_age(response.headers.get("cache-control", "")))
    except StrictJSONError as error:
        raise FetchError(f"an answer that is refused: {error}") from error


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
        case httpx.ConnectError():
            return "the connection failed"
        case httpx.UnsupportedProtocol() | httpx.InvalidURL() | UnicodeError():  # of a name that is no IDNA
            return "not a URL that can be fetched"
    return "the connection broke or the answer is not HTTP"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error:
        yield error
        error = error.__cause__ or error.__context__
