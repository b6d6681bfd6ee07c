"""The description is held to the running server, both ways."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from tests.api.server import CA, DEAD_ISSUER, body


@pytest.fixture(scope="module")
def description(ca: CA) -> Any:
    return ca.client.get("/openapi.json").json()


def test_the_description_is_openapi(description: Any) -> None:
    validate(description)


def test_it_refers_to_nothing_outside_itself(description: Any) -> None:
    assert "http://" not in str(description)
    assert "https://" not in str(description)


def schema(description: Any, path: str, method: str, status: int) -> Any:
    answer = description["paths"][path][method]["responses"][str(status)]
    return {**answer["content"]["application/json"]["schema"], "components": description["components"]}


def test_every_described_path_answers_and_every_other_is_not_found(ca: CA, description: Any) -> None:
    for path, methods in description["paths"].items():
        for method in methods:
            assert ca.client.request(method, path).status_code not in {404, 501}, (method, path)
    assert ca.client.get("/docs").status_code == 404


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v2/trustBundle", 200),
        ("/api/v2/configuration", 200),
        ("/healthz", 200),
        ("/livez", 200),
        ("/readyz", 200),
    ],
)
def test_a_reply_is_as_described(ca: CA, description: Any, path: str, status: int) -> None:
    answer = ca.client.get(path)
    assert answer.status_code == status
    Draft202012Validator(schema(description, path, "get", status)).validate(answer.json())


def test_signing_and_its_refusals_are_as_described(ca: CA, description: Any) -> None:
    path = "/api/v2/signingCert"
    for token in (ca.token(), ca.token(aud="foo"), ca.token(email=None), ca.token(iss=DEAD_ISSUER), "x"):
        request = body(token)
        answer = ca.sign(request)
        Draft202012Validator(schema(description, path, "post", answer.status_code)).validate(answer.json())
        described = description["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        Draft202012Validator({**described, "components": description["components"]}).validate(request)
