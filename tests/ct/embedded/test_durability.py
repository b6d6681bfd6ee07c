"""Processes that are killed, and disks that fail: every SCT that got out is in the tree, and the log goes on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ca.ct.embedded.keys import load_keys
from ca.ct.embedded.verify import verify
from ca.ct.rfc6962 import SCT
from tests.ct.embedded.builders import ISSUER_KEY_HASH, World, real_clock
from tests.ct.embedded.disk import build_disk
from tests.ct.embedded.oracle import Tree, check_log, check_promise

ROOT = Path(__file__).parents[3]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "log", clock=real_clock).create()  # type: ignore[arg-type]


@contextmanager
def workers(world: World, *names: str, **environment: str) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that log until they are killed; each one's promises go to a file beside the log."""
    started = []
    for name in names:
        # A file each: the end of one that was killed may be half a line.
        number = len(list(world.path.parent.glob("*.out")))
        with (world.path.parent / f"{number}.out").open("ab") as out:
            started.append(
                subprocess.Popen(
                    [sys.executable, "-m", "tests.ct.embedded.worker", str(world.path), name],
                    stdout=out,
                    stderr=subprocess.PIPE,
                    cwd=ROOT,
                    env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
                )
            )
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def promises(world: World) -> list[tuple[bytes, SCT]]:
    """What got out: a certificate's TBS and the SCT for it."""
    log_id = load_keys(world.path).log_id
    found = []
    for path in world.path.parent.glob("*.out"):
        for line in path.read_bytes().split(b"\n")[:-1]:
            tbs, timestamp, extensions, signature = line.decode().split(" ")
            sct = SCT(log_id, int(timestamp), bytes.fromhex(extensions), bytes.fromhex(signature))
            found.append((bytes.fromhex(tbs), sct))
    return found


def wait_for_promises(world: World, more: int, seconds: float = 30) -> None:
    def made() -> int:
        return sum(path.read_bytes().count(b"\n") for path in world.path.parent.glob("*.out"))

    end = time.monotonic() + seconds
    already = made()
    while made() < already + more:
        assert time.monotonic() < end, "the workers log nothing"
        time.sleep(0.02)


def check_all(world: World, before: Tree | None) -> Tree:
    tree = check_log(world.path, before)
    by_index: dict[int, bytes] = {}
    for tbs, sct in promises(world):
        index = check_promise(world.path, tree, sct, tbs, ISSUER_KEY_HASH)
        assert by_index.setdefault(index, tbs) == tbs
    return tree


def test_no_promise_is_lost_when_a_process_is_killed(world: World) -> None:
    tree = None
    for _ in range(5):
        with workers(world, "shared") as (process,):
            wait_for_promises(world, 200)
            process.send_signal(signal.SIGKILL)
            process.wait()
        tree = check_all(world, tree)
    assert tree is not None
    assert len(tree.leaves) >= 1000 / 5  # a new process begins with what the one before has logged


def test_processes_that_share_a_log_and_are_killed_in_turn_keep_all_promises(world: World) -> None:
    with workers(world, "1", "shared") as (one, other):
        wait_for_promises(world, 600)
        one.kill()
        wait_for_promises(world, 200)
        with workers(world, "2"):
            wait_for_promises(world, 400)
            other.kill()
            wait_for_promises(world, 100)
    tree = check_all(world, None)
    assert len(tree.leaves) >= 1200
    assert list(verify(world.database, load_keys(world.path), world.marker))[-1].done == len(tree.leaves)


# ---- disks --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def failing_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_disk(tmp_path_factory.mktemp("disk"))


@pytest.mark.parametrize("failing", ["sync", "write"])
@pytest.mark.parametrize("after", [40, 43])
def test_a_process_whose_disk_fails_ends_at_once(world: World, failing_disk: Path, failing: str, after: int) -> None:
    with workers(world, "shared", LD_PRELOAD=str(failing_disk), FAIL=failing, AFTER=str(after)) as (process,):
        _, errors = process.communicate(timeout=15)
    assert process.returncode == 74, errors.decode()[-2000:]
    assert b"log's disk failed: ending the process" in errors
    tree = check_all(world, None)
    with workers(world, "shared"):
        wait_for_promises(world, 50)
    check_all(world, tree)


def test_a_full_disk_is_no_reason_to_end(world: World, failing_disk: Path) -> None:
    environment = {"LD_PRELOAD": str(failing_disk), "FAIL": "full", "AFTER": "200"}
    with workers(world, "shared", **environment) as (process,):
        _, errors = process.communicate(timeout=15)
    assert re.search(rb"LogUnavailable: .*the log could not commit", errors)
    assert b"SQLITE_FULL" in errors
    assert process.returncode == 1  # the worker's callers had the error; the log did not end the process
