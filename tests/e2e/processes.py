"""Child processes: started on free ports of loopback, awaited, and ended by their own process id."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM, Signals

import httpx
import pytest


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@dataclass
class Child(AbstractContextManager["Child"]):
    """One process with its output in a file. Leaving the context ends it."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    end_signal: Signals = SIGTERM

    @classmethod
    def start(
        cls, name: str, command: list[str | Path], directory: Path, *, end_signal: Signals = SIGTERM, **popen: object
    ) -> Child:
        log = directory / f"{name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=output, stderr=output, **popen
            )
        return cls(name, process, log, end_signal)

    def wait_until(self, ready: Callable[[], bool], seconds: float = 30) -> Child:
        deadline = time.monotonic() + seconds
        while not ready():
            if self.process.poll() is not None:
                pytest.fail(f"{self.name} ended with {self.process.returncode}:\n{self.tail()}")
            if time.monotonic() > deadline:
                self.end()
                pytest.fail(f"{self.name} was not ready after {seconds} s:\n{self.tail()}")
            time.sleep(0.05)
        return self

    def wait_for_http(self, url: str, seconds: float = 30) -> Child:
        """Until `url` answers 200."""

        def answers() -> bool:
            try:
                return httpx.get(url, trust_env=False, timeout=5).status_code == 200
            except httpx.HTTPError:
                return False

        return self.wait_until(answers, seconds)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(self.end_signal)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]

    def __exit__(self, *_: object) -> None:
        self.end()


@dataclass(frozen=True)
class Tools:
    """What install-tools has put in place."""

    directory: Path

    @classmethod
    def installed(cls) -> Tools:
        return cls(Path(os.environ.get("E2E_TOOLS", Path.home() / ".cache" / "dayfly" / "tools")))

    def has(self, *names: str) -> bool:
        """Whether these binaries are there; PostgreSQL is `postgres`."""
        return all(
            bool(_postgres()) if name == "postgres" else (self.directory / "bin" / name).exists() for name in names
        )

    def binary(self, name: str) -> Path:
        path = self.directory / "bin" / name
        return self._required(path)

    @property
    def trillian_schema(self) -> Path:
        return self._required(self.directory / "share" / "trillian-v1.7.2.sql")

    @property
    def provider_modules(self) -> Path:
        return self._required(self.directory / "provider" / "node_modules")

    @property
    def javascript_modules(self) -> Path:
        return self._required(self.directory / "javascript" / "node_modules")

    @property
    def java(self) -> Path:
        """Where sigstore-java and its client are; missing where Java or Maven is."""
        return self.directory / "java"

    def postgres(self) -> Path:
        """The directory of PostgreSQL's server programs, of the newest version."""
        found = _postgres()
        if not found:
            pytest.fail("PostgreSQL is missing; run tests/e2e/install-tools, or apt-get install postgresql")
        return found[-1].parent

    def _required(self, path: Path) -> Path:
        if not path.exists():
            pytest.fail(f"{path} is missing; run tests/e2e/install-tools")
        return path


def _postgres() -> list[Path]:
    return sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[4]))


def run(command: list[str | Path], **options: object) -> subprocess.CompletedProcess[str]:
    """Run to the end, with its output as text and no exception for a failure: that is for the test to judge."""
    words = [str(word) for word in command]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, check=False, **options)
