"""`dayfly login --device`: a person with another device."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import httpx
import pytest

from ca.errors import ConfigurationError
from ca.login.client import Client, Registration
from ca.login.connection import Connection
from ca.login.device import Device, by_device
from ca.login.id_token import Granted
from ca.login.provider import find_provider
from tests.dev.person import submit
from tests.login.conftest import METADATA, Answer, Change, Provider, claiming, instead, members
from tests.process import command

START = "/device_authorization"


@contextmanager
def client_of(provider: Provider) -> Iterator[Client]:
    with Connection(provider.url) as connection:
        yield Client(connection, find_provider(connection, provider.url), Registration("sigstore"))


def enter(device: Device, decision: str = "approve") -> None:
    """What the person does with the code."""
    with httpx.Client(trust_env=False, timeout=10, verify=False) as browser:
        page = submit(
            browser,
            browser.get(device.verification_uri),
            user_code=device.user_code,
            email="ada@example.com",
            decision=decision,
        )
        assert page.status_code == 200, page.text


def log_in(provider: Provider, *steps: Callable[[Device], None]) -> tuple[Granted, list[float]]:
    """The pauses, in each of which the person does the next step."""
    shown: list[Device] = []
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        provider.running.clock.advance(seconds=seconds)
        if len(pauses) < len(steps):
            steps[len(pauses)](shown[0])
        pauses.append(seconds)

    with client_of(provider) as client:
        return by_device(client, shown.append, pause), pauses


def wait(_: Device) -> None:
    """Nobody does anything."""


def test_code_that_a_person_enters_brings_a_token(provider: Provider) -> None:
    granted, pauses = log_in(provider, wait, wait, enter)
    assert provider.running.claims(granted.unverified_token)["email"] == "ada@example.com"
    assert granted.nonce is None
    assert pauses == [2, 2, 2]


def test_provider_that_wants_it_slower_gets_it_slower(provider: Provider) -> None:
    def hurry(_: Device) -> None:
        provider.running.clock.advance(seconds=-1.5)

    _, pauses = log_in(provider, wait, hurry, wait, enter)
    assert pauses == [2, 2, 7, 7]


def test_interval_is_five_seconds_where_none_is_named(provider: Provider) -> None:
    provider.answers({START: members(interval=None)})
    assert log_in(provider, enter)[1] == [5]


@pytest.mark.parametrize("interval", [0, -5])
def test_provider_is_not_asked_without_a_pause(provider: Provider, interval: int) -> None:
    provider.answers({START: members(interval=interval)})
    assert log_in(provider, enter)[1] == [1]


def test_refusal_on_the_other_device_is_named(provider: Provider) -> None:
    with pytest.raises(ConfigurationError, match=r'says "access_denied".*; whoever logged in refused'):
        log_in(provider, wait, lambda device: enter(device, "deny"))


def test_code_that_nobody_enters_expires(provider: Provider) -> None:
    with pytest.raises(ConfigurationError, match=r'says "expired_token".*; nobody entered the code in time'):
        log_in(provider, lambda _: provider.running.clock.advance(minutes=11))


def test_provider_that_never_decides_is_not_waited_for_longer_than_it_said(provider: Provider) -> None:
    asked = provider.answers({START: members(expires_in=6), "/token": instead(400, {"error": "authorization_pending"})})
    with pytest.raises(ConfigurationError, match="nobody entered the code in time"):
        log_in(provider)
    assert [path for path, _, _ in asked.asked].count("/token") == 3


def test_requests_are_held_together_by_pkce(provider: Provider) -> None:
    asked = provider.answers({})
    log_in(provider, wait, enter)
    forms = {path: form for path, _, form in asked.asked}
    assert forms[START]["code_challenge_method"] == "S256"
    assert (forms[START]["client_id"], forms[START]["scope"]) == ("sigstore", "openid email")
    assert forms["/token"]["code_verifier"]


def test_provider_without_a_device_flow_is_named(provider: Provider) -> None:
    provider.answers({METADATA: members(device_authorization_endpoint=None)})
    with pytest.raises(ConfigurationError, match="no device_authorization_endpoint, so it has no device flow"):
        log_in(provider)


@pytest.mark.parametrize(
    ("path", "change", "says"),
    [
        (START, members(device_code=None), "otherwise than RFC 8628"),
        (START, members(user_code=7), "otherwise than RFC 8628"),
        (START, members(verification_uri=None), "otherwise than RFC 8628"),
        (START, members(verification_uri="http://idp.example.org/device"), "otherwise than RFC 8628"),
        (START, members(verification_uri="javascript:alert(1)"), "otherwise than RFC 8628"),
        (START, members(expires_in="600"), "otherwise than RFC 8628"),
        (START, members(interval="2"), "otherwise than RFC 8628"),
        (START, instead(404, b"<html>"), "/device_authorization answers 404, and not as OAuth says"),
        (START, instead(200, b"[]"), "not as OAuth says"),
        (START, instead(401, {"error": "unauthorized_client"}), 'says "unauthorized_client"; the client\'s registrat'),
        ("/token", instead(400, {"error": "invalid_grant"}), 'says "invalid_grant"'),
        ("/token", instead(500, b""), "/token answers 500"),
        ("/token", members(id_token=None), "gives no id_token"),
    ],
)
def test_provider_that_goes_wrong_is_named(provider: Provider, path: str, change: Change, says: str) -> None:
    provider.answers({path: change})
    with pytest.raises(ConfigurationError, match=re.escape(says)):
        log_in(provider, enter)


def test_page_elsewhere_than_the_provider_may_name_is_not_shown(provider: Provider) -> None:
    provider.answers({START: members(verification_uri_complete="http://idp.example.org/\x1b")})
    shown: list[Device] = []
    with client_of(provider) as client:
        by_device(client, shown.append, lambda _: enter(shown[0]))
    assert shown[0].complete_uri is None


def test_device_code_that_a_provider_repeats_is_left_out(provider: Provider) -> None:
    asked = provider.answers({})

    def repeats(answer: Answer) -> Answer:
        said = asked.asked[-1][2]["device_code"]
        return instead(400, {"error": "invalid_grant", "error_description": said})(answer)

    asked.changes["/token"] = repeats
    with pytest.raises(ConfigurationError, match='"invalid_grant": "…"'):
        log_in(provider)


# ---- as a command ---------------------------------------------------------------------------------------------


def entered(decision: str = "approve", **changed: Any) -> Change:
    """A device answer with other members, whose code somebody is entering already."""

    def change(answer: Answer) -> Answer:
        content = json.loads(answer.body)
        device = Device("", content["user_code"], content["verification_uri"], None, 600, 1)
        Thread(target=enter, args=(device, decision), daemon=True).start()
        return members(interval=1, **changed)(answer)

    return change


def test_command_shows_code_and_page_and_then_the_claims(provider: Provider) -> None:
    provider.answers({START: entered()})
    result = command("login", "--issuer", provider.url, "--device")
    assert result.exit_code == 0, result.stderr
    assert re.search(r"and enter the code [A-Z]{4}-[A-Z]{4}, within 10 minutes", result.stderr)
    assert f"{provider.url}/device?user_code=" in result.stderr
    assert "ada@example.com" in result.stdout
    assert not re.search(r"eyJ[\w-]*\.", result.output)


def test_code_does_nothing_to_the_terminal(provider: Provider) -> None:
    provider.answers({START: entered(user_code="\x1b[2J[bold]"), "/token": instead(400, {"error": "access_denied"})})
    result = command("login", "--issuer", provider.url, "--device")
    assert result.exit_code == 1
    assert "\x1b" not in result.stderr
    assert "[2J[bold]" in result.stderr


def test_token_of_another_audience_is_refused(provider: Provider) -> None:
    provider.answers({START: entered(), "/token": claiming(provider.key, aud="another")})
    result = command("login", "--issuer", provider.url, "--device", "--token")
    assert result.exit_code == 1
    assert 'audience "another" is not "sigstore"' in result.stderr
    assert result.stdout == ""
