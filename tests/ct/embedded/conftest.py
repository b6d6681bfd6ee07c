from __future__ import annotations

from pathlib import Path

import pytest

from tests.ct.embedded.builders import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A new log."""
    return World(tmp_path).create()
