"""The processes that share a log: all on one host, one after the other.

SQLite's write-ahead log works through shared memory, which ends at the machine. Any number of processes of one kernel
may share a log. Another kernel must not: both would append to their own view of the tree, and sign two trees of one
size.
"""

from __future__ import annotations

import fcntl
import os
import platform
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ca.errors import ConfigurationError

if TYPE_CHECKING:
    from typing import Self

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_MOUNTS: Final = Path("/proc/self/mountinfo")
_SHARED_BY_HOSTS: Final = re.compile(
    r"nfs4?|cifs|smb3|smbfs|afs|beegfs|ceph|gfs2|glusterfs|gpfs|lustre|ocfs2|"
    r"fuse\.(ceph|gcsfuse|glusterfs|juicefs|rclone|s3fs|sshfs)"
)
"""File systems, as Linux names them, whose files may be in use on another machine."""


class HostLock:
    """Keeps other hosts away from a log for as long as this object, or another process's, holds it.

    The file beside the log is locked, shared, by every process that appends; its content names their kernel. Whoever
    gets it exclusively is alone and may put another name there, so a log moves with its volume once all who used it
    have ended, however they ended. `flock` reaches other hosts on NFS and SMB; where it would not, `hold` refuses the
    file system by its name. On other systems than Linux the name of the machine stands for the kernel, and the file
    system is not looked at.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def hold(cls, database: Path, mounts: Path = _MOUNTS, host: str | None = None) -> Self:
        """Raises ConfigurationError if another host has the log, or the file system is one that hosts share."""
        host = host or this_host()
        _refuse_shared_file_system(database, mounts)
        path = database.with_suffix(".lock")
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as problem:
            raise ConfigurationError(f"{path}: cannot be written: {problem.strerror}") from problem
        try:
            _lock(descriptor, host, database)
        except OSError as problem:
            os.close(descriptor)
            raise ConfigurationError(f"{path}: cannot be locked: {problem.strerror}") from problem
        except ConfigurationError:
            os.close(descriptor)
            raise
        return cls(descriptor)

    def release(self) -> None:
        os.close(self._descriptor)


class Turn:
    """Who writes next. SQLite's own waiting is a sleep that grows to 100 ms: under load one process would starve.

    The kernel wakes whoever waits for `flock` at once: with two busy processes that is more than three times the
    entries, and a longest wait of 40 ms instead of 600. It orders writers and guards nothing: that is the transaction.
    """

    def __init__(self, database: Path) -> None:
        """Raises OSError."""
        self._descriptor = os.open(database.with_suffix(".turn"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def take(self) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def give(self) -> None:
        """Nothing happens where it was not taken."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self._descriptor)


def this_host() -> str:
    """The running kernel: containers that share it can share a log, a rebooted machine is another holder."""
    try:
        return f"{platform.node()} {_BOOT_ID.read_text().strip()}"
    except OSError:
        return platform.node()


def _lock(descriptor: int, host: str, database: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pass  # somebody has the log, on this host or on another
    else:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, host.encode(), 0)
        os.fsync(descriptor)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    # Turning an exclusive lock into a shared one lets others in between (flock(2)): the name decides.
    holder = os.pread(descriptor, 4096, 0).decode(errors="replace")
    if holder != host:
        raise ConfigurationError(
            f"{database}: is in use on another host, {holder!r} (this one is {host!r}); a log has one host: stop the "
            "other one, or give this one a log of its own"
        )


def _refuse_shared_file_system(database: Path, mounts: Path) -> None:
    """By the mount that proc(5) lists for the file's device."""
    try:
        device = database.parent.stat().st_dev
        lines = mounts.read_text().splitlines()
    except OSError:
        return  # not Linux; or the directory is missing, which whoever opens the file says better
    name = f"{os.major(device)}:{os.minor(device)}"
    for line in lines:
        fields, _, rest = line.partition(" - ")
        kind = rest.split(" ")[0]
        if fields.split(" ")[2] == name and _SHARED_BY_HOSTS.fullmatch(kind):
            raise ConfigurationError(
                f"{database}: is on {kind}, which other hosts may write to at the same time; put the log on a disk of "
                "this host"
            )
