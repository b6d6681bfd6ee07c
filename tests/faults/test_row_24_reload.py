"""Row 24, while it runs: a changed configuration is taken by every worker, a broken one by none.

Expected: within a second every worker answers by the new file; while the file is broken every worker answers by the
last good one, stays ready, and says so in readiness, metrics and log; no issuer is ever trusted by default.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.api.server import body
from tests.faults.conftest import ServerFile
from tests.oidc.provider import Provider
from tests.process import Served, free_port, serving

CONNECTIONS = 8
"""New connections, so that one worker seldom gets them all."""
STARTED = "Application startup complete."
LOADED = "identity configuration loaded"
KEPT = "the identity configuration cannot be loaded, the last good one stays in use"


def answers(served: Served, path: str) -> list[Any]:
    return [httpx.get(served.url + path).json() for _ in range(CONNECTIONS)]


def trusted(served: Served) -> list[list[str]]:
    return [
        [issuer["issuerUrl"] for issuer in answer["issuers"]] for answer in answers(served, "/api/v2/configuration")
    ]


def ask(served: Served, provider: Provider) -> httpx.Response:
    now = datetime.now(UTC)
    token = provider.token(now, email="ada@example.com", email_verified=True)
    return httpx.post(f"{served.url}/api/v2/signingCert", json=body(token))


def count(served: Served, event: str) -> int:
    """How many workers, in all rounds, have said so."""
    return sum(record["event"] == event for record in served.records())


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)


def switch(path: Path, *, enabled: bool) -> None:
    content = yaml.safe_load(path.read_text())
    for entry in content["oidc-issuers"].values():
        entry["enabled"] = enabled
    path.write_text(yaml.safe_dump(content))


@pytest.mark.parametrize("workers", [1, 2])
def test_row_24_an_issuer_is_switched_off_and_on_and_a_broken_file_changes_nothing(
    tmp_path: Path, server_file: ServerFile, provider: Provider, workers: int
) -> None:
    listen, metrics = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    path = server_file(workers=workers, listen=listen, metrics={"listen": metrics})
    identity = tmp_path / "identity.yaml"
    with serving(tmp_path, "serve", "--config", path, url=f"http://{listen}") as served:
        until(lambda: count(served, STARTED) == workers)
        assert ask(served, provider).status_code == 200

        switch(identity, enabled=False)
        until(lambda: count(served, LOADED) == workers)
        assert trusted(served) == [[]] * CONNECTIONS
        refusals = [ask(served, provider) for _ in range(CONNECTIONS)]
        assert {answer.status_code for answer in refusals} == {400}
        assert {answer.json()["details"][0]["reason"] for answer in refusals} == {"ISSUER_DISABLED"}

        switch(identity, enabled=True)
        until(lambda: count(served, LOADED) == 2 * workers)
        until(lambda: trusted(served) == [[provider.issuer]] * CONNECTIONS)
        assert ask(served, provider).status_code == 200

        identity.write_text("oidc-issuers: {https://evil.example: {client-id: sigstore}}\n")
        until(lambda: count(served, KEPT) == workers)
        assert all(answer["checks"]["identityConfig"].startswith("the file") for answer in answers(served, "/readyz"))
        assert all(answer["ready"] for answer in answers(served, "/readyz"))
        assert trusted(served) == [[provider.issuer]] * CONNECTIONS
        assert ask(served, provider).status_code == 200
        gauge = "dayfly_identity_config_reload_failed"
        until(lambda: any(line.startswith(gauge) and line.endswith(" 1.0") for line in metric_lines(metrics)))
        loaded = [record["changed"] for record in served.records() if record["event"] == LOADED]
        assert loaded[0] == {provider.issuer: ["switched off"]}
        problems = [record["problem"] for record in served.records() if record["event"] == KEPT]
        assert f"{identity}:1: " in problems[0]


def metric_lines(listen: str) -> list[str]:
    return httpx.get(f"http://{listen}/metrics").text.splitlines()


@pytest.mark.parametrize("workers", [1, 2])
def test_row_24_sighup_has_every_worker_read_the_file_and_ends_none(
    tmp_path: Path, server_file: ServerFile, provider: Provider, workers: int
) -> None:
    listen = f"127.0.0.1:{free_port()}"
    path, identity = server_file(workers=workers, listen=listen), tmp_path / "identity.yaml"
    # What changes lies behind a symlink, in a directory that nobody watches.
    (tmp_path / "elsewhere").mkdir()
    identity.rename(tmp_path / "elsewhere/identity.yaml")
    identity.symlink_to(tmp_path / "elsewhere/identity.yaml")
    with serving(tmp_path, "serve", "--config", path, url=f"http://{listen}") as served:
        until(lambda: count(served, STARTED) == workers)
        for round_, enabled in enumerate((False, True, False), start=1):
            switch(tmp_path / "elsewhere/identity.yaml", enabled=enabled)
            served.process.send_signal(signal.SIGHUP)
            until(lambda loaded=round_ * workers: count(served, LOADED) == loaded)
            assert trusted(served) == [[provider.issuer] if enabled else []] * CONNECTIONS
        assert served.process.poll() is None
        assert not any("died" in record["event"] for record in served.records())
