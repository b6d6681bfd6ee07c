"""The instance that the clients are pointed at, what they have signed there, and the table at the end."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.e2e.clients import lying_ca, matrix
from tests.e2e.clients.model import Client, Signed
from tests.e2e.clients.roster import client as client_named
from tests.e2e.clients.stack import Stack, stack
from tests.e2e.rekor import rekor
from tests.e2e.signing import EMAIL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def instance(tmp_path_factory, tools, ca, provider, tsa) -> Iterator[Stack]:
    """In the clients' tests the instance is this one."""
    directory = tmp_path_factory.mktemp("clients")
    with rekor(tools, directory) as log, stack(directory, ca, provider.issuer, log, tsa) as instance:
        yield instance


@pytest.fixture(scope="session")
def blob(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("blob") / "release.txt"
    path.write_bytes(b"a release\n")
    return path


@pytest.fixture(scope="session")
def client_of(tmp_path_factory, tools, instance) -> Callable[[str], Client]:
    """A client by its name: one home each, for the whole session."""

    @cache
    def client_of(name: str) -> Client:
        home = tmp_path_factory.mktemp(name.replace(" ", "-"))
        return client_named(name, tools, home, instance)

    return client_of


@pytest.fixture(scope="session")
def signed_by(tmp_path_factory, client_of, instance, provider, blob) -> Callable[[str], Signed]:
    """What a client signed with trust from files."""

    @cache
    def signed_by(name: str) -> Signed:
        bundle = tmp_path_factory.mktemp("signed") / "bundle.json"
        done = client_of(name).sign(blob, bundle, instance.published.files, provider.token(EMAIL))
        assert done.returncode == 0, done.stdout + done.stderr
        return Signed(blob, bundle, instance.issuer)

    return signed_by


@pytest.fixture(scope="session")
def lied_about(tmp_path_factory, client_of, instance, provider, blob) -> Callable[[str], Signed]:
    """What sigstore-js, which does not look at the certificate it gets, signed with one of a lying CA."""

    @cache
    def lied_about(lie: str) -> Signed:
        directory = tmp_path_factory.mktemp("lie")
        key = load_pem_private_key(instance.ca.key.read_bytes(), None)
        signed = Signed(blob, directory / "bundle.json", instance.issuer)
        with lying_ca.lying_ca(instance.url, key, getattr(lying_ca, lie)) as url:
            files = instance.published.files.signing_at(url, directory / "trust")
            done = client_of("sigstore-js").sign(blob, signed.bundle, files, provider.token(EMAIL))
            assert done.returncode == 0, done.stderr
        return signed

    return lied_about


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        matrix.note(item)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [
        report for kind in ("passed", "failed", "error", "skipped") for report in terminalreporter.stats.get(kind, [])
    ]
    if cells := matrix.cells(reports):
        terminalreporter.section("clients")
        for line in [*matrix.table(cells), *sorted(matrix.reasons(reports))]:
            terminalreporter.write_line(line)
