"""An internet of the test's own: names resolve as it says, and addresses lead to ports of this machine."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, ip_address

import httpcore

from ca.oidc.addresses import IPAddress
from ca.oidc.dialling import SystemInternet


class LocalInternet:
    """`names`: for each the answers in the order in which they are given, the last for ever. `ports`: who listens."""

    def __init__(self, names: dict[str, list[list[str]]], ports: dict[str, int] | None = None) -> None:
        self._names = {name: list(answers) for name, answers in names.items()}
        self._ports = ports or {}
        self._system = SystemInternet()
        self.resolved: list[str] = []
        self.dialled: list[str] = []

    async def resolve(self, host: str, port: int) -> Sequence[IPAddress]:
        self.resolved.append(host)
        answers = self._names.get(host, [[]])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return [ip_address(address) for address in answer]

    async def dial(self, address: IPAddress, port: int, seconds: float) -> httpcore.AsyncNetworkStream:
        self.dialled.append(str(address))
        if str(address) not in self._ports:
            raise httpcore.ConnectError("nobody there")
        return await self._system.dial(IPv4Address("127.0.0.1"), self._ports[str(address)], seconds)
