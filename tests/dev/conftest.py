from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from joserfc import jws
from joserfc.jwk import KeySet

from ca.dev.issuer import issuer_app
from ca.dev.tokens import IssuerKey, generate_issuer_key
from tests.dev.server import Clock, Replaceable, listener, serving


@pytest.fixture(scope="session")
def issuer_key() -> IssuerKey:
    return generate_issuer_key()


@dataclass
class RunningIssuer:
    url: str
    clock: Clock
    client: httpx.Client

    def claims(self, token: str) -> dict[str, Any]:
        """The claims of a token, after verifying it as a relying party does: against the JWKS by `kid`."""
        keys = KeySet.import_key_set(self.client.get(f"{self.url}/jwks").json())
        return json.loads(jws.deserialize_compact(token, keys, algorithms=["RS256"]).payload)


@pytest.fixture(scope="session")
def browser() -> Iterator[httpx.Client]:
    with httpx.Client(verify=False) as client:
        yield client


@pytest.fixture(scope="session")
def site() -> Iterator[tuple[str, Replaceable]]:
    """One server for all tests: starting one takes longer than any of them."""
    sock, site = listener(), Replaceable()
    with serving(site, sock):
        yield f"http://127.0.0.1:{sock.getsockname()[1]}", site


@pytest.fixture
def issuer(issuer_key: IssuerKey, site: tuple[str, Replaceable], browser: httpx.Client) -> RunningIssuer:
    """An issuer with nothing promised yet."""
    url, server = site
    clock = Clock(datetime.now(UTC))
    server.app = issuer_app(url, issuer_key, clock)
    browser.base_url = url
    return RunningIssuer(url, clock, browser)
