"""gRPC of `dayfly serve`: several workers at one address, the signal to stop, and starts that are refused."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import grpc
import pytest

from ca.ct.embedded.directory import LogDirectory
from ca.main import clock
from tests.api.server import body
from tests.ct.embedded.oracle import check_log
from tests.faults.conftest import ServerFile, provider, server_file, shared_provider
from tests.faults.test_row_22_http_abuse import token, until
from tests.http.test_tls import write
from tests.oidc.provider import Provider
from tests.process import DAYFLY, command, dayfly, free_port, serving
from tests.rpc.client import connected

__all__ = ["provider", "server_file", "shared_provider"]
TURNED_AWAY = {grpc.StatusCode.UNAVAILABLE.value[0], grpc.StatusCode.CANCELLED.value[0]}
"""By a server that stops: on a new connection, and on one whose end the client has not seen yet."""


def addresses() -> tuple[str, str]:
    return f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_signal_to_stop_loses_no_call_that_reached_the_log(
    server_file: ServerFile, tmp_path: Path, provider: Provider, workers: int
) -> None:
    LogDirectory(tmp_path / "log").create("log.example.com/2026", clock())
    config = server_file(ct={"log": "embedded"}, data=str(tmp_path / "log"), workers=workers)
    http, rpc = addresses()
    request, counts = body(token(provider)), [0] * 8
    words = ["serve", "--config", config, "--listen", http, "--grpc-listen", rpc]
    with serving(tmp_path, *words, url=f"http://{http}") as served:
        until(lambda: sum(record.get("protocol") == "gRPC" for record in served.records()) == workers)

        def sign(number: int) -> None:
            with connected(rpc) as client:
                while (reply := client.sign(request)).code == 0:
                    counts[number] += 1
                assert reply.code in TURNED_AWAY, reply

        clients = [threading.Thread(target=sign, args=(number,)) for number in range(len(counts))]
        for client in clients:
            client.start()
        until(lambda: sum(counts) > 40)
        stopped = time.monotonic()
        served.process.terminate()
        assert served.process.wait(timeout=30) in {0, -signal.SIGTERM}
        assert time.monotonic() - stopped < 25, "less than the grace: nobody had to be cut off"
        for client in clients:
            client.join()
    assert len(check_log(tmp_path / "log").leaves) == sum(counts) > 40


def test_calls_are_taken_until_http_stops_as_well(server_file: ServerFile, tmp_path: Path) -> None:
    http, rpc = addresses()
    config = server_file(http={"drain-delay": 2})
    words = ["serve", "--config", config, "--listen", http, "--grpc-listen", rpc]
    with serving(tmp_path, *words, url=f"http://{http}") as served, connected(rpc) as client:
        assert client.health().reply == {"status": "SERVING"}
        served.process.terminate()
        until(lambda: client.health().reply == {"status": "NOT_SERVING"})
        assert client.trust_bundle().code == 0
        served.process.wait(timeout=20)


def test_an_address_that_another_server_has_is_refused(server_file: ServerFile, tmp_path: Path) -> None:
    http, rpc = addresses()
    config = server_file()
    with serving(tmp_path, "serve", "--config", config, "--listen", http, "--grpc-listen", rpc, url=f"http://{http}"):
        second = dayfly("serve", "--config", config, "--listen", f"127.0.0.1:{free_port()}", "--grpc-listen", rpc)
    assert second.returncode == 78
    assert f"--grpc-listen: cannot listen on {rpc}" in second.stderr


@pytest.mark.parametrize("listen", ["5554", "nowhere", "127.0.0.1:99999", ":5554"])
def test_an_address_that_is_none_is_refused(server_file: ServerFile, listen: str) -> None:
    refused = command("config", "check", "--config", server_file(grpc={"listen": listen}))
    assert refused.exit_code == 78
    assert "grpc.listen: " in refused.output + refused.stderr


def test_a_pair_that_cannot_be_served_stops_the_start(server_file: ServerFile, tmp_path: Path) -> None:
    pair = write(tmp_path)
    pair.key.write_text("broken")
    config = server_file(grpc={"listen": "127.0.0.1:0", **pair.settings})
    refused = command("config", "check", "--config", config)
    assert refused.exit_code == 78
    assert "not a private key in PEM" in refused.output + refused.stderr


def test_without_the_extra_the_start_says_what_to_install(server_file: ServerFile, tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "grpc.py").write_text("raise ImportError('not installed')")
    root = Path(__file__).parents[2]
    config = server_file(grpc={"listen": "127.0.0.1:0"})
    environment = {**os.environ, "PYTHONPATH": f"{hidden}:{root}", "NO_COLOR": "1", "COLUMNS": "200"}

    words = [*DAYFLY, "config", "check", "--config", config]
    refused = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=50, check=False)
    assert refused.returncode == 78, refused.stderr
    assert "gRPC needs the extra `grpc`: dayfly[grpc]" in refused.stderr
