"""`dayfly login` with a browser, at a provider that runs."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from click.testing import Result
from joserfc.jwk import RSAKey

from ca.errors import ConfigurationError
from ca.login.browser import by_browser
from ca.login.client import Client, Registration
from ca.login.connection import Connection
from ca.login.provider import find_provider
from tests.login.conftest import (
    METADATA,
    Change,
    Person,
    Provider,
    asked_for,
    claiming,
    instead,
    members,
    redirected,
)
from tests.process import command, free_port


def login(provider: Provider, *options: str) -> Result:
    return command("login", "--issuer", provider.url, *options)


def refused(provider: Provider, says: str, *options: str) -> Result:
    """A login that ends with 1 and these words, and shows neither token nor traceback."""
    result = login(provider, *options)
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    error = result.stderr.rpartition("error: ")[2]
    assert says in error
    assert not re.search(r"eyJ[\w-]*\.", error)
    return result


# ---- who logged in --------------------------------------------------------------------------------------------


def test_claims_are_shown_and_the_token_is_not(provider: Provider, person: Person) -> None:
    result = login(provider)
    assert result.exit_code == 0, result.stderr
    for shown in ("ada@example.com", provider.url, "sigstore", "email_verified", " UTC)"):
        assert shown in result.stdout
    assert not re.search(r"eyJ[\w-]*\.", result.output)


def test_token_stands_alone_on_standard_output_for_a_pipe(provider: Provider, person: Person) -> None:
    result = login(provider, "--token")
    assert result.stdout.count(".") == 2
    assert result.stdout.strip() == result.stdout
    assert provider.running.claims(result.stdout)["email"] == "ada@example.com"
    assert not re.search(r"eyJ[\w-]*\.", result.stderr)


def test_request_has_pkce_state_nonce_and_a_redirect_to_loopback(provider: Provider, person: Person) -> None:
    login(provider)
    sent = asked_for(person)
    assert (sent["response_type"], sent["code_challenge_method"]) == ("code", "S256")
    assert (sent["client_id"], sent["scope"]) == ("sigstore", "openid email")
    assert len(sent["code_challenge"]) == len(sent["state"]) == len(sent["nonce"]) == 43
    redirect = urlsplit(sent["redirect_uri"])
    assert (redirect.scheme, redirect.hostname, redirect.path) == ("http", "127.0.0.1", "/auth/callback")
    assert redirect.port


def test_no_two_logins_share_a_secret_or_a_verifier(provider: Provider, person: Person) -> None:
    asked = provider.answers({})
    assert login(provider).exit_code == login(provider).exit_code == 0
    first, second = (dict(httpx.QueryParams(urlsplit(url).query)) for url in person.opened)
    assert not {first[name] for name in ("state", "nonce", "code_challenge")} & set(second.values())
    verifiers = [form["code_verifier"] for path, _, form in asked.asked if path == "/token"]
    assert len(set(verifiers)) == 2


def test_browser_gets_a_page_that_loads_and_keeps_nothing(provider: Provider, person: Person) -> None:
    login(provider)
    page = person.last_page
    assert page is not None
    assert page.status_code == 200
    assert "close this page" in page.text
    assert "code" not in page.text
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["content-security-policy"].startswith("default-src 'none'")


def test_listener_is_gone_after_the_login(provider: Provider, person: Person) -> None:
    login(provider)
    with pytest.raises(httpx.ConnectError):
        httpx.get(asked_for(person)["redirect_uri"], trust_env=False, verify=False)


def test_redirect_with_the_issuers_name_is_good(provider: Provider, person: Person) -> None:
    provider.answers(
        {METADATA: members(authorization_response_iss_parameter_supported=True), "/auth": redirected(iss=provider.url)}
    )
    assert login(provider).exit_code == 0


def test_another_audience_is_good_where_it_is_named(provider: Provider, person: Person) -> None:
    provider.answers({"/token": claiming(provider.key, aud=["dayfly", "sigstore"], azp="sigstore")})
    assert login(provider, "--audience", "dayfly").exit_code == 0


def test_scope_is_what_was_typed(provider: Provider, person: Person) -> None:
    login(provider, "--scope", "openid groups")
    assert asked_for(person)["scope"] == "openid groups"


def test_what_a_claim_does_to_a_terminal_is_not_done(provider: Provider, person: Person) -> None:
    provider.answers({"/token": claiming(provider.key, name="\x1b[31mred[bold]")})
    result = login(provider)
    assert result.exit_code == 0
    assert "\x1b" not in result.stdout
    assert "[31mred[bold]" in result.stdout


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_secret_goes_as_the_provider_takes_it(provider: Provider, person: Person, tmp_path: Any, method: str) -> None:
    (tmp_path / "secret").write_text("p+s:%w d\n")
    asked = provider.answers({METADATA: members(token_endpoint_auth_methods_supported=[method])})
    login(provider, "--client-secret-file", str(tmp_path / "secret"))
    _, headers, form = next(one for one in asked.asked if one[0] == "/token")
    if method == "client_secret_post":
        assert form["client_secret"] == "p+s:%w d"
    else:
        # base64 of sigstore:p%2Bs%3A%25w+d (RFC 6749 §2.3.1)
        assert headers["authorization"] == "Basic c2lnc3RvcmU6cCUyQnMlM0ElMjV3K2Q="
        assert "client_secret" not in form


# ---- the redirect ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"state": "another"}, "not the state that was sent"),
        ({"state": None}, "not the state that was sent"),
        ({"state": "another", "error": "access_denied"}, "not the state that was sent"),
        ({"iss": "https://other.example.org"}, 'of issuer "https://other.example.org", and the login began at'),
        ({"iss": "https://other.example.org", "code": None, "error": "x"}, "and the login began at"),
        ({"code": None}, "neither a code nor an error"),
        ({"code": None, "error": "access_denied"}, 'says "access_denied"; whoever logged in refused'),
        ({"error": "server_error", "error_description": "a\x1b[2Jb\nc"}, r'"server_error": "a\x1b[2Jb\nc"; the provid'),
        ({f"p{i}": "x" for i in range(70)}, "more than 64 parameters"),
    ],
)
def test_redirect_that_is_no_answer_to_ours_is_refused(
    provider: Provider, person: Person, changed: dict[str, str | None], says: str
) -> None:
    asked = provider.answers({"/auth": redirected(**changed)})
    refused(provider, says)
    assert "/token" not in {path for path, _, _ in asked.asked}, "nothing of it is sent on"


def test_redirect_without_the_promised_issuer_is_refused(provider: Provider, person: Person) -> None:
    provider.answers({METADATA: members(authorization_response_iss_parameter_supported=True)})
    refused(provider, "does not say which issuer it is of")


def test_redirect_with_a_parameter_twice_is_refused(provider: Provider, person: Person) -> None:
    def twice(answer):  # type: ignore[no-untyped-def]
        if "location" in answer.headers:
            answer.headers["location"] += "&code=another"
        return answer

    provider.answers({"/auth": twice})
    refused(provider, "a parameter twice")


def test_person_who_refuses_is_named(provider: Provider, person: Person) -> None:
    person.decision = "deny"
    refused(provider, 'the provider says "access_denied"')


def test_other_paths_of_the_listener_do_not_end_the_login(provider: Provider) -> None:
    seen: list[int] = []

    def browse(url: str) -> None:
        base = dict(httpx.QueryParams(urlsplit(url).query))["redirect_uri"]
        seen.append(httpx.get(httpx.URL(base).join("/favicon.ico"), trust_env=False, verify=False).status_code)
        seen.append(httpx.post(base, trust_env=False, content=b"code=x").status_code)
        Person().open(url)

    with Connection(provider.url) as connection:
        client = Client(connection, find_provider(connection, provider.url), Registration("sigstore"))
        assert by_browser(client, browse, 10).nonce
    assert seen == [404, 501]


def test_patience_ends(provider: Provider) -> None:
    with Connection(provider.url) as connection:
        client = Client(connection, find_provider(connection, provider.url), Registration("sigstore"))
        with pytest.raises(ConfigurationError, match="nobody has logged in"):
            by_browser(client, lambda _: None, 0.05)


# ---- the token ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "says"),
    [
        ({"nonce": "another"}, "its nonce is not the one that was sent"),
        ({"nonce": None}, "its nonce is not the one that was sent"),
        ({"nonce": 7}, "its nonce is not the one that was sent"),
        ({"aud": "another"}, 'audience "another" is not "sigstore"'),
        ({"aud": ["another", "third"]}, 'does not have "sigstore"'),
        ({"aud": None}, "it has no aud claim"),
        ({"azp": "another"}, "its azp claim is no client"),
        ({"iss": "https://other.example.org"}, 'its issuer is "https://other.example.org" instead of'),
        ({"exp": 1000}, "it expired at 1970"),
        ({"exp": None}, "it has no exp claim"),
        ({"iat": 4_000_000_000}, "issued in the future"),
        ({"nbf": 4_000_000_000}, "not valid before"),
        ({"sub": None}, "it has no sub claim"),
        ({"sub": 5}, "its sub claim is not a string"),
    ],
)
def test_token_that_is_not_of_this_login_is_refused(
    provider: Provider, person: Person, claims: dict[str, Any], says: str
) -> None:
    provider.answers({"/token": claiming(provider.key, **claims)})
    assert "the provider's identity token is refused: " in refused(provider, says).stderr


def test_audience_that_was_typed_is_what_counts(provider: Provider, person: Person) -> None:
    refused(provider, 'audience "sigstore" is not "dayfly"', "--audience", "dayfly")


def test_token_by_another_key_is_refused(provider: Provider, person: Person) -> None:
    provider.answers({"/token": claiming(RSAKey.generate_key(2048))})
    refused(provider, "its signature is by none of the keys")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (members(id_token=None), "gives no id_token; --scope needs openid"),
        (members(id_token=7), "gives no id_token"),
        (members(id_token="a.b"), "it has 2 parts"),
        (members(expires_in="soon"), "answers otherwise than RFC 6749"),
        (instead(200, b"<html>"), "answers otherwise than RFC 6749"),
        (instead(200, b"[]"), "answers otherwise than RFC 6749"),
        (instead(404, b"<html>"), "/token answers 404, and not as OAuth says"),
        (instead(503, b""), "/token answers 503, and not as OAuth says"),
        (instead(307, b"", location="https://other.example.org"), "not as OAuth says"),
        (instead(200, b" " * 600_000), "more than 512 KiB"),
        (instead(400, {"error": "invalid_scope"}), 'says "invalid_scope"; name scopes'),
        (instead(400, {"error": {"a": 1}}), "the provider says no; "),
        (
            instead(401, {"error": "invalid_client", "error_description": "\x07no"}),
            r'"invalid_client": "\ano"; look at',
        ),
    ],
)
def test_token_endpoint_that_gives_none_is_named(provider: Provider, person: Person, change: Change, says: str) -> None:
    provider.answers({"/token": change})
    refused(provider, says)


def test_what_a_provider_repeats_of_our_secrets_is_left_out(provider: Provider, person: Person, tmp_path: Any) -> None:
    (tmp_path / "secret").write_text("our-own-secret")
    asked = provider.answers({METADATA: members(token_endpoint_auth_methods_supported=["client_secret_post"])})

    def repeats(answer):  # type: ignore[no-untyped-def]
        form = asked.asked[-1][2]
        said = f"bad {form['code']} {form['code_verifier']} {form['client_secret']}"
        return instead(400, {"error": "invalid_grant", "error_description": said})(answer)

    asked.changes["/token"] = repeats
    result = refused(provider, '"invalid_grant": "bad … … …"', "--client-secret-file", str(tmp_path / "secret"))
    assert "our-own-secret" not in result.output


# ---- the provider ---------------------------------------------------------------------------------------------


def test_provider_that_is_down_is_named(person: Person) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    result = command("login", "--issuer", url)
    assert result.exit_code == 1
    assert f"error: {url}/.well-known/openid-configuration does not answer" in result.stderr
    assert not person.opened


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (members(issuer="https://other.example.org"), 'its issuer is "https://other.example.org" instead of'),
        (members(issuer=None), "its issuer is none instead of"),
        (members(authorization_endpoint=None), '"authorization_endpoint" is required'),
        (members(token_endpoint=None), '"token_endpoint" is required'),
        (members(jwks_uri=None), "it has no jwks_uri"),
        (members(jwks_uri="http://keys.example.org"), "is not an https URL"),
        (members(response_types_supported="code"), '"response_types_supported" MUST be JSON array'),
        (members(token_endpoint=7), "of another type than"),
        (members(token_endpoint="http://idp.example.org/token"), '"token_endpoint" MUST use "https" scheme'),
        (members(authorization_endpoint="file:///etc/passwd"), '"authorization_endpoint" MUST use "https"'),
        (members(authorization_endpoint="https://u@idp.example.org/"), "authorization_endpoint is not an https URL"),
        (members(authorization_endpoint='https://idp.example.org/"-x'), "authorization_endpoint is not an https URL"),
        (members(device_authorization_endpoint="http://idp.example.org"), "device_authorization_endpoint is not"),
        (members(code_challenge_methods_supported=["plain"]), 'does not have "S256"'),
        (instead(404, b"no"), "answers 404 instead of 200; is the issuer's URL right?"),
        (instead(302, b"", location="/other"), "answers 302 instead of 200"),
        (instead(200, b"<html>"), "not JSON"),
        (instead(200, b"[]"), "not a JSON object"),
        (instead(200, b'{"issuer": 1, "issuer": 2}'), "issuer"),
    ],
)
def test_metadata_that_cannot_be_trusted_opens_no_browser(
    provider: Provider, person: Person, change: Change, says: str
) -> None:
    provider.answers({METADATA: change})
    refused(provider, says)
    assert not person.opened


@pytest.mark.parametrize(
    "issuer_url", ["idp.example.org", "http://idp.example.org", "ftp://127.0.0.1", "https://", "", "https://a b"]
)
def test_issuer_is_https_or_on_this_machine(person: Person, issuer_url: str) -> None:
    result = command("login", "--issuer", issuer_url)
    assert result.exit_code == 1
    assert "is not an issuer: expected an https URL" in result.stderr


def test_keys_that_are_no_key_set_are_named(provider: Provider, person: Person) -> None:
    provider.answers({"/jwks": instead(200, {"keys": 1})})
    refused(provider, "the provider's key set: it is not a JWK Set")


def test_odd_keys_do_not_stand_between_the_token_and_its_pipe(provider: Provider, person: Person) -> None:
    def odd(answer):  # type: ignore[no-untyped-def]
        keys = json.loads(answer.body)["keys"]
        return instead(200, {"keys": [{"kty": "oct", "k": "AAAA"}, *keys]})(answer)

    provider.answers({"/jwks": odd})
    result = login(provider, "--token")
    assert result.exit_code == 0
    assert provider.running.claims(result.stdout)


@pytest.mark.parametrize(
    ("methods", "content", "says"),
    [
        (["private_key_jwt"], "secret", 'takes clients\' secrets by "private_key_jwt" alone'),
        (None, "\n", "is empty; a public client needs no such file"),
        (None, None, "cannot be read"),
    ],
)
def test_secret_that_cannot_be_used_is_named(
    provider: Provider, person: Person, tmp_path: Any, methods: list[str] | None, content: str | None, says: str
) -> None:
    if content is not None:
        (tmp_path / "secret").write_text(content)
    extra = {"token_endpoint_auth_signing_alg_values_supported": ["RS256"]}
    provider.answers({METADATA: members(token_endpoint_auth_methods_supported=methods, **extra)})
    refused(provider, says, "--client-secret-file", str(tmp_path / "secret"))
    assert not person.opened
