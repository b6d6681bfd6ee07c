"""A disk that fails: a library for LD_PRELOAD that stands between SQLite and the kernel."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FAILING = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

/* Fails SQLite's call named by FAIL, on the log's files: from its AFTERth time on, or while the file WHEN exists. */
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
    if (getenv("WHEN")) return !access(getenv("WHEN"), F_OK);
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


def build_disk(directory: Path) -> Path:
    """The library; what it does is said by the environment variables FAIL (`sync`, `write`, `full`), AFTER and WHEN."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("a disk that fails is made with a C compiler, on Linux")
    source, library = directory / "disk.c", directory / "disk.so"
    source.write_text(FAILING)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library
