from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.oidc.provider import Provider


@pytest.fixture(scope="session")
def shared_provider() -> Iterator[Provider]:
    with Provider(algorithm="ES256") as provider:
        yield provider


@pytest.fixture
def provider(shared_provider: Provider) -> Provider:
    """An honest provider; one server for all tests, since stopping one takes a while."""
    shared_provider.reset()
    return shared_provider
