"""Processes that are killed, and disks that fail: every SCT that got out is in the tree, and the log goes on."""

from __future__ import annotations

import os
import re
import shutil
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
from tests.ct.embedded.oracle import Tree, check_log, check_promise

ROOT = Path(__file__).parents[3]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "log", clock=real_clock).create()  # type: ignore[arg-type]


@contextmanager
def workers(world: World, *names: str, **environment: str) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that log until they are killed; each one's promises go to `<name>.out` beside the log."""
    started = []
    for name in names:
        with (world.path.parent / f"{name}.out").open("ab") as out:
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


def wait_for_promises(world: World, more: int) -> None:
    end = time.monotonic() + 15
    already = len(promises(world))
    while len(promises(world)) < already + more:
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

FAILING = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

/* Fails SQLite's call named by FAIL from its AFTERth time on, on the log's files alone. */
static int counted;
static int hit(const char *call, int fd) {
    char link[64], path[4096];
    const char *fail = getenv("FAIL");
    if (!fail || strcmp(fail, call)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    if (!strstr(path, "ctlog.sqlite")) return 0;
    return __sync_add_and_fetch(&counted, 1) > atoi(getenv("AFTER"));
}
int fdatasync(int fd) {
    if (hit("sync", fd)) { errno = EIO; return -1; }
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}
int fsync(int fd) {
    if (hit("sync", fd)) { errno = EIO; return -1; }
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    if (hit("write", fd)) { errno = EIO; return -1; }
    if (hit("full", fd)) { errno = ENOSPC; return -1; }
    return ((ssize_t (*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64"))(fd, data, size, at);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return pwrite64(fd, data, size, at); }
"""


@pytest.fixture(scope="session")
def failing_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("a disk that fails is made with a C compiler, on Linux")
    directory = tmp_path_factory.mktemp("disk")
    source, library = directory / "disk.c", directory / "disk.so"
    source.write_text(FAILING)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


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
