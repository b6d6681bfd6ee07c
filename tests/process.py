"""The `dayfly` command: as a process of its own where a process matters, else within this one, which is quicker."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from socket import socket
from typing import Any

import httpx
from click import Command
from click.testing import CliRunner, Result
from typer.main import get_command

from ca.cli import app

DAYFLY = [str(Path(sys.executable).with_name("dayfly"))]
PLAIN = {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200"}


def free_port() -> int:
    with socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def command(*arguments: str | Path, stdin: str | None = None, **environment: str) -> Result:
    """Run a command to its end within this process. Whatever would be a traceback is raised."""
    return CliRunner().invoke(
        _app(), list(map(str, arguments)), stdin, {**PLAIN, **environment}, catch_exceptions=False
    )


@cache
def _app() -> Command:
    """Once, for reading the options of all commands takes longer than most of them do."""
    return get_command(app)


def dayfly(*arguments: str | Path, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command = [*DAYFLY, *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, env=_environment(environment), capture_output=True, text=True, timeout=50, check=False
    )


def _environment(extra: dict[str, str]) -> dict[str, str]:
    root = str(Path(__file__).parent.parent)
    return {**os.environ, **PLAIN, "PYTHONPATH": root, **extra}


@dataclass
class Served:
    process: subprocess.Popen[bytes]
    url: str
    stderr: Path
    stdout: Path

    def records(self) -> list[dict[str, Any]]:
        import json

        return [json.loads(line) for line in self.stderr.read_text().splitlines() if line.startswith("{")]

    def workers(self) -> list[int]:
        """Process ids of workers, where there are several; multiprocessing has a child of its own beside them."""
        pid = self.process.pid
        children = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return [child for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


@contextmanager
def serving(directory: Path, *arguments: str | Path, url: str, **environment: str) -> Iterator[Served]:
    """Run a server until the block ends; its SIGTERM must end it."""
    command = [*DAYFLY, *map(str, arguments)]
    out, err = directory / "stdout", directory / "stderr"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(command, stdout=stdout, stderr=stderr, cwd=directory, env=_environment(environment))
        try:
            _wait(process, url, err)
            yield Served(process, url, err, out)
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def _wait(process: subprocess.Popen[bytes], url: str, stderr: Path) -> None:
    for _ in range(600):
        if process.poll() is not None:
            raise AssertionError(f"ended with {process.returncode}: {stderr.read_text()}")
        try:
            httpx.get(f"{url}/livez", timeout=1)
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"does not answer: {stderr.read_text()}")
