"""Row 1 (and the tokens of rows 2 to 6): forged, mangled and mistimed tokens, sent to a whole server.

Expected: 400 with a stable reason, as Fulcio answers bad tokens, never a 5xx, and nothing of the token in the answer.
What is refused for what it is fetches nothing; a bad signature by a known key fetches nothing more; all unknown keys
together cost one fetch. An honest token is still accepted after all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import pytest

from ca.main import clock
from tests.api.server import CA, body, leaf, running_ca
from tests.faults.attacks import with_known_keys, with_unknown_keys, without_a_fetch
from tests.oidc.provider import Provider


@pytest.fixture
def issuing(provider: Provider, tmp_path) -> Iterator[CA]:
    entry = {"issuer-url": provider.issuer, "client-id": "sigstore", "type": "email"}
    with running_ca(tmp_path, more_issuers={provider.issuer: entry}) as ca:
        yield ca


def honest(provider: Provider) -> str:
    return provider.token(clock(), email="ada@example.com", email_verified=True)


def assert_refused(ca: CA, token: str, reason: str, name: str) -> None:
    answer = ca.sign(body(token))
    assert answer.status_code in {400, 413}, f"{name}: {answer.status_code} {answer.text}"
    if answer.status_code == 400:
        assert answer.json()["details"][0]["reason"] == reason, f"{name}: {answer.text}"
    for part in token.split("."):
        assert len(part) < 24 or part not in answer.text, name


def test_hostile_tokens_are_refused_for_a_reason_and_fetch_what_they_may(provider: Provider, issuing: CA) -> None:
    refused = 0
    for name, token, reason in without_a_fetch(provider, clock()):
        assert_refused(issuing, token, reason, name)
        refused += 1
    assert not provider.fetches
    for name, token, reason in with_known_keys(provider, clock()):
        assert_refused(issuing, token, reason, name)
        refused += 1
    assert provider.fetches == {"discovery": 1, "jwks": 1}
    for name, token, reason in with_unknown_keys(provider, clock()):
        assert_refused(issuing, token, reason, name)
        refused += 1
    assert provider.fetches == {"discovery": 2, "jwks": 2}
    assert leaf(issuing.ask(honest(provider)))
    assert refused > 150


def test_the_header_of_a_request_is_as_strict_as_its_body(provider: Provider, issuing: CA) -> None:
    for name, token, reason in chain(with_known_keys(provider, clock()), with_unknown_keys(provider, clock())):
        request = body(token)
        del request["credentials"]
        answer = issuing.sign(request, Authorization=f"Bearer {token}")
        assert answer.status_code == 400, name
        assert answer.json()["details"][0]["reason"] == reason, name
    assert provider.fetches == {"discovery": 2, "jwks": 2}
