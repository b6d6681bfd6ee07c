"""One host at a time."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Thread

import pytest

from ca.ct.embedded.host import HostLock, Turn, this_host
from ca.errors import ConfigurationError

NO_MOUNTS = Path("/nonexistent")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "ctlog.sqlite"


def test_processes_of_one_host_share(database: Path) -> None:
    one = HostLock.hold(database)
    other = HostLock.hold(database)
    one.release()
    HostLock.hold(database).release()
    other.release()


def test_a_second_host_is_refused_while_the_first_is_there(database: Path) -> None:
    first = HostLock.hold(database, host="first b007")
    with pytest.raises(ConfigurationError) as caught:
        HostLock.hold(database, host="second b007")
    assert "is in use on another host, 'first b007' (this one is 'second b007')" in caught.value.detail
    another = HostLock.hold(database, host="first b007")
    first.release()
    with pytest.raises(ConfigurationError):
        HostLock.hold(database, host="second b007")
    another.release()


def test_a_log_moves_once_its_host_has_let_go(database: Path) -> None:
    HostLock.hold(database, host="a host with a long name").release()
    HostLock.hold(database, host="second").release()
    assert database.with_suffix(".lock").read_text() == "second"


def test_a_process_that_was_killed_has_let_go(database: Path) -> None:
    child = os.fork()
    if child == 0:
        HostLock.hold(database, host="first")
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    HostLock.hold(database, host="second").release()


def test_turns_are_taken_one_at_a_time(database: Path) -> None:
    one, other = Turn(database), Turn(database)
    one.take()
    order = []

    def wait() -> None:
        other.take()
        order.append("other")
        other.give()

    waiting = Thread(target=wait)
    waiting.start()
    waiting.join(0.05)
    order.append("one")
    one.give()
    waiting.join(5)
    assert order == ["one", "other"]
    one.give()


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "ceph", "fuse.sshfs", "lustre"])
def test_a_file_system_that_hosts_share_is_refused(database: Path, tmp_path: Path, kind: str) -> None:
    with pytest.raises(ConfigurationError, match=f"is on {kind}, which other hosts may write to"):
        HostLock.hold(database, mounts=mounted(tmp_path, kind))
    assert not database.with_suffix(".lock").exists()


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "overlay", "tmpfs", "fuse.other"])
def test_a_file_system_of_this_host_is_taken(database: Path, tmp_path: Path, kind: str) -> None:
    HostLock.hold(database, mounts=mounted(tmp_path, kind)).release()


def test_without_a_list_of_mounts_the_lock_alone_decides(database: Path) -> None:
    HostLock.hold(database, mounts=NO_MOUNTS).release()


def test_the_kernel_names_the_host() -> None:
    assert Path("/proc/sys/kernel/random/boot_id").read_text().strip() in this_host()


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"missing/ctlog\.lock: cannot be written"):
        HostLock.hold(tmp_path / "missing" / "ctlog.sqlite")


def mounted(directory: Path, kind: str) -> Path:
    device = directory.stat().st_dev
    path = directory / "mountinfo"
    path.write_text(
        "22 1 999:1 / / rw,relatime shared:1 - ext4 /dev/root rw\n"
        f"36 35 {os.major(device)}:{os.minor(device)} / /data rw,noatime master:1 - {kind} server:/export rw\n"
    )
    return path
