"""Replicas of one CA: composed as `dayfly serve` composes them, each with an event loop and connections of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.routing import Mount

from ca.config import load_settings
from ca.ct.embedded.directory import LogDirectory
from ca.dev.issuer import issuer_app
from ca.dev.tokens import IssuerKey, generate_issuer_key
from ca.keys.ceremony import write_ca
from ca.main import ca_application, clock
from ca.server import Worker
from tests.api.server import body, p256
from tests.dev.server import listener, serving
from tests.process import Served, free_port
from tests.process import serving as process

GUARDS = ("off", "per-key", "single-use")


@dataclass
class Replicas:
    issuers: str
    key: IssuerKey
    urls: list[str]
    metrics: list[CollectorRegistry]

    def token(self, guard: str = "off", **claims: Any) -> str:
        """A token of the issuer that has this guard."""
        ada = {"aud": "sigstore", "sub": "ada", "email": "ada@example.com", "email_verified": True}
        return self.key.mint({"iss": f"{self.issuers}/{guard}", **ada, **claims}, clock())

    def ask(self, replica: int = 0, token: str | None = None) -> httpx.Response:
        request = body(token or self.token(), key=p256())
        return httpx.post(f"{self.urls[replica]}/api/v2/signingCert", json=request, timeout=20)

    def all_at_once(self, requests: list[dict[str, Any]]) -> list[httpx.Response]:
        """One request after the other to one replica after the other, none waiting for another."""

        async def send() -> list[httpx.Response]:
            async with httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_connections=None)) as client:
                urls = [f"{url}/api/v2/signingCert" for url in self.urls]
                asked = (client.post(urls[i % len(urls)], json=request) for i, request in enumerate(requests))
                return await asyncio.gather(*asked)

        return asyncio.run(send())

    def metric(self, name: str) -> float:
        """Of the first replica."""
        return self.metrics[0].get_sample_value(name) or 0.0


@contextmanager
def replicas(directory: Path, limits: dict[str, Any], *, count: int = 1) -> Iterator[Replicas]:
    """`count` replicas in threads of this process, and an issuer for each of GUARDS."""
    with ExitStack() as stack:
        running = stack.enter_context(_issuers(directory))
        for number in range(count):
            sock, registry = listener(), CollectorRegistry()
            settings = load_settings(_settings(directory / f"replica-{number}", limits), {}, {})
            worker = Worker(partial(ca_application, settings, None), settings.log, registry)
            stack.enter_context(serving(worker, sock, lifespan="on"))
            running.urls.append(f"http://127.0.0.1:{sock.getsockname()[1]}")
            running.metrics.append(registry)
        yield running


@contextmanager
def workers(directory: Path, limits: dict[str, Any], **further: Any) -> Iterator[Replicas]:
    """One `dayfly serve` with two worker processes on one address, its configuration in `replica/ca.json`."""
    with _issuers(directory) as running:
        url = f"127.0.0.1:{free_port()}"
        file = _settings(directory / "replica", limits, workers=2, listen=url, **further)
        with process(file.parent, "serve", "--config", file, url=f"http://{url}"):
            running.urls.append(f"http://{url}")
            yield running


@contextmanager
def whole_server(directory: Path) -> Iterator[tuple[Replicas, Served]]:
    """One `dayfly serve` with all it can serve: the embedded log, timestamps, what clients are to trust; no limits."""
    url, own = f"http://127.0.0.1:{free_port()}", directory / "whole"
    unlimited = {"client": "off", "failures": "off", "identity": "off"}
    timestamp = {"chain": "../ca/timestamp-chain.pem", "key": "../ca/timestamp.key.pem"}
    further = {"ct": {"log": "embedded"}, "trust": {"url": url}, "timestamp": timestamp}
    with _issuers(directory) as running:
        file = _settings(own, unlimited, listen=url.removeprefix("http://"), **further)
        LogDirectory(own).create("ct.example.org/2026h2", clock())
        with process(own, "serve", "--config", file, url=url) as served:
            running.urls.append(url)
            yield running, served


@contextmanager
def _issuers(directory: Path) -> Iterator[Replicas]:
    sock, key = listener(), generate_issuer_key()
    issuers = f"http://127.0.0.1:{sock.getsockname()[1]}"
    entries = {
        f"{issuers}/{guard}": {
            "issuer-url": f"{issuers}/{guard}",
            "client-id": "sigstore",
            "type": "email",
            "token-guard": guard,
        }
        for guard in GUARDS
    }
    # YAML's names, which JSON may not have.
    (directory / "identity.yaml").write_text(f"oidc-issuers: {json.dumps(entries)}\n")
    write_ca(directory / "ca", "Dayfly tests", "Dayfly tests", clock())
    apps = [Mount(f"/{guard}", issuer_app(f"{issuers}/{guard}", key, clock)) for guard in GUARDS]
    with serving(Starlette(routes=apps), sock):
        yield Replicas(issuers, key, [], [])


def _settings(own: Path, limits: dict[str, Any], **further: Any) -> Path:
    own.mkdir()
    file = own / "ca.json"
    settings = {
        "data": str(own),
        "identity-config": "../identity.yaml",
        "ca": {"cert": "../ca/chain.pem", "key": "../ca/intermediate.key.pem"},
        "ct": {"log": "none"},
        "metrics": {"listen": "none"},
        "limits": limits,
        **further,
    }
    file.write_text(json.dumps(settings))
    return file
