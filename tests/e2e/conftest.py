"""The whole instance, once for the session: every server is a real one and listens on loopback."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.ctlog import CTLog, ct_log, postgresql
from tests.e2e.identity_provider import IdentityProvider, identity_provider
from tests.e2e.instance import CAFiles, Dayfly, dayfly, make_ca
from tests.e2e.processes import Tools
from tests.e2e.signing import EMAIL
from tests.e2e.timestamps import TimestampAuthority, timestamp_authority

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session", autouse=True)
def _no_proxy() -> Iterator[None]:
    """Clients that read the environment must not send loopback's traffic elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("NO_PROXY", "no_proxy"):
            patch.setenv(name, "127.0.0.1,localhost")
        yield


@pytest.fixture(scope="session")
def tools() -> Tools:
    return Tools.installed()


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Configuration, keys and logs of all servers."""
    return tmp_path_factory.mktemp("instance")


@pytest.fixture(scope="session")
def ca(directory: Path) -> CAFiles:
    return make_ca(directory)


@pytest.fixture(scope="session")
def log(tools: Tools, directory: Path, ca: CAFiles) -> Iterator[CTLog]:
    with postgresql(tools, directory) as database, ct_log(tools, directory, database, ca.root) as log:
        yield log


@pytest.fixture(scope="session")
def log_url(log: CTLog) -> Iterator[str]:
    with log.frontend() as (url, _):
        yield url


@pytest.fixture(scope="session")
def provider(tools: Tools, directory: Path) -> Iterator[IdentityProvider]:
    with identity_provider(tools, directory) as provider:
        yield provider


@pytest.fixture(scope="session")
def tsa(tools: Tools, directory: Path) -> Iterator[TimestampAuthority]:
    with timestamp_authority(tools, directory) as tsa:
        yield tsa


@pytest.fixture(scope="session")
def instance(
    directory: Path, ca: CAFiles, provider: IdentityProvider, log: CTLog, log_url: str, tsa: TimestampAuthority
) -> Iterator[Dayfly]:
    with dayfly(directory, ca, provider.issuer, log_url, log.key_file, tsa=tsa) as instance:
        yield instance


@pytest.fixture(scope="session")
def trusted_root(instance: Dayfly) -> dict[str, object]:
    return instance.document("trustedRoot")


@pytest.fixture(scope="session")
def token(provider: IdentityProvider) -> str:
    """Ada's identity token: as many certificates as the suite likes, for five minutes."""
    return provider.token(EMAIL)
