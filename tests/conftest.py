from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _logging_of_its_own() -> Iterator[None]:
    """A test that runs a command or a server sets up logging for the process; the next one must not inherit it.

    The stream may be closed by then, and a server of another test that stops would fail to say so, and to stop.
    """
    _reset()
    yield
    _reset()


def _reset() -> None:
    structlog.reset_defaults()
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if not type(handler).__module__.startswith("ca.")]
