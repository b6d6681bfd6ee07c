"""Row 23: whatever an API can be sent, by the description and against it.

Expected: no 5xx but the documented 503 and Fulcio's 501 for unknown methods, no traceback, no echo of tokens, and an
honest request is still served after all of it. A server of its own, with all it can serve: the embedded log, timestamps,
what clients are to trust.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.api.server import body, csr, leaf, p256
from tests.faults.replicas import Replicas, whole_server
from tests.process import Served

FUZZ_SECONDS = os.environ.get("FUZZ_SECONDS")
"""Set, random requests are made for so long, and other ones every time."""
SCHEMATHESIS = Path(__file__).parent / "schemathesis"
SIGNING = ("/api/v2/signingCert", "/api/v1/signingCert")
POSTED = (*SIGNING, "/api/v1/timestamp", "/ctlog/ct/v1/add-chain", "/ctlog/ct/v1/add-pre-chain")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Replicas, Served]]:
    with whole_server(tmp_path_factory.mktemp("whole")) as running:
        yield running


@pytest.fixture
def server(whole: tuple[Replicas, Served]) -> Iterator[Replicas]:
    """The server; whatever a test did to it, it must not have met the unexpected, and must still issue."""
    replicas, served = whole
    before = len(served.stderr.read_bytes())
    yield replicas
    assert leaf(replicas.ask())
    assert served.process.poll() is None
    log = served.stderr.read_bytes()[before:].decode(errors="replace")
    assert "unexpected error" not in log
    assert "Traceback" not in log


def send(server: Replicas, method: str, path: str, content: bytes = b"", **headers: str) -> tuple[int, str]:
    """Status, and headers with body as text. Nothing is normalised on the way."""
    connection = HTTPConnection(urlsplit(server.urls[0]).netloc, timeout=20)
    connection.putrequest(method, path, skip_accept_encoding=True)
    for name, value in {"Content-Length": str(len(content)), "Content-Type": "application/json", **headers}.items():
        connection.putheader(name, value)
    connection.endheaders(content)
    answer = connection.getresponse()
    text = f"{answer.headers}{answer.read().decode('utf-8', 'replace')}"
    connection.close()
    assert "Traceback" not in text
    return answer.status, text


def refused(server: Replicas, path: str, content: bytes, **headers: str) -> str:
    status, text = send(server, "POST", path, content, **headers)
    assert status in {400, 413}, (path, content[:100], status, text)
    return text


def request_of(server: Replicas, **members: Any) -> dict[str, Any]:
    return {**body(server.token(), key=p256()), **members}


# ---- by the description --------------------------------------------------------------------------------------------


@pytest.mark.timeout(60 + int(FUZZ_SECONDS or 0))
def test_schemathesis_finds_nothing(server: Replicas, tmp_path: Path) -> None:
    """With a token that is good, so that requests reach what comes after it."""
    how = ["--max-time", FUZZ_SECONDS] if FUZZ_SECONDS else ["-n", "20", "--seed", "23"]
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", SCHEMATHESIS / "schemathesis.toml"]
    command += [
        "run",
        f"{server.urls[0]}/openapi.json",
        "--checks",
        "all",
        "--exclude-checks",
        "unsupported_method",
        "--continue-on-failure",
        "--no-color",
        *how,
    ]
    command += ["--header", f"Authorization: Bearer {server.token()}"]
    environment = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": "tests.faults.schemathesis.leaks",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    run = subprocess.run(
        list(map(str, command)), cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "tells_nothing" not in run.stderr


# ---- against it ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/xml", "multipart/form-data", "application/json; charset=utf-16", "\xe9/*"]
)
def test_a_content_type_changes_nothing_but_the_kind_of_a_timestamp(server: Replicas, kind: str) -> None:
    request = json.dumps(request_of(server)).encode()
    assert send(server, "POST", "/api/v2/signingCert", request, **{"Content-Type": kind})[0] == 200
    for path in POSTED[1:]:
        refused(server, path, b"{}", **{"Content-Type": kind})


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "utf-7", "cp037"])
@pytest.mark.parametrize("path", SIGNING)
def test_json_is_utf_8_without_a_byte_order_mark(server: Replicas, path: str, encoding: str) -> None:
    token = server.token()
    content = json.dumps({"credentials": {"oidcIdentityToken": token}, "é": 1}, ensure_ascii=False).encode(encoding)
    assert token.rpartition(".")[2] not in refused(server, path, content)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\x00", b"\xff\xfe", b"null", b"[]", b"1", b'"x"', b"{", b"}", b"{]", b"[" * 50_000, b'{"a":' * 10_000,
        b'{"credentials":NaN}', b'{"credentials":{"oidcIdentityToken":NaN}}', b'{"credentials":-Infinity}',
        b'{"publicKeyRequest":{"proofOfPossession":"\\ud800"}}', b'{"credentials":{"oidcIdentityToken":"\\udc00x"}}',
        b'{"credentials":{},"credentials":{}}', b'{"credentials":{"oidcIdentityToken":"a","oidc_identity_token":"b"}}',
        b'{"chain":["\\ud800"]}', b'{"chain":[NaN]}', b'{"chain":[[]]}', b'{"chain":{}}', b'{"chain":["!"]}',
        b'{"artifactHash":"\\ud800","hashAlgorithm":"sha256"}', b'{"artifactHash":"AA==","hashAlgorithm":"\\udfff"}',
        b'{"artifactHash":"AA==","hashAlgorithm":"sha256","nonce":1e999}', b'{"artifactHash":NaN}',
        b'{"artifactHash":"AA==","hashAlgorithm":"sha256","nonce":' + b"9" * 5000 + b"}",
        b'{"publicKey":{"content":"\\ud800"},"signedEmailAddress":"AA=="}', b"0" * 70_000, b"-----BEGIN PUBLIC KEY-----",
    ],
)  # fmt: skip
def test_a_body_that_no_endpoint_can_use_is_the_clients_fault_at_each(server: Replicas, content: bytes) -> None:
    for path in POSTED:
        refused(server, path, content)


@pytest.mark.parametrize("member", ["credentials", "publicKeyRequest", "certificateSigningRequest"])
def test_a_member_that_comes_twice_is_refused(server: Replicas, member: str) -> None:
    request = request_of(server, certificateSigningRequest=csr())
    if member != "certificateSigningRequest":
        del request["certificateSigningRequest"]
    text = json.dumps(request)
    twice = f'{text[:-1]}, "{member}": {json.dumps(request[member])}}}'
    assert "already set" in (said := refused(server, SIGNING[0], twice.encode())) or "duplicate" in said


def test_an_unknown_method_is_not_implemented_as_at_fulcio(server: Replicas) -> None:
    described = httpx.get(f"{server.urls[0]}/openapi.json").json()["paths"]
    for path, methods in described.items():
        if path.startswith("/ctlog/") or "{" in path:
            continue
        for method in {"get", "post", "put", "patch", "delete", "options", "trace", "propfind"} - {
            *methods,
            "head",
        }:
            status, text = send(server, method.upper(), path, X_Secret="from the client")
            assert status == 501, (method, path, status)
            assert "from the client" not in text  # TRACE would
        status, text = send(server, "HEAD", path)
        assert status in {200, 404, 501}, path


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PUT", "DELETE", "OPTIONS", "PROPFIND"])
def test_the_log_refuses_methods_it_does_not_have(server: Replicas, method: str) -> None:
    for path in ("/ctlog/checkpoint", "/ctlog/ct/v1/get-sth", "/ctlog/ct/v1/add-chain", "/ctlog/tile/0/000"):
        assert send(server, method, path)[0] in {400, 404, 405, 501}, path


@pytest.mark.parametrize(
    "path",
    [
        "/../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc/passwd", "/ctlog/../../ca.json",
        "/ctlog/..%2f..%2fca.json", "/ctlog/tile/../../../ca.json", "/ctlog/tile/0/..%5c..%5cca.json",
        "/ctlog/tile/data/%2e%2e/%2e%2e/ctlog.sqlite", "/ctlog/issuer/..%2f..%2fctlog.key.pem", "/ctlog/tile/0/x000/../000",
        "/ctlog/issuer/%00", "/ctlog/tile/%ff/000", "/ctlog/tile/0/\xc3\xa9", "/api/v2/%2e%2e/v2/../../ca.json",
        "/api/v2/signingCert/", "/api/v2/signingCert%00", "/api//v2/;/signingCert", "/API/V2/signingCert", "/.git/config",
        "//etc/passwd", "/%", "/%zz", "/" + "a/" * 2000, "/ctlog/tile/99999999999999999999/000", "/ctlog/tile/-1/000",
        "/?x=" + "a" * 7000, "/ctlog/ct/v1/get-entries?start=-1&end=9223372036854775808",
        "/ctlog/ct/v1/get-entries?start=\xff&end=NaN", "/ctlog/ct/v1/get-entries?start=0&end=0&start=1",
        "/ctlog/ct/v1/get-entries?start=" + "9" * 5000 + "&end=1", "/ctlog/ct/v1/get-proof-by-hash?hash=%00&tree_size=1e9",
        "/ctlog/ct/v1/get-sth-consistency?first=0x1&second=%D9%A3", "/api/v2/ctlog/proof?leaf_index=" + "9" * 30,
        "/api/v2/ctlog/proof?sct=AAAA&leaf_index=0", "/api/v2/ctlog/proof?sct=" + "A" * 4000,
    ],
)  # fmt: skip
def test_no_path_leads_out_of_the_api(server: Replicas, path: str) -> None:
    connection = HTTPConnection(urlsplit(server.urls[0]).netloc, timeout=20)
    # The client's own checks of a path are not what is tested.
    connection._validate_path = lambda _path: None  # type: ignore[attr-defined]
    connection._encode_request = lambda request: request.encode("latin-1")  # type: ignore[attr-defined]
    connection.request("GET", path)
    answer = connection.getresponse()
    text = answer.read().decode("utf-8", "replace")
    connection.close()
    assert answer.status in {400, 404, 414}, (answer.status, text)
    assert "PRIVATE KEY" not in text
    assert "identity-config" not in text


@pytest.mark.parametrize("version", [1, 2])
def test_no_refusal_repeats_a_token_a_proof_or_a_key(server: Replicas, version: int) -> None:
    secret, path = "c2VjcmV0IHNlY3JldCBzZWNyZXQ", f"/api/v{version}/signingCert"
    proof = b64encode(secret.encode()).decode()
    key = {"content": secret, "algorithm": secret}
    for token in (secret, f"{secret}.{secret}.{secret}", server.token() + secret, server.token()):
        for request in (
            {"credentials": {"oidcIdentityToken": token}, "publicKeyRequest": {"publicKey": key, "proofOfPossession": proof}},
            {"credentials": {"oidcIdentityToken": token}, "certificateSigningRequest": proof},
            {"credentials": token}, {"publicKeyRequest": proof}, {"publicKeyRequest": {"proofOfPossession": {secret: 1}}},
            {"publicKey": key, "signedEmailAddress": proof}, {"certificateSigningRequest": secret},
        ):  # fmt: skip
            answered = refused(server, path, json.dumps(request).encode(), Authorization=f"Bearer {token}")
            assert token.rpartition(".")[2] not in answered
            assert proof not in answered
