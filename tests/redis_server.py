"""Real Redis servers on loopback, started by tests and ended by them."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from socket import create_connection

import pytest
import redis

from tests.process import free_port

PROGRAM = shutil.which("redis-server") or ""
needs_redis = pytest.mark.skipif(not PROGRAM, reason="redis-server is not installed: apt-get install redis-server")


@dataclass
class RedisServer:
    directory: Path
    port: int
    arguments: tuple[str, ...]
    config: Path | None
    """Of a sentinel."""
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [PROGRAM, *([str(self.config), "--sentinel"] if self.config else ["--save", ""])]
        command += ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.directory)]
        command += ["--logfile", str(self.directory / f"redis-{self.port}.log"), *self.arguments]
        self.process = subprocess.Popen(command)
        for _ in range(500):
            with suppress(OSError), create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.02)
        raise AssertionError((self.directory / f"redis-{self.port}.log").read_text())

    def stop(self) -> None:
        """kill -9."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def pause(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGCONT)

    def command(self, *words: str) -> object:
        with closing(redis.Redis(port=self.port, socket_timeout=5)) as client:
            return client.execute_command(*words)


@contextmanager
def redis_server(
    directory: Path, *arguments: str, port: int | None = None, config: Path | None = None
) -> Iterator[RedisServer]:
    server = RedisServer(directory, port or free_port(), arguments, config)
    try:
        server.start()
        yield server
    finally:
        server.stop()
