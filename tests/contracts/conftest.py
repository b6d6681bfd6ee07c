from __future__ import annotations

import pytest

from tests.ct.pki import CA, make_ca


@pytest.fixture(scope="session")
def ca() -> CA:
    return make_ca()
