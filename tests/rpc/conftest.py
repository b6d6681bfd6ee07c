from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.server import CA, running_ca
from tests.rpc.client import Client, connected


@pytest.fixture(scope="session")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CA]:
    """One CA with gRPC for all tests that change nothing about it."""
    with running_ca(tmp_path_factory.mktemp("rpc"), grpc={"listen": "127.0.0.1:0"}) as running:
        yield running


@pytest.fixture
def rpc(ca: CA) -> Iterator[Client]:
    with connected(ca.rpc) as client:
        yield client
