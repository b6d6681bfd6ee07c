"""Row 3: a member that comes twice means one thing to one reader and another to the next.

Expected: refused wherever JSON or YAML is read: tokens, request bodies, discovery, key sets, both configurations.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ca.main import clock
from tests.api.server import body, key_request
from tests.faults.conftest import ServerFile
from tests.faults.issuing import Issuing, issuing, reason
from tests.oidc import provider as misbehaving
from tests.oidc.provider import Provider, sign
from tests.process import command


@pytest.fixture
def served(tmp_path: Path, provider: Provider) -> Iterator[Issuing]:
    with issuing(tmp_path, provider) as running:
        yield running


@pytest.mark.parametrize("member", ["iss", "sub", "aud", "exp", "email", "email_verified", "\\u0069ss", "anything"])
def test_a_claim_twice_is_refused(served: Issuing, member: str) -> None:
    claims = json.dumps(served.provider.claims(clock(), email="ada@example.com", email_verified=True, anything=1))
    doubled = f'{claims[:-1]}, "{member}": "x"}}'.encode()
    key = served.provider.keys[-1]
    token = sign(key, doubled, {"alg": "ES256", "kid": key.kid})
    assert reason(served.ca.sign(body(token))) == "TOKEN_MALFORMED"


def test_a_member_of_the_body_twice_is_refused(served: Issuing) -> None:
    request = {
        "credentials": {"oidcIdentityToken": served.ca.token()},
        "publicKeyRequest": key_request("ada@example.com"),
    }
    text = json.dumps(request)
    for member, value in (
        ("credentials", {}), ("credentials", request["credentials"]), ("publicKeyRequest", {}),
        ("public_key_request", request["publicKeyRequest"]), ("certificateSigningRequest", "AAAA"),
    ):  # fmt: skip
        doubled = f'{text[:-1]}, "{member}": {json.dumps(value)}}}'
        answer = served.ca.client.post("/api/v2/signingCert", content=doubled)
        assert reason(answer) == "MALFORMED_REQUEST", member


@pytest.mark.parametrize("document", ["discovery", "jwks"])
def test_a_member_of_an_issuers_documents_twice_makes_it_unavailable(served: Issuing, document: str) -> None:
    text = json.dumps(served.provider.documents()[document])
    member = "jwks_uri" if document == "discovery" else "keys"
    doubled = f'{text[:-1]}, "{member}": {json.dumps(served.provider.documents()[document][member])}}}'
    served.provider.misbehave(document, misbehaving.body(doubled.encode()))
    answer = served.answer()
    assert answer.status_code == 503
    assert answer.json()["details"][0]["reason"] == "ISSUER_UNAVAILABLE"


@pytest.mark.parametrize("text", ["type: email\n    type: uri", "client-id: a\n    client-id: sigstore"])
def test_a_member_of_the_identity_configuration_twice_stops_the_start(
    server_file: ServerFile, provider: Provider, text: str
) -> None:
    file = server_file()
    entry = f"  {provider.issuer}:\n    issuer-url: {provider.issuer}\n    client-id: sigstore\n    type: email\n"
    good = f"oidc-issuers:\n{entry}"
    identities = file.with_name("identity.yaml")
    for broken in (
        good.replace(text.partition(":")[0] + ": ", text + "\n    " + text.partition(":")[0] + ": ", 1),
        good + entry,
    ):
        identities.write_text(broken)
        result = command("config", "check", "--config", file)
        assert result.exit_code == 78, result.output
        assert "identity.yaml:" in result.output
    identities.write_text(good)
    assert command("config", "check", "--config", file).exit_code == 0


def test_a_member_of_the_servers_configuration_twice_stops_the_start(server_file: ServerFile) -> None:
    file = server_file()
    file.write_text(file.read_text() + "workers: 1\nworkers: 2\n")
    result = command("config", "check", "--config", file)
    assert result.exit_code == 78
    assert "ca.yaml:" in result.output
