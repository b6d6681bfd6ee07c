"""`dayfly login` and `dayfly request --login`, beside a CA, as processes, and over TLS."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.dev.server import Replaceable
from tests.login.conftest import Person, Provider
from tests.oidc.pki import self_signed
from tests.oidc.provider import Provider as TLSProvider
from tests.process import DAYFLY, Served, _environment, command, dayfly, free_port, serving

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    directory = tmp_path_factory.mktemp("dev")
    listen = f"127.0.0.1:{free_port()}"
    with serving(directory, "dev", "--listen", listen, url=f"http://{listen}") as served:
        yield served


# ---- beside a CA ----------------------------------------------------------------------------------------------


def test_request_gets_a_certificate_for_who_logs_in(dev: Served, person: Person) -> None:
    person.email = "grace@example.com"
    shown = command("request", "--url", dev.url, "--login")
    assert shown.exit_code == 0, shown.stderr
    assert "grace@example.com" in shown.stdout
    assert f"{dev.url}/issuer" in shown.stdout
    assert not re.search(r"eyJ[\w-]*\.", shown.output)


def test_login_takes_the_provider_that_the_ca_names(dev: Served, person: Person) -> None:
    shown = command("login", "--url", dev.url)
    assert shown.exit_code == 0, shown.stderr
    assert f"{dev.url}/issuer" in shown.stdout


def test_ca_has_the_last_word_on_the_token(dev: Served, provider: Provider, person: Person) -> None:
    refused = command("request", "--url", dev.url, "--login", "--issuer", provider.url)
    assert refused.exit_code == 1
    assert "the CA answered 400" in refused.stderr
    assert "is not trusted here" in refused.stderr


def test_login_that_is_refused_asks_for_no_certificate(dev: Served, person: Person) -> None:
    person.decision = "deny"
    refused = command("request", "--url", dev.url, "--login")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert 'the provider says "access_denied"' in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["request", "--url", "http://127.0.0.1:1"], "one of --token and --login is needed"),
        (["request", "--url", "http://127.0.0.1:1", "--login", "--token", "x"], "one of --token and --login is needed"),
        (["request", "--url", "http://127.0.0.1:1", "--token", "x", "--device"], "go with --login"),
        (["request", "--url", "http://127.0.0.1:1", "--token", "x", "--issuer", "https://i"], "go with --login"),
        (["login"], "one of --issuer and --url is needed"),
        (["login", "--issuer", "https://i", "--url", "http://127.0.0.1:1"], "one of --issuer and --url is needed"),
    ],
)
def test_options_that_contradict_each_other_are_a_mistake(arguments: list[str], says: str) -> None:
    refused = command(*arguments)
    assert refused.exit_code == 2
    assert says in refused.stderr


YEAR = {"start": "2020-01-01T00:00:00Z", "end": "2021-01-01T00:00:00Z"}
ALWAYS = {"start": "2020-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({"oidcUrls": []}, "names no provider to log in with; name it with --issuer"),
        ({"oidcUrls": [{"url": "https://old", "validFor": YEAR}]}, "names no provider"),
        ({"oidcUrls": [{"url": "https://new", "validFor": {"start": "2999-01-01T00:00:00Z"}}]}, "names no provider"),
        (
            {"oidcUrls": [{"url": f"https://{name}.example.org", "validFor": ALWAYS} for name in "ab"]},
            'several providers; choose with --issuer: "https://a.example.org", "https://b.example.org"',
        ),
        ({"oidcUrls": [{"url": "http://idp.example.org", "validFor": ALWAYS}]}, "expected an https URL"),
        ({"oidcUrls": [{"url": "https://idp.example.org"}]}, "does not answer as a CA does"),
        ({"oidcUrls": [{"url": "https://a", "validFor": {"start": "2020-01-01"}}]}, "does not answer as a CA does"),
        ({}, "does not answer as a CA does"),
        ([], "does not answer as a CA does"),
        (None, "has no signing configuration; name the provider with --issuer"),
    ],
)
def test_ca_that_names_no_single_provider_is_told_of(site: tuple[str, Replaceable], answer: Any, says: str) -> None:
    async def signing_config(_: Request) -> Response:
        return Response(status_code=404) if answer is None else JSONResponse(answer)

    url, server = site
    server.app = Starlette(routes=[Route("/api/v2/signingConfig", signing_config)])
    refused = command("login", "--url", url)
    assert refused.exit_code == 1
    assert says in refused.stderr


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "https://[::1", ""])
def test_url_that_is_none_is_told_of(url: str) -> None:
    assert f"--url: {url}: expected a URL" in command("login", "--url", url).stderr


def test_ca_that_is_down_is_told_of() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert f"--url: {url} does not answer" in command("login", "--url", url).stderr


# ---- as a process ---------------------------------------------------------------------------------------------


def test_without_a_browser_the_url_is_printed_and_an_interrupt_ends_it(dev: Served) -> None:
    waiting = subprocess.Popen(
        [*DAYFLY, "login", "--url", dev.url, "--no-browser"],
        env=_environment({}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert waiting.stderr
    said = next(line for line in waiting.stderr if line.startswith("http"))
    assert said.startswith(f"{dev.url}/issuer/auth?")
    waiting.send_signal(signal.SIGINT)
    out, err = waiting.communicate(timeout=20)
    assert waiting.returncode not in {0, None}
    assert out == ""
    assert "Traceback" not in err
    redirect = httpx.QueryParams(said.partition("?")[2])["redirect_uri"]
    with pytest.raises(httpx.ConnectError):
        httpx.get(redirect, trust_env=False, verify=False)


def test_browser_that_writes_to_its_standard_output_does_not_reach_the_pipe(dev: Served, tmp_path: Path) -> None:
    """$BROWSER, as the standard library reads it."""
    browser = tmp_path / "browser"
    browser.write_text(f"""#!{DAYFLY[0].replace("dayfly", "python")}
import sys
from tests.login.conftest import Person, Provider
print("Opening in existing browser session.", flush=True)
Person().open(sys.argv[1])
""")
    browser.chmod(0o755)
    printed = dayfly("login", "--url", dev.url, "--token", BROWSER=f"{browser} %s")
    assert printed.returncode == 0, printed.stderr
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+", printed.stdout)


def test_missing_extra_is_named(tmp_path: Path) -> None:
    (tmp_path / "authlib").mkdir()
    (tmp_path / "authlib" / "__init__.py").write_text("raise ModuleNotFoundError(\"No module named 'authlib'\")")
    refused = dayfly("login", "--issuer", "https://idp.example.org", PYTHONPATH=f"{tmp_path}:{ROOT}")
    assert refused.returncode == 1
    assert refused.stderr == "error: logging in needs more packages: pip install 'dayfly[login]'\n"


# ---- TLS ------------------------------------------------------------------------------------------------------


def test_certificate_of_an_unknown_ca_is_refused_until_it_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told apart by how far the login comes: that provider has no login page."""
    tls = self_signed(tmp_path)
    with TLSProvider(tls=tls) as there:
        refused = command("login", "--issuer", there.issuer)
        assert refused.exit_code == 1
        assert "certificate verify failed" in refused.stderr
        assert not there.fetches
        trusted = command("login", "--issuer", there.issuer, SSL_CERT_FILE=str(tls[0]))
        assert '"authorization_endpoint" is required' in trusted.stderr
