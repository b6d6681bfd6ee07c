"""Submission to an RFC 6962 log over HTTP. Fails closed: a verified SCT or an error, within the budget."""

from __future__ import annotations

import asyncio
import re
import secrets
import ssl
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import aiohttp
import httpx
import msgspec
import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from httpx_aiohttp import AiohttpTransport

from ca.ct.rfc6962 import SCT
from ca.ct.verify import LogKey, verify
from ca.errors import ConfigurationError, LogRefused, LogUnavailable, SCTInvalid

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from ca.ct.model import Precertificate

MAX_ANSWER = 64 * 1024
"""Bytes. An SCT in JSON has a few hundred."""
MAX_ROOTS = 4 << 20
"""Bytes. Logs of the web's CAs list hundreds of roots."""
MAX_ROOTS_WAIT = 2.0
"""Seconds within which a log that is well names its roots."""
DEFAULT_RETRY_AFTER = 5
MAX_RETRY_AFTER = 300
"""Seconds that we tell our client where the log gave no advice, and at most."""

_TRANSIENT = frozenset({408, 429, 499})
"""Statuses below 500 that may pass: time-outs and rate limits. Any other 3xx and 4xx is a decision."""
_NETWORK_ERRORS = (httpx.HTTPError, aiohttp.ClientError, OSError)
"""The transport lets some of aiohttp's through; OSError is also what asyncio.timeout raises."""
_HEADERS = {"Content-Type": "application/json", "Accept-Encoding": "identity", "User-Agent": "dayfly"}


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one submission may take, in seconds; the defaults end before clients and proxies give up."""

    total: float = 8.0
    attempt: float = 4.0
    """So that a connection which died silently leaves time for a fresh one."""
    attempts: int = 3
    backoff: tuple[float, float] = (0.1, 0.8)
    """A pause is drawn from this range, so that replicas do not return in step."""

    def pause(self) -> float:
        low, high = self.backoff
        return low + (high - low) * secrets.randbelow(1001) / 1000


DEFAULT_PATIENCE = Patience()


@dataclass(frozen=True, slots=True)
class _Trouble:
    """An attempt that failed in a way that may pass."""

    detail: str
    cause: Exception
    retry_after: int | None = None
    """Seconds; the log's own advice."""


class _Roots(msgspec.Struct):
    """The answer to get-roots; bytes are base64."""

    certificates: list[bytes]


class RemoteLog:
    """A `Log` that speaks RFC 6962: CTFE, TesseraCT, or anything with `ct/v1/add-pre-chain`."""

    def __init__(
        self, url: str, key: LogKey, *, tls_ca: str | None = None, patience: Patience = DEFAULT_PATIENCE
    ) -> None:
        """`url` is the submission prefix without a trailing slash; `tls_ca` PEM roots to trust for it
        beside the system's.

        Raises ConfigurationError.
        """
        self._add_pre_chain = _url(url, "add-pre-chain")
        self._get_roots = _url(url, "get-roots")
        self._key = key
        self._patience = patience
        # No proxy and no credentials from the environment; redirects and decompression would let a log, or
        # whoever answers in its place, choose what we send where and how much we read.
        self._http = httpx.AsyncClient(
            transport=AiohttpTransport(verify=_tls(tls_ca), trust_env=False),
            trust_env=False,
            follow_redirects=False,
            timeout=None,  # noqa: S113 - every use stands under asyncio.timeout, which covers the whole exchange
        )

    @property
    def log_id(self) -> bytes:
        return self._key.log_id

    async def add_pre_chain(self, precertificate: Precertificate, now: datetime) -> SCT:
        """As `Log.add_pre_chain`."""
        body = msgspec.json.encode({"chain": [precertificate.der, *precertificate.chain]})
        sct = SCT.from_add_response(await self._submit(body, now))
        verify(sct, precertificate, self._key, now)
        return sct

    async def check(self, now: datetime) -> None:  # noqa: ARG002 - the contract's; other logs compare it
        """As `Log.check`, by asking for the roots: logs of every kind serve these (RFC 6962 §4.7)."""
        try:
            async with (
                asyncio.timeout(MAX_ROOTS_WAIT),
                self._http.stream("GET", self._get_roots, headers=_HEADERS) as answer,
            ):
                status = answer.status_code
        except _NETWORK_ERRORS as problem:
            raise LogUnavailable("the log does not answer", retry_after=DEFAULT_RETRY_AFTER) from problem
        if status != 200:
            raise LogUnavailable(f"the log answered {status} to get-roots", retry_after=DEFAULT_RETRY_AFTER)

    async def roots(self) -> frozenset[bytes]:
        """The roots that it accepts, in DER (RFC 6962 §4.7). Raises LogUnavailable."""
        body = bytearray()
        try:
            async with (
                asyncio.timeout(self._patience.total),
                self._http.stream("GET", self._get_roots, headers=_HEADERS) as answer,
            ):
                async for chunk in answer.aiter_raw():
                    body += chunk
                    if len(body) > MAX_ROOTS:
                        raise LogUnavailable(f"the log's roots are more than {MAX_ROOTS} bytes")
        except _NETWORK_ERRORS as problem:
            raise LogUnavailable("the log does not answer") from problem
        if answer.status_code != 200:
            raise LogUnavailable(f"the log answered {answer.status_code} to get-roots")
        try:
            return frozenset(msgspec.json.decode(body, type=_Roots).certificates)
        except msgspec.DecodeError as problem:
            raise LogUnavailable(f"the log's answer to get-roots cannot be read: {problem}") from problem

    async def aclose(self) -> None:
        await self._http.aclose()

    async def _submit(self, body: bytes, now: datetime) -> bytes:
        """The log's answer to one of at most `attempts` tries with the same `body`."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._patience.total
        attempts_left = self._patience.attempts
        while True:
            result = await self._attempt(body, min(clock() + self._patience.attempt, deadline), now)
            if isinstance(result, bytes):
                return result
            attempts_left -= 1
            pause = max(self._patience.pause(), result.retry_after or 0)
            if not attempts_left or clock() + pause >= deadline:
                advice = min(result.retry_after or DEFAULT_RETRY_AFTER, MAX_RETRY_AFTER)
                raise LogUnavailable(result.detail, retry_after=advice) from result.cause
            await asyncio.sleep(pause)

    async def _attempt(self, body: bytes, until: float, now: datetime) -> bytes | _Trouble:
        try:
            async with (
                asyncio.timeout_at(until),
                self._http.stream("POST", self._add_pre_chain, content=body, headers=_HEADERS) as answer,
            ):
                if answer.status_code == 200:
                    return await _read(answer)
                return await self._not_ok(answer, now)
        except TimeoutError as problem:
            return _Trouble("the log did not answer in time", problem)
        except _NETWORK_ERRORS as problem:
            return _Trouble("the log cannot be reached", problem)

    async def _not_ok(self, answer: httpx.Response, now: datetime) -> _Trouble:
        """Tell what may pass from what will not, which raises LogRefused."""
        status = answer.status_code
        # The log's own words are for our log alone: they are not ours to publish.
        cause = httpx.HTTPStatusError(f"{status}: {await _excerpt(answer)!r}", request=answer.request, response=answer)
        if status in _TRANSIENT or status >= 500:
            retry_after = _retry_after(answer.headers.get("retry-after", ""), now)
            return _Trouble(f"the log answered {status}", cause, retry_after)
        if 300 <= status < 400:
            raise LogRefused(
                f"the log answered {status}, a redirect; its final URL belongs into the configuration"
            ) from cause
        if 200 <= status < 300:
            raise SCTInvalid(f"the log answered {status}; an SCT comes with 200") from cause
        raise LogRefused(
            f"the log answered {status} to add-pre-chain; it has to accept this CA's root, code signing "
            "certificates, and their validity"
        ) from cause


def load_log_key(path: Path) -> LogKey:
    """Read a log's public key from PEM; a kind that some clients refuse is accepted with a warning.

    RFC 6962 §2.1.4 knows P-256, and RSA from 2048 bits. Raises ConfigurationError.
    """
    try:
        pem = path.read_bytes()
    except OSError as problem:
        raise ConfigurationError(f"{path}: cannot read the log's public key: {problem.strerror}") from problem
    if b"PRIVATE KEY" in pem:
        raise ConfigurationError(
            f"{path}:1: holds a private key, which belongs to the log alone; expected the public key, as "
            "openssl pkey -pubout writes it"
        )
    try:
        public_key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as problem:
        raise ConfigurationError(
            f"{path}:1: is not a public key in PEM; expected '-----BEGIN PUBLIC KEY-----' "
            "(openssl pkey -pubin -inform DER writes it from DER, openssl x509 -pubkey from a certificate)"
        ) from problem
    match public_key:
        case EllipticCurvePublicKey(curve=SECP256R1() | SECP384R1()):
            key = LogKey.of(public_key)
        case RSAPublicKey(key_size=bits) if bits >= 2048:
            key = LogKey.of(public_key)
        case _:
            raise ConfigurationError(
                f"{path}:1: clients verify no SCT by this kind of key; expected ECDSA P-256 (RFC 6962, 2.1.4)"
            )
    if key.refused_by:
        structlog.get_logger("ct").warning(
            "log key is not ECDSA P-256", path=str(path), certificates_refused_by=key.refused_by
        )
    return key


def _url(prefix: str, endpoint: str) -> httpx.URL:
    try:
        url = httpx.URL(f"{prefix}/ct/v1/{endpoint}")
    except httpx.InvalidURL as problem:
        raise ConfigurationError(f"the log's URL {prefix!r} is not a URL: {problem}") from problem
    if not url.host or url.scheme not in {"http", "https"} or url.query or url.fragment or url.userinfo:
        raise ConfigurationError(
            f"the log's URL {prefix!r} is not a submission prefix; expected http(s)://HOST[:PORT][/PATH]"
        )
    return url


def _tls(extra_roots: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if extra_roots is not None:
        try:
            context.load_verify_locations(cadata=extra_roots)
        except (ssl.SSLError, ValueError, TypeError) as problem:
            raise ConfigurationError(f"log-tls-ca: not certificates in PEM: {problem}") from problem
    return context


async def _read(answer: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in answer.aiter_raw():
        body += chunk
        if len(body) > MAX_ANSWER:
            raise SCTInvalid(f"the log's answer is longer than {MAX_ANSWER} bytes; an SCT has a few hundred")
    return bytes(body)


async def _excerpt(answer: httpx.Response) -> bytes:
    """The start of an error's body, as far as it comes at once: the status has already decided."""
    try:
        async with asyncio.timeout(0.25):
            async for chunk in answer.aiter_raw():
                return chunk[:300]
    except _NETWORK_ERRORS:
        pass
    return b""


def _retry_after(header: str, now: datetime) -> int | None:
    """Seconds of a Retry-After, which is a number or a date (RFC 9110 §10.2.3); None for anything else."""
    if re.fullmatch(r"[0-9]{1,9}", header):
        return int(header)
    try:
        at = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0, round((at - now).total_seconds()))
