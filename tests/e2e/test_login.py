"""`dayfly login` and `dayfly request --login` with a certified provider."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable

import httpx
import pytest

from tests.e2e.identity_provider import IdentityProvider, walk
from tests.e2e.instance import DAYFLY
from tests.e2e.processes import run

EMAIL = "ada@example.com"


def by_browser(said: str) -> None:
    """Logs in at the URL that is printed, and brings the answer to the listener."""
    with httpx.Client(trust_env=False, timeout=10) as browser:
        answer = browser.get(walk(browser, browser.get(said), EMAIL))
        assert answer.status_code == 200, answer.text


def logged_in(
    provider: IdentityProvider, arguments: list[str], person: Callable[[str], object], says: str
) -> tuple[str, str]:
    """The command's two outputs, after the person has done what the line that matches `says` told them."""
    command = [str(DAYFLY), *arguments, "--issuer", provider.issuer]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    told = []
    for line in process.stderr:
        told.append(line)
        if found := re.search(says, line):
            person(found[0])
            break
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, "".join(told) + err
    return out, "".join(told) + err


FLOWS = pytest.mark.parametrize("flow", ["browser", "device"])


def log_in(provider: IdentityProvider, flow: str, *arguments: str) -> tuple[str, str]:
    if flow == "browser":
        return logged_in(provider, [*arguments, "--no-browser"], by_browser, r"^http://\S+")
    return logged_in(
        provider, [*arguments, "--device"], lambda page: provider.approve(page, EMAIL), r"http://\S+user_code=\S+"
    )


@FLOWS
def test_claims_are_shown(provider, flow):
    out, err = log_in(provider, flow, "login")
    assert EMAIL in out
    assert provider.issuer in out
    assert not re.search(r"eyJ[\w-]*\.", out + err)


@FLOWS
def test_certificate_is_for_who_logged_in(provider, instance, flow):
    out, _ = log_in(provider, flow, "request", "--login", "--url", instance.url)
    assert EMAIL in out
    assert provider.issuer in out
    assert "SCT" in out


def test_token_that_is_printed_gets_a_certificate(provider, instance):
    token, _ = log_in(provider, "browser", "login", "--token")
    answer = run([DAYFLY, "request", "--url", instance.url, "--token", token, "--pem"])
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.count("BEGIN CERTIFICATE") == 3


def test_client_that_the_provider_does_not_know_gets_none(provider):
    refused = run([DAYFLY, "login", "--issuer", provider.issuer, "--client-id", "nobody", "--device"])
    assert refused.returncode == 1
    assert 'the provider says "invalid_client"' in refused.stderr
