"""Both servers, once for the session."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.against_fulcio.issuers import Issuers, serving_issuers, write_identity_configuration
from tests.e2e.against_fulcio.servers import Pair, Setup
from tests.e2e.against_fulcio.vectors import ISSUERS_OF_VECTORS
from tests.e2e.ctlog import CTLog
from tests.e2e.fulcio import LogSettings
from tests.e2e.instance import CAFiles
from tests.e2e.processes import Tools


@pytest.fixture(scope="session")
def issuers() -> Iterator[Issuers]:
    with serving_issuers() as issuers:
        yield issuers


@pytest.fixture(scope="session")
def identities(issuers: Issuers, directory: Path) -> Path:
    return write_identity_configuration(issuers, ISSUERS_OF_VECTORS, directory / "both.identity.yaml")


@pytest.fixture(scope="session")
def setup(tools: Tools, directory: Path, ca: CAFiles, identities: Path) -> Setup:
    return Setup(tools, directory, ca, identities)


@pytest.fixture(scope="session")
def pair(setup: Setup) -> Iterator[Pair]:
    """Without a log."""
    with setup.running("unlogged") as pair:
        yield pair


@pytest.fixture(scope="session")
def logged(setup: Setup, log: CTLog, log_url: str) -> Iterator[Pair]:
    """Both log to the same CTFE."""
    with replace(setup, log=LogSettings(log_url, log.key_file)).running("logged") as pair:
        yield pair
