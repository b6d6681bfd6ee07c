"""Connections that go where they were checked to go: a name is resolved once, and that address is dialled."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import httpcore

from ca.oidc.addresses import IPAddress, Scope, literal

_ATTEMPTS: Final = 4
"""Addresses of a name that are tried."""
_ATTEMPT_SECONDS: Final = 2.0


class AddressRefused(Exception):
    """Public: an address that an issuer is not reached at. Nothing was sent there."""


class Internet(Protocol):
    """What a connection needs of the world."""

    async def resolve(self, host: str, port: int) -> Sequence[IPAddress]:
        """The addresses of a name, the best first. Raises OSError."""

    async def dial(self, address: IPAddress, port: int, seconds: float) -> httpcore.AsyncNetworkStream:
        """A TCP connection to exactly that address. Raises httpcore.NetworkError or httpcore.TimeoutException."""


class SystemInternet:
    """The system's resolver and sockets."""

    def __init__(self) -> None:
        self._backend = httpcore.AnyIOBackend()

    async def resolve(self, host: str, port: int) -> Sequence[IPAddress]:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = (literal(str(socket_address[0])) for *_, socket_address in found)
        return tuple(address for address in addresses if address is not None)

    async def dial(self, address: IPAddress, port: int, seconds: float) -> httpcore.AsyncNetworkStream:
        return await self._backend.connect_tcp(str(address), port, timeout=seconds)


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """httpcore's way to the network, through addresses of one scope alone.

    TLS and the Host header keep the URL's name, for httpcore takes them from the request. Checking a name and
    letting a library resolve it again would be two answers of a server that may lie the second time.
    """

    def __init__(self, scope: Scope, internet: Internet) -> None:
        self._scope = scope
        self._internet = internet

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature is httpcore's; Fetcher bounds the whole
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        del timeout, local_address, socket_options
        failure: Exception | None = None
        for address in (await self._addresses(host, port))[:_ATTEMPTS]:
            try:
                return await self._internet.dial(address, port, _ATTEMPT_SECONDS)
            except (httpcore.NetworkError, httpcore.TimeoutException) as error:
                failure = failure or error
        raise failure or httpcore.ConnectError("no address")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def _addresses(self, host: str, port: int) -> Sequence[IPAddress]:
        written = literal(host)
        found = [written] if written else await self._internet.resolve(host, port)
        permitted = [address for address in found if self._scope.permits(address)]
        if found and not permitted:
            raise AddressRefused(refusal(self._scope))
        return permitted


def refusal(scope: Scope) -> str:
    """Why an address is refused; not which, for it may tell of networks that are nobody's business."""
    match scope:
        case Scope.PUBLIC:
            return "the host's address is not one of the internet; if it is yours, say network: private for this issuer"
        case Scope.LOOPBACK:
            return "the host's address is not this machine's, which the issuer's URL names"
        case Scope.PRIVATE:
            return "the host's address is link-local, multicast or reserved, which no issuer has"
