"""Limits and the token guard as clients meet them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from ca.dev.tokens import generate_issuer_key
from ca.main import clock
from tests.api.server import CA, DEAD_ISSUER, body, p256, running_ca


@contextmanager
def limited(directory: Path, guards: dict[str, str] | None = None, **limits: object) -> Iterator[CA]:
    with running_ca(directory, limits=limits, guards=guards) as ca:
        yield ca


def from_address(ca: CA, address: str) -> httpx.Client:
    return httpx.Client(base_url=ca.client.base_url, transport=httpx.HTTPTransport(local_address=address))


def refused(answer: httpx.Response, limit: str) -> httpx.Response:
    assert answer.status_code == 429, answer.text
    said = answer.json()
    assert said["code"] == 8
    assert said["message"].startswith(f"rate limit exceeded: the limit `{limit}` of this server is ")
    assert said["details"][0]["reason"] == "RATE_LIMITED"
    assert said["details"][0]["metadata"] == {"limit": limit}
    assert int(answer.headers["retry-after"]) >= 1
    return answer


def reason(answer: httpx.Response) -> str:
    found: str = answer.json()["details"][0]["reason"]
    return found


# ---- limits --------------------------------------------------------------------------------------------------------


def test_a_client_over_its_limit_is_told_when_to_come_back(tmp_path: Path) -> None:
    with limited(tmp_path, client="1/m burst 3") as ca:
        assert [ca.ask().status_code for _ in range(3)] == [200] * 3
        answer = refused(ca.ask(), "client")
        assert answer.headers["ratelimit-policy"] == '"client";q=3;w=180'
        wait = answer.headers["retry-after"]
        assert 50 < int(wait) <= 60
        assert answer.headers["ratelimit"] == f'"client";r=0;t={wait}'


def test_each_address_has_a_count_of_its_own(tmp_path: Path) -> None:
    with limited(tmp_path, client="1/h burst 1") as ca:
        ca.ask()
        refused(ca.ask(), "client")
        with from_address(ca, "127.0.0.2") as other:
            assert other.post("/api/v2/signingCert", json=body(ca.token())).status_code == 200


def test_other_endpoints_have_no_limit(tmp_path: Path) -> None:
    with limited(tmp_path, client="1/h burst 1") as ca:
        ca.ask()
        refused(ca.ask(), "client")
        for path in ("/healthz", "/readyz", "/api/v2/trustBundle", "/api/v2/configuration"):
            assert ca.client.get(path).status_code == 200


def test_a_network_may_have_another_limit_or_none(tmp_path: Path) -> None:
    overrides = {"127.0.0.2/32": "1/h burst 2", "127.0.0.0/8": "off"}
    with limited(tmp_path, client="1/h burst 1", clients=overrides) as ca:
        assert [ca.ask().status_code for _ in range(5)] == [200] * 5
        with from_address(ca, "127.0.0.2") as other:
            came = [other.post("/api/v2/signingCert", json=body(ca.token())) for _ in range(3)]
        assert [answer.status_code for answer in came] == [200, 200, 429]


def test_an_exempt_network_has_neither_limit(tmp_path: Path) -> None:
    with limited(tmp_path, client="1/h burst 1", failures="1/h burst 1", exempt=["127.0.0.0/8"]) as ca:
        assert [ca.ask("nonsense").status_code for _ in range(5)] == [400] * 5
        assert ca.ask().status_code == 200


@pytest.mark.parametrize("what", ["token", "signature", "audience", "proof", "no token"])
def test_failures_are_counted_and_then_refused_before_anything_is_looked_at(tmp_path: Path, what: str) -> None:
    with limited(tmp_path, failures="1/h burst 3") as ca:
        other = generate_issuer_key()

        def fail() -> httpx.Response:
            match what:
                case "token":
                    return ca.ask("nonsense")
                case "signature":
                    head, claims, _ = ca.token().split(".")
                    return ca.ask(f"{head}.{claims}.{other.mint({}, clock()).split('.')[2]}")
                case "audience":
                    return ca.ask(ca.token(aud="another"))
                case "proof":
                    return ca.ask(challenge="somebody else")
                case _:
                    return ca.ask("")

        assert [fail().status_code for _ in range(3)] == [400] * 3
        refused(fail(), "failures")
        refused(ca.ask(), "failures")
        with from_address(ca, "127.0.0.2") as neighbour:
            assert neighbour.post("/api/v2/signingCert", json=body(ca.token())).status_code == 200


def test_what_is_wrong_with_a_key_is_no_failure_to_authenticate(tmp_path: Path) -> None:
    with limited(tmp_path, failures="1/h burst 1") as ca:
        request = body(ca.token())
        request["publicKeyRequest"]["publicKey"]["content"] = "no key"
        assert [reason(ca.sign(request)) for _ in range(4)] == ["KEY_UNPARSABLE"] * 4
        assert ca.ask().status_code == 200


def test_an_issuer_that_does_not_answer_is_nobodys_failure(tmp_path: Path) -> None:
    with limited(tmp_path, failures="1/h burst 1") as ca:
        assert [ca.ask(ca.token(iss=DEAD_ISSUER)).status_code for _ in range(3)] == [503] * 3
        assert ca.ask().status_code == 200


def test_a_request_whose_issuer_does_not_answer_is_a_request(tmp_path: Path) -> None:
    with limited(tmp_path, client="1/h burst 3") as ca:
        assert [ca.ask(ca.token(iss=DEAD_ISSUER)).status_code for _ in range(3)] == [503] * 3
        refused(ca.ask(ca.token(iss=DEAD_ISSUER)), "client")


def test_an_issuer_and_an_identity_have_their_limits(tmp_path: Path) -> None:
    with limited(tmp_path, issuer="1/h burst 3", identity="1/h burst 2") as ca:
        assert [ca.ask().status_code for _ in range(2)] == [200] * 2
        refused(ca.ask(), "identity")
        bob = {"sub": "bob", "email": "bob@example.com"}
        assert ca.ask(ca.token(**bob), "bob@example.com").status_code == 200
        refused(ca.ask(ca.token(**bob), "bob@example.com"), "issuer")
        assert ca.ask(ca.token("username", sub="carl"), "carl").status_code == 200


def test_issuers_and_identities_may_have_others(tmp_path: Path) -> None:
    limits: dict[str, object] = {"issuer": "1/h burst 1", "identity": "1/h burst 1"}
    (tmp_path / "first").mkdir()
    with limited(tmp_path / "first", **limits, identities={"ada@example.com": "off"}) as ca:
        ca.ask()
        refused(ca.ask(), "issuer")
    with limited(tmp_path, identity="1/h burst 1", identities={"ada@example.com": "1/h burst 3"}) as ca:
        assert [ca.ask().status_code for _ in range(4)] == [200, 200, 200, 429]


def test_nobody_uses_up_an_issuers_limit_without_its_tokens(tmp_path: Path) -> None:
    with limited(tmp_path, issuer="1/h burst 1", identity="1/h burst 1") as ca:
        head, claims, _ = ca.token().split(".")
        forged = base64.urlsafe_b64encode(bytes(256)).decode().rstrip("=")
        for _ in range(5):
            assert reason(ca.ask(f"{head}.{claims}.{forged}")).startswith("TOKEN_")
            assert reason(ca.ask(challenge="somebody else")) == "PROOF_FAILED"
        assert ca.ask().status_code == 200


def test_limits_that_are_off_count_nothing(tmp_path: Path) -> None:
    with limited(tmp_path, client="off", failures="off", issuer="off", identity="off") as ca:
        assert [ca.ask().status_code for _ in range(3)] == [200] * 3
        assert [ca.ask("nonsense").status_code for _ in range(3)] == [400] * 3


def test_both_versions_of_the_api_count_together(tmp_path: Path) -> None:
    with limited(tmp_path, client="1/h burst 1") as ca:
        ca.ask()
        request = {"publicKey": {"algorithm": "ecdsa", "content": ""}, "signedEmailAddress": ""}
        refused(ca.sign(request, 1, Authorization=f"Bearer {ca.token()}"), "client")


def test_browsers_may_read_the_headers(tmp_path: Path) -> None:
    with limited(tmp_path, client="1/h burst 1") as ca:
        ca.ask()
        answer = refused(ca.sign(body(ca.token()), origin="https://example.org"), "client")
        exposed = answer.headers["access-control-expose-headers"].lower()
        assert {"retry-after", "ratelimit", "ratelimit-policy"} <= set(exposed.replace(" ", "").split(","))


# ---- the token guard -----------------------------------------------------------------------------------------------


def test_without_a_guard_a_token_serves_any_keys_as_with_fulcio(tmp_path: Path) -> None:
    with limited(tmp_path) as ca:
        token = ca.token()
        assert [ca.ask(token).status_code for _ in range(3)] == [200] * 3


@pytest.mark.parametrize("guard", ["per-key", "single-use"])
def test_a_guarded_token_serves_one_key_and_the_same_key_again(tmp_path: Path, guard: str) -> None:
    with limited(tmp_path, {"email": guard}) as ca:
        token, key = ca.token(), p256()
        assert [ca.ask(token, key=key).status_code for _ in range(3)] == [200] * 3
        answer = ca.ask(token)
        assert answer.status_code == 400
        assert reason(answer) == "TOKEN_REPLAYED"
        assert answer.json()["message"].startswith("There was an error processing the identity token: ")
        assert token not in answer.text
        assert ca.ask(ca.token(jti="another")).status_code == 200


def test_a_guard_is_its_issuers_alone(tmp_path: Path) -> None:
    with limited(tmp_path, {"email": "per-key"}) as ca:
        token = ca.token("username", sub="carl")
        assert [ca.ask(token, "carl").status_code for _ in range(3)] == [200] * 3


def test_the_same_jti_of_another_token_is_another_token(tmp_path: Path) -> None:
    with limited(tmp_path, {"email": "per-key", "username": "per-key"}) as ca:
        assert ca.ask(ca.token(jti="1")).status_code == 200
        assert ca.ask(ca.token(jti="1", nonce="2")).status_code == 200
        assert ca.ask(ca.token("username", sub="carl", jti="1"), "carl").status_code == 200


def test_a_key_that_is_not_proven_does_not_take_a_token(tmp_path: Path) -> None:
    with limited(tmp_path, {"email": "per-key"}) as ca:
        token = ca.token()
        assert reason(ca.ask(token, challenge="somebody else")) == "PROOF_FAILED"
        assert ca.ask(token).status_code == 200


def test_whitespace_around_a_token_makes_no_other_token(tmp_path: Path) -> None:
    with limited(tmp_path, {"email": "per-key"}) as ca:
        token = ca.token()
        assert ca.ask(token).status_code == 200
        assert reason(ca.ask(f" {token}\n")) == "TOKEN_REPLAYED"
        assert reason(ca.ask(f"{token}=")) == "TOKEN_MALFORMED"


def test_a_guarded_issuer_is_remembered_over_a_restart(tmp_path: Path) -> None:
    with limited(tmp_path, {"email": "per-key"}) as ca:
        ca.ask()
    assert (tmp_path / "limits.sqlite").exists()


def test_a_replay_counts_on_its_client(tmp_path: Path) -> None:
    with limited(tmp_path, {"email": "per-key"}, client="1/h burst 3") as ca:
        token = ca.token()
        assert ca.ask(token).status_code == 200
        assert [reason(ca.ask(token)) for _ in range(2)] == ["TOKEN_REPLAYED"] * 2
        refused(ca.ask(token), "client")


def test_the_answer_is_a_status_in_json(tmp_path: Path) -> None:
    with limited(tmp_path, client="1/h burst 1") as ca:
        ca.ask()
        answer = refused(ca.ask(), "client")
        assert answer.headers["content-type"] == "application/json"
        assert set(json.loads(answer.content)) == {"code", "message", "details"}
