"""The proxy does what it says, so that what fails behind it fails for the reason that the test names."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.faults.proxy import NONE, Fault, Proxy


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    def answer(connection: socket.socket) -> None:
        with connection:
            try:
                while received := connection.recv(65536):
                    connection.sendall(received)
            except OSError:
                pass

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()
    listener.close()


@pytest.fixture
def proxy(echo: tuple[str, int]) -> Iterator[Proxy]:
    with Proxy(*echo) as running:
        yield running


def exchange(proxy: Proxy, sent: bytes, timeout: float = 5) -> bytes:
    """All that comes back until the connection ends or as much has come as was sent."""
    with socket.create_connection((proxy.host, proxy.port), timeout) as client:
        client.settimeout(timeout)
        client.sendall(sent)
        received = b""
        while len(received) < len(sent) and (chunk := client.recv(65536)):
            received += chunk
        return received


def test_without_a_fault_everything_passes(proxy: Proxy) -> None:
    assert exchange(proxy, b"x" * 300_000) == b"x" * 300_000


@pytest.mark.parametrize("limit", [0, 1, 7])
def test_an_answer_is_cut_after_so_many_bytes(proxy: Proxy, limit: int) -> None:
    proxy.fault = Fault(answer_bytes=limit)
    assert exchange(proxy, b"0123456789") == b"0123456789"[:limit]


def test_a_request_is_cut_after_so_many_bytes(proxy: Proxy) -> None:
    proxy.fault = Fault(request_bytes=4)
    assert b"0123456789".startswith(exchange(proxy, b"0123456789"))
    assert len(exchange(proxy, b"0123456789")) <= 4


def test_a_reset_is_no_orderly_end(proxy: Proxy) -> None:
    proxy.fault = Fault(reset=True)
    with pytest.raises(ConnectionResetError):
        exchange(proxy, b"0123456789")


def test_a_blackhole_swallows_until_it_is_lifted(proxy: Proxy) -> None:
    proxy.fault = Fault(blackhole=True)
    with pytest.raises(TimeoutError):
        exchange(proxy, b"x", timeout=0.3)
    proxy.fault = NONE
    assert exchange(proxy, b"x") == b"x"


def test_a_drip_comes_byte_by_byte(proxy: Proxy) -> None:
    proxy.fault = Fault(drip=0.01)
    assert exchange(proxy, b"0123456789") == b"0123456789"


def test_dropped_connections_end_and_new_ones_are_taken(proxy: Proxy) -> None:
    with socket.create_connection((proxy.host, proxy.port), 5) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        proxy.drop()
        assert client.recv(1) == b""
    assert exchange(proxy, b"x") == b"x"
    assert proxy.connections == 2
