"""The systems under measurement, as the processes that they are in production."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT

from tests.bench import usage
from tests.bench.world import World
from tests.e2e.ctlog import ct_log, postgresql
from tests.e2e.fulcio import LogSettings, fulcio_command
from tests.e2e.instance import DAYFLY
from tests.e2e.processes import Child, Tools, free_port, run

LIMITS = {f"DAYFLY_LIMITS_{limit}": "100000/s burst 1000000" for limit in ("CLIENT", "IDENTITY")}
"""All of the load comes from one address, and half of it is one CI job's: counted, but not refused."""


@dataclass(frozen=True, slots=True)
class System:
    """A server, with all that it needs to issue certificates."""

    url: str
    pids: frozenset[int]

    def cpu(self) -> float:
        """As `usage.cpu`."""
        return usage.cpu(self.pids)

    def memory(self) -> float:
        """As `usage.memory`."""
        return usage.memory(self.pids)


@contextmanager
def system(started: AbstractContextManager[str]) -> Iterator[System]:
    """What `started` starts as a system: its processes are the children that we have afterwards and had not before."""
    before = usage.children(os.getpid())
    with started as url:
        yield System(url, frozenset(usage.children(os.getpid()) - before))


@contextmanager
def dayfly(
    world: World,
    directory: Path,
    *,
    log: str = "none",
    workers: int = 1,
    profile: Path | None = None,
    limits: Mapping[str, str] = LIMITS,
    tree: Path | None = None,
) -> Iterator[str]:
    """Logging to `log`, `none` or `embedded`; under cProfile if `profile` names a file for its results.

    `limits` are variables of the environment; `tree` is another work tree, whose code runs instead of this one's.
    """
    directory.mkdir()
    if log == "embedded":
        _make_log(directory)
    port = free_port()
    command: list[str | Path] = [sys.executable]
    command += ["-m", "cProfile", "-o", profile] if profile else []
    command += ["-c", "from ca.cli import app; app()"] if tree else [DAYFLY]
    command += ["serve", f"--listen=127.0.0.1:{port}", f"--workers={workers}", "--metrics-listen=none"]
    command += [f"--identity-config={world.identity_config}", f"--ca-cert={world.chain}", f"--ca-key={world.key}"]
    command += [f"--ct-log={log}", f"--data={directory}"]
    environment = os.environ | limits | ({"PYTHONPATH": str(tree)} if tree else {})
    # uvicorn ends by the signal that stopped it; an interrupt lets a profile be written before.
    with Child.start("dayfly", command, directory, end_signal=SIGINT, env=environment) as child:
        child.wait_for_http(f"http://127.0.0.1:{port}/readyz")
        yield f"http://127.0.0.1:{port}"


@contextmanager
def fulcio(tools: Tools, world: World, directory: Path, log: LogSettings | None = None) -> Iterator[str]:
    directory.mkdir(exist_ok=True)
    port = free_port()
    command = fulcio_command(tools, port, chain=world.chain, key=world.key, identities=world.identity_config, log=log)
    with Child.start("fulcio", command, directory, cwd=directory) as child:
        child.wait_for_http(f"http://127.0.0.1:{port}/healthz")
        yield f"http://127.0.0.1:{port}"


@contextmanager
def fulcio_with_our_log(tools: Tools, world: World, directory: Path) -> Iterator[str]:
    """Fulcio that logs to `dayfly log serve`."""
    directory.mkdir()
    _make_log(directory)
    port = free_port()
    url = f"http://127.0.0.1:{port}/ctlog"
    command = [DAYFLY, "log", "serve", "--data", directory, "--roots", world.chain, "--listen", f"127.0.0.1:{port}"]
    with Child.start("ctlog", command, directory) as child:
        child.wait_for_http(f"{url}/ct/v1/get-sth")
        with fulcio(tools, world, directory, LogSettings(url, directory / "ctlog.pub.pem")) as answered:
            yield answered


def _make_log(directory: Path) -> None:
    made = run([DAYFLY, "log", "init", "--data", directory, "--origin", "bench.example.com/2026"])
    assert made.returncode == 0, made.stderr


@contextmanager
def fulcio_with_ctfe(tools: Tools, world: World, directory: Path) -> Iterator[str]:
    """Fulcio that logs to certificate-transparency-go's CTFE over Trillian over PostgreSQL, which need not sync."""
    directory.mkdir()
    with (
        postgresql(tools, directory) as database,
        ct_log(tools, directory, database, world.chain) as log,
        log.frontend() as (url, _),
        fulcio(tools, world, directory, LogSettings(url, log.key_file)) as answered,
    ):
        yield answered
