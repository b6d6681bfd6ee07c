"""`limits:` in the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ca.config import load_settings
from ca.documents import parse, validate
from ca.errors import ConfigurationError
from ca.limits.rate import Rate
from ca.limits.settings import LimitsSettings


def load(text: str) -> LimitsSettings:
    return validate(LimitsSettings, parse(text, "limits.yaml"))


def refused(text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(text)
    return caught.value.detail


@pytest.mark.parametrize(
    "store",
    [
        "auto",
        "memory",
        "sqlite",
        "sqlite:counts.db",
        "redis://h",
        "redis://h:6379/0",
        "rediss://user@h/3",
        "redis+sentinel://a:1,b:2,c/main",
        "rediss+sentinel://user@a/main/2",
        "redis://[::1]:6379",
    ],
)
def test_a_store_is_one_of_these(store: str) -> None:
    assert load(f"store: '{store}'").store == store


@pytest.mark.parametrize(
    ("store", "says"),
    [
        ("redis", "redis://"),
        ("sqlite:", "sqlite:FILE"),
        ("https://redis", "redis://"),
        ("redis://", "HOST"),
        ("redis://h/zero", "number"),
        ("redis://h/0/1", "HOST"),
        ("redis://h:99999", "[Pp]ort"),
        ("redis://h?ssl=1", "query"),
        ("redis://user:hunter2@h", "password-file"),
        ("redis+sentinel://a:1", "service"),
        ("redis+sentinel://a:1,/main", "sentinels"),
        ("redis+sentinel://a/main/zero", "number"),
    ],
)
def test_any_other_store_is_refused(store: str, says: str) -> None:
    detail = refused(f"store: '{store}'")
    assert detail.startswith("limits.yaml:1: store: ")
    import re

    assert re.search(says, detail)
    assert "hunter2" not in detail


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("client: 100", "client: write a rate and a burst such as 100/s burst 6000"),
        ("failures: 10/s", "failures: write a rate"),
        ("issuers: {https://a: 5}", "write a rate"),
        ("clients: {192.0.2.1/24: off}", "host bits set"),
        ("clients: {example.org: off}", "192.0.2.0/24"),
        ("exempt: [everybody]", "192.0.2.0/24"),
        ("exempt: 10.0.0.0/8", "a list"),
        ("clent: off", "did you mean client?"),
        ("redis: {prefix: '{x}'}", "prefix"),
        ("redis: {password: x}", "did you mean password-file?"),
    ],
)
def test_what_means_nothing_is_refused_with_its_line(text: str, says: str) -> None:
    detail = refused(text)
    assert detail.startswith("limits.yaml:1: ")
    assert says in detail


def test_every_limit_can_be_off() -> None:
    limits = load("client: off\nfailures: off\nissuer: off\nidentity: off\nclients: {10.0.0.0/8: off}")
    assert [limits.client, limits.failures, limits.issuer, limits.identity] == [None] * 4
    assert limits.clients == {"10.0.0.0/8": None}


def settings(tmp_path: Path, text: str, **variables: str) -> Any:
    file = tmp_path / "ca.yaml"
    file.write_text(f"identity-config: identity.yaml\nca: {{cert: chain.pem, key: key.pem}}\n{text}")
    return load_settings(file, {}, variables)


def test_memory_is_refused_for_several_workers(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="memory is one worker's own, and there are 2"):
        settings(tmp_path, "workers: 2\nlimits: {store: memory}")
    assert settings(tmp_path, "workers: 1\nlimits: {store: memory}").limits.store == "memory"
    assert settings(tmp_path, "workers: 2\nlimits: {store: sqlite}").limits.store == "sqlite"


def test_limits_are_variables_too_and_files_are_relative_to_the_configuration(tmp_path: Path) -> None:
    loaded = settings(tmp_path, "limits: {redis: {password-file: secret}}", DAYFLY_LIMITS_CLIENT="5/s burst 10")
    assert loaded.limits.client == Rate(200_000, 10)
    assert loaded.limits.redis.password_file == tmp_path / "secret"
