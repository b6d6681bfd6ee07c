from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.oidc.provider import Provider


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider(algorithm="ES256") as provider:
        yield provider
