"""The description is held to the running server, both ways."""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from tests.api.log_server import Served, running_logs
from tests.api.server import CA, DEAD_ISSUER, body
from tests.certificate.pki import issue, make_ca
from tests.ct.embedded.builders import CHAIN


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


def operations(description: Any, *, of_log: bool) -> Iterator[tuple[str, str, Any]]:
    """Path, method and operation; those of the log are there where it is in this process."""
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            if ("log" in operation.get("tags", ())) == of_log:
                yield path, method, operation


def test_every_described_path_answers_and_every_other_is_not_found(ca: CA, description: Any) -> None:
    for path, method, _ in operations(description, of_log=False):
        assert ca.client.request(method, path).status_code not in {404, 501}, (method, path)
    assert ca.client.get("/docs").status_code == 404


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v2/trustBundle", 200),
        ("/api/v2/configuration", 200),
        ("/api/v2/trustedRoot", 200),
        ("/api/v2/signingConfig", 200),
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


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with running_logs(tmp_path_factory.mktemp("logs"), make_ca(), 3) as logs:
        yield logs


def as_described(description: Any, operation: Any, answer: httpx.Response) -> None:
    described = operation["responses"][str(answer.status_code)]
    ((kind, content),) = described["content"].items()
    assert answer.headers["content-type"].partition(";")[0] == kind
    assert {name.lower() for name in described["headers"]} - {"content-encoding"} <= {*answer.headers}
    if kind == "application/json":
        schema = {**content["schema"], "components": description["components"]}
        Draft202012Validator(schema).validate(answer.json())


def asked(served: Served, path: str, method: str, operation: Any, values: dict[str, Any]) -> httpx.Response:
    """The answer to an operation with its examples, and with `values` for what depends on the log."""
    query = {}
    for parameter in operation.get("parameters", ()):
        name = parameter["name"]
        value = values.get(name, parameter.get("example"))
        if parameter["in"] == "path":
            path = path.replace(f"{{{name}}}", str(value))
        elif value is not None:
            query[name] = value
    return served.client.request(method, path, params=query)


def test_what_the_log_gives_is_as_described(served: Served, description: Any) -> None:
    leaf = b64decode(served.get("ct/v1/get-entries", start=0, end=0).json()["entries"][0]["leaf_input"])
    values = {
        "hash": b64encode(hashlib.sha256(b"\0" + leaf).digest()).decode(),
        "fingerprint": hashlib.sha256(CHAIN[0]).hexdigest(),
    }
    for path, method, operation in operations(description, of_log=True):
        if method == "get":
            answer = asked(served, path, method, operation, values)
            assert answer.status_code == 200, path
            as_described(description, operation, answer)


def test_what_the_log_refuses_is_as_described(served: Served, description: Any) -> None:
    values = {
        "hash": b64encode(bytes(32)).decode(), "fingerprint": "00" * 32, "index": "999", "leaf_index": 3, "start": 9,
        "first": 9,
    }  # fmt: skip
    for path, method, operation in operations(description, of_log=True):
        answer = asked(served, path, method, operation, values)
        if operation.get("parameters") or method == "post":
            assert answer.status_code in {400, 404}, path
            as_described(description, operation, answer)


def test_submitting_is_as_described(tmp_path: Path, description: Any) -> None:
    ca = make_ca()
    chains = {
        "add-chain": [issue(ca).final, *ca.chain.ders],
        "add-pre-chain": [issue(ca).precertificate, *ca.chain.ders],
    }
    with running_logs(tmp_path, ca) as logs:
        answers = [
            (function, answer)
            for function, chain in chains.items()
            for answer in (
                logs.add(function, *chain),
                logs.add(function, bytes(70_000)),
                logs.add(function, *chain, prefix="/ctlog/2026h1"),
            )
        ]
        asyncio.run(logs.log.aclose())
        answers += [(function, logs.add(function, *chain)) for function, chain in chains.items()]
        assert [answer.status_code for _, answer in answers] == [200, 413, 410] * 2 + [503] * 2
    for function, answer in answers:
        as_described(description, description["paths"][f"/ctlog/ct/v1/{function}"]["post"], answer)
