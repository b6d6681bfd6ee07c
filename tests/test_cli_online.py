"""`dayfly config check --online` against real issuers on loopback."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.faults.conftest import server_file
from tests.oidc import provider as misbehaving
from tests.oidc.conftest import provider, shared_provider
from tests.oidc.provider import Provider
from tests.process import command, free_port

__all__ = ["provider", "server_file", "shared_provider"]

Write = Callable[..., Path]


@pytest.fixture
def trusting(tmp_path: Path, server_file: Write) -> Callable[..., Path]:
    """The server's file, after keys of the identity configuration's entry are replaced and entries are added."""

    def write(entry: dict[str, Any] | None = None, **more: dict[str, Any]) -> Path:
        path, identity = server_file(), tmp_path / "identity.yaml"
        content = yaml.safe_load(identity.read_text())
        for trusted in content["oidc-issuers"].values():
            trusted.update(entry or {})
        for section, entries in more.items():
            content.setdefault(section.replace("_", "-"), {}).update(entries)
        identity.write_text(yaml.safe_dump(content))
        return path

    return write


def tried(path: Path, *options: str) -> tuple[int, dict[str, Any]]:
    ended = command("config", "check", "--config", path, "--online", "--json", *options)
    return ended.exit_code, json.loads(ended.stdout)


def problem(path: Path) -> str:
    code, shown = tried(path)
    assert code == 1
    assert not shown["good"]
    return next(issuer["problem"] for issuer in shown["issuers"] if issuer["tried"] and not issuer["good"])


def test_a_good_issuer_is_shown_with_algorithms_keys_and_clock(trusting, provider: Provider) -> None:
    code, shown = tried(trusting())
    assert code == 0
    assert shown["good"]
    (issuer,) = shown["issuers"]
    assert issuer.pop("clockAheadSeconds") in range(-5, 6)
    assert issuer == {
        "issuer": provider.issuer,
        "tried": True,
        "good": True,
        "problem": "",
        "algorithms": ["ES256"],
        "keys": 1,
    }


def test_the_table_shows_the_same(trusting, provider: Provider) -> None:
    shown = command("config", "check", "--config", trusting(), "--online")
    assert shown.exit_code == 0
    assert re.search(rf"{re.escape(provider.issuer)} +│ good +│ ES256", shown.stdout)
    assert "ca.yaml: good" in shown.stdout


def test_without_the_option_nothing_is_fetched(trusting, provider: Provider) -> None:
    assert command("config", "check", "--config", trusting()).exit_code == 0
    assert not provider.fetches


def test_a_dead_issuer_ends_with_1_and_the_others_are_tried_all_the_same(trusting, provider: Provider) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    path = trusting(oidc_issuers={dead: {"issuer-url": dead, "client-id": "sigstore", "type": "email"}})
    code, shown = tried(path)
    assert code == 1
    assert {issuer["issuer"]: issuer["good"] for issuer in shown["issuers"]} == {provider.issuer: True, dead: False}
    table = command("config", "check", "--config", path, "--online")
    assert table.exit_code == 1
    assert "the connection failed" in table.stdout


def test_an_issuer_that_is_another_is_told(trusting, provider: Provider) -> None:
    provider.metadata = {"issuer": "https://another.example"}
    assert "its issuer is" in problem(trusting())


def test_an_issuer_without_keys_is_told(trusting, provider: Provider) -> None:
    provider.published = []
    assert problem(trusting())


def test_an_issuer_whose_key_set_fails_is_told(trusting, provider: Provider) -> None:
    provider.misbehave("jwks", misbehaving.status(500))
    assert "status 500" in problem(trusting())


def test_keys_for_none_of_its_algorithms_are_told(trusting, provider: Provider) -> None:
    provider.algorithms = ["RS256"]
    assert problem(trusting()) == "it publishes no key for RS256"


def test_algorithms_of_which_the_operator_accepts_none_are_told(trusting, provider: Provider) -> None:
    provider.algorithms = ["ES256"]
    assert problem(trusting({"algorithms": ["RS256"]})) == "it signs with ES256, of which algorithms: accepts none"


def test_wildcards_are_not_tried_unless_an_issuer_of_theirs_is_named(trusting, provider: Provider) -> None:
    pattern = provider.issuer.replace("http://", "https://") + "/*"
    path = trusting(meta_issuers={pattern: {"client-id": "sigstore", "type": "kubernetes"}})
    code, shown = tried(path)
    assert code == 0
    assert shown["issuers"][1] == {
        "issuer": pattern,
        "tried": False,
        "why": "not tried: name one of its issuers with --issuer",
    }
    code, shown = tried(path, "--issuer", pattern.replace("*", "cluster"))
    assert code == 1
    assert [issuer["issuer"] for issuer in shown["issuers"]] == [provider.issuer, pattern.replace("*", "cluster")]


def test_an_issuer_that_no_entry_matches_is_refused(trusting) -> None:
    refused = command("config", "check", "--config", trusting(), "--online", "--issuer", "https://nobody.example")
    assert refused.exit_code == 78
    assert "--issuer: issuer" in refused.stderr


def test_an_issuer_that_is_switched_off_is_not_asked(trusting, provider: Provider) -> None:
    code, shown = tried(trusting({"enabled": False}))
    assert code == 0
    assert shown["issuers"] == [{"issuer": provider.issuer, "tried": False, "why": "switched off"}]
    assert not provider.fetches


def test_a_broken_configuration_ends_with_78_before_anything_is_fetched(trusting, provider: Provider) -> None:
    ended = command("config", "check", "--config", trusting({"client-id": ""}), "--online")
    assert ended.exit_code == 78
    assert not provider.fetches


@pytest.mark.parametrize("option", [["--json"], ["--issuer", "https://a.example"]])
def test_options_of_the_trial_go_with_it(trusting, option: list[str]) -> None:
    assert command("config", "check", "--config", trusting(), *option).exit_code == 2
