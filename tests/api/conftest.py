from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.server import CA, running_ca


@pytest.fixture(scope="session")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CA]:
    """One CA for all tests that change nothing about it."""
    with running_ca(tmp_path_factory.mktemp("ca")) as running:
        yield running
