"""The last checkpoint seen never goes back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ca.ct.embedded.marker import Marker
from ca.errors import ConfigurationError
from tests.ct.embedded.builders import ORIGIN


def checkpoint(size: int) -> str:
    return f"{ORIGIN}\n{size}\nroot\n\n\u2014 signature\n"


@pytest.fixture
def marker(tmp_path: Path) -> Marker:
    return Marker.of(tmp_path / "seen", ORIGIN)


def test_nothing_was_seen_at_first(marker: Marker) -> None:
    assert marker.read() is None


def test_a_larger_tree_is_remembered(marker: Marker) -> None:
    for size in (0, 9, 10, 10, 100):
        marker.advance(checkpoint(size))
        assert marker.read() == checkpoint(size)


def test_a_smaller_tree_is_not(marker: Marker) -> None:
    marker.advance(checkpoint(10))
    marker.advance(checkpoint(9))
    assert marker.read() == checkpoint(10)


def test_processes_at_once_leave_the_largest(marker: Marker) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda size: marker.advance(checkpoint(size)), [*range(1, 60, 2), 100, *range(0, 60, 2)]))
    assert marker.read() == checkpoint(100)
    assert [path.name for path in marker.path.parent.iterdir()] == [marker.path.name]


def test_each_origin_has_its_own(tmp_path: Path, marker: Marker) -> None:
    assert Marker.of(tmp_path / "seen", "log.example.com/2027h1").path != marker.path


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        Marker.of(tmp_path / "file", ORIGIN).create(checkpoint(0))


def test_what_cannot_be_read_is_named(marker: Marker) -> None:
    marker.path.parent.mkdir()
    marker.path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        marker.read()
