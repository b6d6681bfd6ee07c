"""The servers under measurement, as the processes that they are in production."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.bench.world import World

TOOLS = Path.home() / ".cache" / "dayfly" / "tools" / "bin"
DAYFLY = Path(sys.executable).with_name("dayfly")
TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Server:
    url: str
    pid: int

    def cpu(self) -> float:
        """Seconds of CPU so far, all threads, user and system (proc(5))."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def memory(self) -> float:
        """Resident MiB now."""
        return self._status("VmRSS") / 1024

    def _status(self, field: str) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1])
        raise LookupError(field)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def find_fulcio() -> Path | None:
    found = shutil.which("fulcio", path=f"{os.environ.get('PATH', '')}{os.pathsep}{TOOLS}")
    return Path(found) if found else None


@contextmanager
def dayfly(world: World, directory: Path, profile: Path | None = None) -> Iterator[Server]:
    """One worker without a log; under cProfile if `profile` names a file for its results."""
    port = free_port()
    command = [sys.executable, "-m", "cProfile", "-o", str(profile)] if profile else [sys.executable]
    command += [str(DAYFLY), "serve", "--listen", f"127.0.0.1:{port}", "--workers", "1"]
    command += ["--identity-config", str(world.identity_config)]
    command += ["--ca-cert", str(world.chain), "--ca-key", str(world.key)]
    command += ["--ct-log", "none", "--data", str(directory), "--metrics-listen", "none"]
    with _running(command, f"http://127.0.0.1:{port}", directory / "dayfly.log") as server:
        yield server


@contextmanager
def fulcio(program: Path, world: World, directory: Path) -> Iterator[Server]:
    port, grpc, metrics = free_port(), free_port(), free_port()
    command = [str(program), "serve", "--ca=fileca", f"--fileca-cert={world.chain}", f"--fileca-key={world.key}"]
    command += ["--fileca-key-passwd=unused", "--ct-log-url=", f"--config-path={world.identity_config}"]
    command += ["--host=127.0.0.1", f"--port={port}", "--grpc-host=127.0.0.1", f"--grpc-port={grpc}"]
    command += [f"--metrics-port={metrics}", "--log_type=prod"]
    with _running(command, f"http://127.0.0.1:{port}", directory / "fulcio.log") as server:
        yield server


@contextmanager
def _running(command: list[str], url: str, log: Path) -> Iterator[Server]:
    """Log records go to a file, as in production."""
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            _wait_until_healthy(process, url, log)
            yield Server(url, process.pid)
        finally:
            # uvicorn ends by the signal that stopped it; an interrupt lets a profile be written before.
            process.send_signal(signal.SIGINT)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_until_healthy(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/healthz", timeout=1, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise RuntimeError(f"{process.args[0]} did not come up at {url}:\n{log.read_text()[-2000:]}")  # type: ignore[index]
