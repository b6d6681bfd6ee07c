"""Row 22: abuse of HTTP.

Expected: slow connections are closed within 15 seconds and others are served meanwhile; a huge or endless body costs
less than 20 MB; SIGTERM under load loses nothing that reached the log; a worker that dies is replaced. What single
messages may look like is in tests/http.
"""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from socket import create_connection, socket

import httpx
import pytest

from ca.ct.embedded.directory import LogDirectory
from ca.main import clock
from tests.api.server import body
from tests.ct.embedded.oracle import check_log
from tests.faults.conftest import ServerFile
from tests.http.server import rest
from tests.oidc.provider import Provider
from tests.process import Served, free_port, serving

HOST = b"Host: localhost\r\n"
ENDLESS = b"POST /api/v2/signingCert HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
HUGE = b"POST /api/v2/signingCert HTTP/1.1\r\n" + HOST + b"Content-Length: 209715200\r\n\r\n"
SLOW = {
    "headers": b"POST /api/v2/signingCert HTTP/1.1\r\n" + HOST,
    "body": b"POST /api/v2/signingCert HTTP/1.1\r\n" + HOST + b"Content-Length: 1000\r\n\r\n{",
    "idle": b"",
}


def connect(url: str) -> socket:
    host, port = url.removeprefix("http://").split(":")
    return create_connection((host, int(port)), timeout=20)


def resident(pid: int, figure: str = "VmRSS") -> int:
    """Bytes: VmRSS is now, VmHWM the most there ever was."""
    found = re.search(rf"{figure}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


def token(provider: Provider) -> str:
    return provider.token(datetime.now(UTC), email="ada@example.com", email_verified=True)


def test_slow_connections_are_closed_within_fifteen_seconds_and_others_are_served(
    server_file: ServerFile, tmp_path: Path, provider: Provider
) -> None:
    listen = f"127.0.0.1:{free_port()}"
    words = ["serve", "--config", server_file(), "--listen", listen]
    with serving(tmp_path, *words, url=f"http://{listen}") as served, ExitStack() as stack:
        started = time.monotonic()
        slow = {kind: [stack.enter_context(connect(served.url)) for _ in range(50)] for kind in SLOW}
        for kind, clients in slow.items():
            for client in clients:
                client.sendall(SLOW[kind])
        while time.monotonic() < started + 5:
            asked = httpx.post(f"{served.url}/api/v2/signingCert", json=body(token(provider)), timeout=10)
            assert asked.status_code == 200
            time.sleep(0.5)
        expected = {"headers": b"HTTP/1.1 408", "body": b"HTTP/1.1 408", "idle": b""}
        for kind, clients in slow.items():
            assert {rest(client)[:12] for client in clients} == {expected[kind]}
        assert time.monotonic() - started < 15


@pytest.mark.parametrize(("head", "part"), [(HUGE, b"x" * 65_536), (ENDLESS, b"10000\r\n" + b"x" * 65_536 + b"\r\n")])
def test_a_body_beyond_all_bounds_costs_little(
    server_file: ServerFile, tmp_path: Path, head: bytes, part: bytes
) -> None:
    listen = f"127.0.0.1:{free_port()}"
    with serving(tmp_path, "serve", "--config", server_file(), "--listen", listen, url=f"http://{listen}") as served:
        before = resident(served.process.pid)
        with connect(served.url) as client:
            client.sendall(head)
            sent = pour(client, part, 200 << 20)
        assert sent < 200 << 20, "nobody took all of it"
        assert resident(served.process.pid, "VmHWM") - before < 20 << 20
        assert httpx.get(f"{served.url}/healthz").status_code == 200


def pour(client: socket, part: bytes, most: int) -> int:
    """Bytes sent until the server closed."""
    sent = 0
    try:
        while sent < most:
            client.sendall(part)
            sent += len(part)
            time.sleep(0.001)
    except ConnectionError:
        pass
    return sent


@pytest.mark.parametrize("workers", [1, 2])
def test_a_signal_to_stop_loses_nothing_that_reached_the_log(
    server_file: ServerFile, tmp_path: Path, provider: Provider, workers: int
) -> None:
    LogDirectory(tmp_path / "log").create("log.example.com/2026", clock())
    config = server_file(ct={"log": "embedded"}, data=str(tmp_path / "log"), workers=workers)
    listen = f"127.0.0.1:{free_port()}"
    request, counts = body(token(provider)), [0] * 8
    with serving(tmp_path, "serve", "--config", config, "--listen", listen, url=f"http://{listen}") as served:

        def sign(number: int) -> None:
            with httpx.Client(timeout=20) as client:
                while True:
                    try:
                        answer = client.post(f"{served.url}/api/v2/signingCert", json=request)
                    except httpx.TransportError:
                        return
                    assert answer.status_code == 200, answer.text
                    counts[number] += 1

        clients = [threading.Thread(target=sign, args=(number,)) for number in range(len(counts))]
        for client in clients:
            client.start()
        until(lambda: sum(counts) > 40)
        served.process.terminate()
        assert served.process.wait(timeout=30) in {0, -signal.SIGTERM}
        for client in clients:
            client.join()
    assert len(check_log(tmp_path / "log").leaves) == sum(counts) > 40


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)


def test_load_balancers_are_told_before_the_server_stops(server_file: ServerFile, tmp_path: Path) -> None:
    listen = f"127.0.0.1:{free_port()}"
    config = server_file(http={"drain-delay": 3})
    with serving(tmp_path, "serve", "--config", config, "--listen", listen, url=f"http://{listen}") as served:
        assert httpx.get(f"{served.url}/readyz").status_code == 200
        told = time.monotonic()
        served.process.terminate()
        until(lambda: httpx.get(f"{served.url}/readyz").status_code == 503)
        assert httpx.get(f"{served.url}/healthz").status_code == 200
        served.process.wait(timeout=20)
        assert time.monotonic() - told > 2.5


def test_a_worker_that_dies_is_replaced(server_file: ServerFile, tmp_path: Path) -> None:
    listen = f"127.0.0.1:{free_port()}"
    config = server_file(workers=2)
    with serving(tmp_path, "serve", "--config", config, "--listen", listen, url=f"http://{listen}") as served:
        until(lambda: starts(served) == 2)
        os.kill(served.workers()[0], signal.SIGKILL)
        until(lambda: starts(served) == 3)
        assert len(served.workers()) == 2
        assert httpx.get(f"{served.url}/healthz").status_code == 200


def starts(served: Served) -> int:
    return sum(record["event"] == "Application startup complete." for record in served.records())
