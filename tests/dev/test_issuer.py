from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import webbrowser
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc.jwk import RSAKey
from sigstore.oidc import Issuer as SigstoreIssuer

from ca.dev.grants import OUT_OF_BAND
from tests.dev.conftest import RunningIssuer
from tests.dev.person import Page, submit

CALLBACK = "http://localhost:41999/auth/callback"
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
VERIFIER = secrets.token_urlsafe(32)


def challenge(verifier: str = VERIFIER) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def asking(**changes: str | None) -> dict[str, str]:
    """The authorization request that cosign and sigstore-python send, with changes; None leaves one out."""
    request = {
        "response_type": "code",
        "client_id": "sigstore",
        "client_secret": "",
        "scope": "openid email",
        "redirect_uri": CALLBACK,
        "code_challenge": challenge(),
        "code_challenge_method": "S256",
        "state": "a state",
        "nonce": "n-1",
    }
    return {name: value for name, value in (request | changes).items() if value is not None}


def login(
    issuer: RunningIssuer, email: str = "ada@example.com", claims: str = "", **changes: str | None
) -> dict[str, str]:
    """Asks, fills the page in, and returns what the redirect carries."""
    page = issuer.client.get("/auth", params=asking(**changes))
    answer = submit(issuer.client, page, email=email, claims=claims)
    assert answer.status_code == 303, answer.text
    return carried(answer)


def carried(redirect: httpx.Response) -> dict[str, str]:
    return {k: v[0] for k, v in parse_qs(urlsplit(redirect.headers["location"]).query).items()}


def redeem(issuer: RunningIssuer, code: str | None, **changes: str | None) -> httpx.Response:
    form = {
        "grant_type": "authorization_code",
        "client_id": "sigstore",
        "code": code,
        "code_verifier": VERIFIER,
        "redirect_uri": CALLBACK,
    }
    return issuer.client.post("/token", data={k: v for k, v in (form | changes).items() if v is not None})


def assert_oauth_error(answer: httpx.Response, error: str, status: int = 400) -> None:
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert answer.json()["error_description"]
    assert answer.headers["cache-control"] == "no-store"


# ---- discovery and keys ------------------------------------------------------------------------------------


def test_discovery_names_the_issuer_to_the_byte_and_what_cosign_insists_on(issuer: RunningIssuer) -> None:
    document = issuer.client.get("/.well-known/openid-configuration").json()
    assert document["issuer"] == issuer.url
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["id_token_signing_alg_values_supported"] == ["RS256"]
    assert document["device_authorization_endpoint"] == f"{issuer.url}/device_authorization"


def test_jwks_holds_the_public_key_alone_named_by_its_thumbprint(issuer: RunningIssuer) -> None:
    (jwk,) = issuer.client.get("/jwks").json()["keys"]
    assert jwk.keys() == {"kty", "n", "e", "use", "alg", "kid"}
    canonical = json.dumps({k: jwk[k] for k in ("e", "kty", "n")}, separators=(",", ":")).encode()
    assert jwk["kid"] == base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()  # RFC 7638
    assert not RSAKey.import_key(jwk).is_private


@pytest.mark.parametrize("host", ["evil.example", "evil.example:5556", "localhost.evil.example", "", "10.0.0.1"])
def test_host_that_is_not_ours_is_refused_so_that_no_name_can_be_rebound(issuer: RunningIssuer, host: str) -> None:
    assert issuer.client.get("/.well-known/openid-configuration", headers={"Host": host}).status_code == 400


def test_no_answer_may_be_read_by_another_web_page(issuer: RunningIssuer) -> None:
    answer = issuer.client.post("/token", data={}, headers={"Origin": "http://evil.example"})
    assert "access-control-allow-origin" not in answer.headers


# ---- the authorization code flow ---------------------------------------------------------------------------


def test_login_gives_a_token_that_every_sigstore_client_can_use(issuer: RunningIssuer) -> None:
    reply = login(issuer)
    assert reply["state"] == "a state"
    answer = redeem(issuer, reply["code"])
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert body["id_token"] == body["access_token"]
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 600)
    now = int(issuer.clock.now.timestamp())
    assert issuer.claims(body["id_token"]) == {
        "iss": issuer.url,
        "aud": "sigstore",
        "sub": "ada@example.com",
        "email": "ada@example.com",
        "email_verified": True,
        "iat": now,
        "nbf": now,
        "exp": now + 600,
        "nonce": "n-1",
    }
    header = json.loads(base64.urlsafe_b64decode(body["id_token"].partition(".")[0] + "=="))
    assert header["alg"] == "RS256"


def test_token_without_a_nonce_asked_carries_none(issuer: RunningIssuer) -> None:
    token = redeem(issuer, login(issuer, nonce=None)["code"]).json()["id_token"]
    assert "nonce" not in issuer.claims(token)


def test_further_claims_are_text_or_json_as_written(issuer: RunningIssuer) -> None:
    reply = login(issuer, claims='sub=repo:o/r\r\ngroups:=["dev", "ops"]\r\n\r\nemail_verified:=false')
    claims = issuer.claims(redeem(issuer, reply["code"]).json()["id_token"])
    assert (claims["sub"], claims["groups"], claims["email_verified"]) == ("repo:o/r", ["dev", "ops"], False)


def test_token_request_authenticates_with_an_empty_secret_in_http_basic(issuer: RunningIssuer) -> None:
    form = {"grant_type": "authorization_code", "code_verifier": VERIFIER, "redirect_uri": CALLBACK}
    code = login(issuer)["code"]
    assert issuer.client.post("/token", data=form | {"code": code}, auth=("sigstore", "")).status_code == 200


def test_redirect_uri_keeps_its_own_query(issuer: RunningIssuer) -> None:
    page = issuer.client.get("/auth", params=asking(redirect_uri=f"{CALLBACK}?session=7"))
    location = submit(issuer.client, page, email="ada@example.com").headers["location"]
    assert location.startswith(f"{CALLBACK}?session=7&code=")


@pytest.mark.parametrize(
    "redirect_uri",
    [
        "https://evil.example/auth/callback",
        "http://evil.example/auth/callback",
        "http://localhost.evil.example/",
        "http://localhost@evil.example/",
        "http://localhost:80@evil.example/",
        "http://localhost\\@evil.example/",
        "http://evil.example\\@localhost/",
        "http://localhost:41999/#fragment",
        "http://localhost:41999/\nX-Injected: 1",
        "http://127.0.0.1.evil.example/",
        "http://127.1/",
        "http://[::1]:41999/auth/callback",
        "https://localhost:41999/auth/callback",
        "javascript:alert(1)//localhost",
        "//localhost/",
        "urn:ietf:wg:oauth:2.0:oob:auto",
        None,
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_foreign_redirect_uri_is_refused_and_never_followed(
    issuer: RunningIssuer, redirect_uri: str | None, method: str
) -> None:
    fields = asking(redirect_uri=redirect_uri)
    if method == "GET":
        answer = issuer.client.get("/auth", params=fields)
    else:
        answer = issuer.client.post("/auth", data=fields | {"email": "ada@example.com"})
    assert answer.status_code == 400
    assert "location" not in answer.headers
    assert "redirect_uri must be" in Page(answer.text).text["alert"]


@pytest.mark.parametrize("client_id", ["evil", "SIGSTORE", "sigstore ", None])
def test_foreign_client_is_refused_without_a_redirect(issuer: RunningIssuer, client_id: str | None) -> None:
    answer = issuer.client.get("/auth", params=asking(client_id=client_id))
    assert answer.status_code == 400
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge": challenge() + "="}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),  # would mean "plain" (RFC 7636 §4.3)
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code id_token"}, "unsupported_response_type"),
        ({"response_type": None}, "unsupported_response_type"),
        ({"prompt": "none"}, "login_required"),
    ],
)
def test_request_that_cannot_be_answered_goes_back_with_the_error_and_the_state(
    issuer: RunningIssuer, changes: dict[str, str | None], error: str
) -> None:
    answer = issuer.client.get("/auth", params=asking(**changes))
    assert answer.status_code == 303
    assert answer.headers["location"].startswith(f"{CALLBACK}?error=")
    assert (carried(answer)["error"], carried(answer)["state"]) == (error, "a state")


def test_form_is_checked_again_when_it_comes_back(issuer: RunningIssuer) -> None:
    page = issuer.client.get("/auth", params=asking())
    answer = submit(issuer.client, page, email="ada@example.com", code_challenge_method="plain")
    assert carried(answer)["error"] == "invalid_request"


def test_refusing_to_log_in_is_access_denied(issuer: RunningIssuer) -> None:
    page = issuer.client.get("/auth", params=asking())
    assert carried(submit(issuer.client, page, decision="deny"))["error"] == "access_denied"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_link_alone_logs_nobody_in(issuer: RunningIssuer, method: str) -> None:
    fields = asking() | {"email": "ada@example.com", "decision": "approve"}
    answer = issuer.client.request(method, "/auth", params=fields)
    assert answer.status_code == 200
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    ("email", "claims", "told"),
    [
        ("", "", "an e-mail address"),
        ("ada", "", "an e-mail address"),
        ("ada@localhost", "", "an e-mail address"),
        ("ada@example.com, eve@example.com", "", "an e-mail address"),
        ("ada@example.com", "iss=https://accounts.google.com", '"iss" is set by the issuer'),
        ("ada@example.com", "aud=other", '"aud" is set by the issuer'),
        ("ada@example.com", "exp:=99999999999", '"exp" is set by the issuer'),
        ("ada@example.com", "email=eve@example.com", '"email" is set by the issuer'),
        ("ada@example.com", "groups", "name=text"),
        ("ada@example.com", "=dev", "name=text"),
        ("ada@example.com", "groups:=[dev]", "is not JSON"),
        ("ada@example.com", "groups:=NaN", "is not JSON"),
        ("ada@example.com", "a=1\na=2", "twice"),
    ],
)
def test_what_cannot_become_a_token_is_asked_again(issuer: RunningIssuer, email: str, claims: str, told: str) -> None:
    answer = submit(issuer.client, issuer.client.get("/auth", params=asking()), email=email, claims=claims)
    assert answer.status_code == 400
    page = Page(answer.text)
    assert told in page.text["alert"]
    assert page.fields["email"] == email
    assert page.fields["code_challenge"] == challenge()


# ---- the token endpoint ------------------------------------------------------------------------------------


def test_code_is_good_once(issuer: RunningIssuer) -> None:
    code = login(issuer)["code"]
    assert redeem(issuer, code).status_code == 200
    assert_oauth_error(redeem(issuer, code), "invalid_grant")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_verifier": secrets.token_urlsafe(32)}, "invalid_grant"),
        ({"code_verifier": None}, "invalid_request"),
        ({"code_verifier": challenge()[:42]}, "invalid_request"),
        ({"code_verifier": "é" * 43}, "invalid_request"),
        ({"redirect_uri": "http://localhost:41998/auth/callback"}, "invalid_grant"),
        ({"redirect_uri": None}, "invalid_grant"),
    ],
)
def test_failed_attempt_is_refused_and_uses_the_code_up(
    issuer: RunningIssuer, changes: dict[str, str | None], error: str
) -> None:
    code = login(issuer)["code"]
    assert_oauth_error(redeem(issuer, code, **changes), error)
    assert_oauth_error(redeem(issuer, code), "invalid_grant")


def test_code_expires_after_a_minute(issuer: RunningIssuer) -> None:
    in_time, late = login(issuer)["code"], login(issuer)["code"]
    issuer.clock.advance(seconds=59.9)
    assert redeem(issuer, in_time).status_code == 200
    issuer.clock.advance(seconds=0.1)
    assert_oauth_error(redeem(issuer, late), "invalid_grant")


@pytest.mark.parametrize("code", ["guess", None])
def test_unknown_code_is_refused(issuer: RunningIssuer, code: str | None) -> None:
    assert_oauth_error(redeem(issuer, code), "invalid_grant")


@pytest.mark.parametrize("client_id", ["evil", None])
def test_token_request_of_a_foreign_client_is_refused(issuer: RunningIssuer, client_id: str | None) -> None:
    assert_oauth_error(redeem(issuer, login(issuer)["code"], client_id=client_id), "invalid_client", 401)


@pytest.mark.parametrize(
    "authorization",
    [
        "Basic " + base64.b64encode(b"evil:").decode(),
        "Basic " + base64.b64encode(b"sigstore:guess").decode(),
        "Basic " + base64.b64encode(b"\xff:").decode(),
        "Basic not base64",
        "Bearer sigstore",
    ],
)
def test_bad_client_authentication_is_refused_with_a_challenge(issuer: RunningIssuer, authorization: str) -> None:
    form = {"grant_type": "authorization_code", "client_id": "sigstore", "code": login(issuer)["code"]}
    answer = issuer.client.post("/token", data=form, headers={"Authorization": authorization})
    assert_oauth_error(answer, "invalid_client", 401)
    assert answer.headers["www-authenticate"].startswith("Basic ")


def test_client_named_twice_must_be_the_same(issuer: RunningIssuer) -> None:
    answer = issuer.client.post("/token", data={"client_id": "evil"}, auth=("sigstore", ""))
    assert_oauth_error(answer, "invalid_client", 401)


@pytest.mark.parametrize("grant_type", ["password", "client_credentials", "refresh_token", None])
def test_other_grant_types_are_refused(issuer: RunningIssuer, grant_type: str | None) -> None:
    assert_oauth_error(redeem(issuer, "x", grant_type=grant_type), "unsupported_grant_type")


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"client_id=sigstore&client_id=evil", "application/x-www-form-urlencoded", 400),
        (b"client_id=%ff", "application/x-www-form-urlencoded", 400),
        (b"client_id=\xff", "application/x-www-form-urlencoded", 400),
        (b"&".join(b"a%d=1" % n for n in range(65)), "application/x-www-form-urlencoded", 400),
        (b"a=" + b"x" * 16_384, "application/x-www-form-urlencoded", 413),
        (b'{"client_id": "sigstore"}', "application/json", 400),
        (b"client_id=sigstore", "", 400),
    ],
)
@pytest.mark.parametrize("path", ["/token", "/device_authorization"])
def test_malformed_form_is_refused(
    issuer: RunningIssuer, path: str, body: bytes, content_type: str, status: int
) -> None:
    answer = issuer.client.post(path, content=body, headers={"Content-Type": content_type})
    assert_oauth_error(answer, "invalid_request", status)


def test_thousands_of_abandoned_logins_push_out_only_the_oldest(issuer: RunningIssuer) -> None:
    first = login(issuer)["code"]
    fields = asking() | {"email": "ada@example.com"}
    codes = [carried(issuer.client.post("/auth", data=fields))["code"] for _ in range(1000)]
    assert_oauth_error(redeem(issuer, first), "invalid_grant")
    assert redeem(issuer, codes[0]).status_code == 200


# ---- the device flow ---------------------------------------------------------------------------------------


def start_device(issuer: RunningIssuer, **fields: str) -> dict[str, Any]:
    answer = issuer.client.post("/device_authorization", data={"client_id": "sigstore"} | fields)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


def poll(issuer: RunningIssuer, device: dict[str, Any], **fields: str) -> httpx.Response:
    form = {"grant_type": DEVICE_GRANT, "client_id": "sigstore", "device_code": device["device_code"]}
    return issuer.client.post("/token", data=form | fields)


def enter(issuer: RunningIssuer, device: dict[str, Any], **typed: str) -> httpx.Response:
    page = issuer.client.get(device["verification_uri_complete"])
    return submit(issuer.client, page, email="ada@example.com", **typed)


def test_device_gets_its_token_once_a_person_entered_the_code(issuer: RunningIssuer) -> None:
    device = start_device(issuer, scope="openid email", code_challenge=challenge(), code_challenge_method="S256")
    assert re.fullmatch(r"[B-Z]{4}-[B-Z]{4}", device["user_code"])
    assert_oauth_error(poll(issuer, device, code_verifier=VERIFIER), "authorization_pending")
    assert enter(issuer, device).status_code == 200
    answer = poll(issuer, device, code_verifier=VERIFIER)
    assert issuer.claims(answer.json()["id_token"])["email"] == "ada@example.com"
    assert_oauth_error(poll(issuer, device, code_verifier=VERIFIER), "invalid_grant")


def test_device_code_may_be_typed_carelessly(issuer: RunningIssuer) -> None:
    device = start_device(issuer)
    typed = device["user_code"].lower().replace("-", " ")
    assert enter(issuer, device, user_code=typed).status_code == 200
    assert poll(issuer, device).status_code == 200


def test_device_that_polls_too_often_is_told_to_slow_down(issuer: RunningIssuer) -> None:
    device = start_device(issuer)
    assert_oauth_error(poll(issuer, device), "authorization_pending")
    assert_oauth_error(poll(issuer, device), "slow_down")
    issuer.clock.advance(seconds=device["interval"])
    assert_oauth_error(poll(issuer, device), "authorization_pending")


def test_device_code_expires(issuer: RunningIssuer) -> None:
    device = start_device(issuer)
    issuer.clock.advance(seconds=device["expires_in"])
    assert enter(issuer, device).status_code == 400
    assert_oauth_error(poll(issuer, device), "expired_token")
    assert_oauth_error(poll(issuer, device), "invalid_grant")


def test_device_code_expires_even_when_approved_in_time(issuer: RunningIssuer) -> None:
    device = start_device(issuer)
    enter(issuer, device)
    issuer.clock.advance(seconds=device["expires_in"])
    assert_oauth_error(poll(issuer, device), "expired_token")


def test_refused_device_is_told_so(issuer: RunningIssuer) -> None:
    device = start_device(issuer)
    assert enter(issuer, device, decision="deny").status_code == 200
    assert_oauth_error(poll(issuer, device), "access_denied")


@pytest.mark.parametrize("verifier", [{}, {"code_verifier": secrets.token_urlsafe(32)}])
def test_device_that_gave_a_challenge_must_show_its_verifier(issuer: RunningIssuer, verifier: dict[str, str]) -> None:
    device = start_device(issuer, code_challenge=challenge(), code_challenge_method="S256")
    enter(issuer, device)
    assert poll(issuer, device, **verifier).status_code == 400


@pytest.mark.parametrize("user_code", ["", "BCDF-GHJK", "<b>"])
def test_unknown_user_code_is_asked_again(issuer: RunningIssuer, user_code: str) -> None:
    device = start_device(issuer)
    answer = enter(issuer, device, user_code=user_code)
    assert answer.status_code == 400
    assert "no device is waiting" in Page(answer.text).text["alert"]
    assert_oauth_error(poll(issuer, device), "authorization_pending")


def test_user_code_is_decided_once(issuer: RunningIssuer) -> None:
    device = start_device(issuer)
    enter(issuer, device)
    assert enter(issuer, device, decision="deny").status_code == 400
    assert poll(issuer, device).status_code == 200


def test_device_of_a_foreign_client_is_refused(issuer: RunningIssuer) -> None:
    answer = issuer.client.post("/device_authorization", data={"client_id": "evil"})
    assert_oauth_error(answer, "invalid_client", 401)


@pytest.mark.parametrize("device_code", ["guess", ""])
def test_unknown_device_code_is_refused(issuer: RunningIssuer, device_code: str) -> None:
    assert_oauth_error(poll(issuer, {"device_code": device_code}), "invalid_grant")


# ---- the pages ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/auth", "/device", "/auth?client_id=evil"])
def test_pages_run_nothing_load_nothing_and_may_not_be_framed(issuer: RunningIssuer, path: str) -> None:
    answer = issuer.client.get(path, params=None if "?" in path else asking())
    page = Page(answer.text)
    assert (page.loads, page.scripts) == ([], 0)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self' ")
    style = re.search(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    assert style is not None
    assert f"'sha256-{base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()}'" in policy
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert " style=" not in answer.text


def test_every_field_that_a_person_fills_in_has_a_label(issuer: RunningIssuer) -> None:
    assert Page(issuer.client.get("/auth", params=asking()).text).labelled == {"email", "claims"}
    assert Page(issuer.client.get("/device").text).labelled == {"user_code", "email", "claims"}


def test_what_comes_from_outside_stays_text(issuer: RunningIssuer) -> None:
    attack = '"><script>alert(1)</script>'
    params = asking(state=attack, nonce=attack, login_hint=attack) | {attack: attack}
    page = issuer.client.get("/auth", params=params)
    assert Page(page.text).scripts == 0
    assert Page(page.text).fields["state"] == attack
    again = submit(issuer.client, page, email=attack, claims="</textarea><script>")
    assert Page(again.text).scripts == 0
    assert Page(issuer.client.get("/device", params={"user_code": attack}).text).scripts == 0


# ---- sigstore-python as it is ------------------------------------------------------------------------------

# It leaves the socket that waits for the redirect, and its session, to the garbage collector.
leaves_sockets_open = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@leaves_sockets_open
def test_sigstore_python_logs_in_out_of_band(
    issuer: RunningIssuer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def carry_the_code_over(_prompt: str) -> str:
        """What sigstore asks a person to do: open the printed link, log in, copy the code."""
        (link,) = re.findall(r"http://\S+", capsys.readouterr().err)
        answer = submit(issuer.client, issuer.client.get(link), email="ada@example.com")
        return Page(answer.text).text["code"]

    monkeypatch.setattr("builtins.input", carry_the_code_over)
    token = SigstoreIssuer(issuer.url).identity_token(force_oob=True)
    assert (token.issuer, token.identity) == (issuer.url, "ada@example.com")
    assert issuer.claims(str(token))["aud"] == "sigstore"


@leaves_sockets_open
def test_sigstore_python_logs_in_with_a_browser(issuer: RunningIssuer, monkeypatch: pytest.MonkeyPatch) -> None:
    def browse(link: str) -> bool:
        page = issuer.client.get(link, follow_redirects=True)
        redirect = submit(issuer.client, page, email="ada@example.com")
        assert issuer.client.get(redirect.headers["location"]).status_code == 200
        return True

    monkeypatch.setattr(webbrowser, "open", browse)
    token = SigstoreIssuer(issuer.url).identity_token()
    assert token.identity == "ada@example.com"


def test_out_of_band_refusal_is_shown_on_the_page(issuer: RunningIssuer) -> None:
    page = issuer.client.get("/auth", params=asking(redirect_uri=OUT_OF_BAND))
    answer = submit(issuer.client, page, decision="deny")
    assert answer.status_code == 400
    assert "refused" in Page(answer.text).text["alert"]
