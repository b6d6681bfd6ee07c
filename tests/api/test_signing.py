"""The signing endpoints, asked over HTTP as clients ask them."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ca.main import clock
from tests.api.server import (
    CA,
    DEAD_ISSUER,
    body,
    csr,
    fulcio_extension,
    key_request,
    leaf,
    p256,
    pem,
    proof,
    running_ca,
)

TOKEN_ERROR = "There was an error processing the identity token"
KEY_UNPARSABLE = "The public key supplied in the request could not be parsed"
KEY_INSECURE = "The public key supplied in the request is insecure"
PROOF_ERROR = "The signature supplied in the request could not be verified"
CSR_UNPARSABLE = "The certificate signing request could not be parsed"


def refusal(answer: httpx.Response, status: int = 400, code: int = 3) -> tuple[str, str]:
    """The message and the reason, after the envelope has been checked."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    reply = answer.json()
    assert list(reply) == ["code", "message", "details"]
    assert reply["code"] == code
    info, request = reply["details"]
    assert info["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"
    assert info["domain"] == "dayfly"
    assert request == {
        "@type": "type.googleapis.com/google.rpc.RequestInfo",
        "requestId": answer.headers["x-request-id"],
    }
    return reply["message"], info["reason"]


# ---- what is issued ------------------------------------------------------------------------------------------


def test_v2_answers_200_with_leaf_intermediate_and_root(ca: CA) -> None:
    answer = ca.ask()
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    reply = answer.json()
    # CT is off in this CA, so the detached form with an empty timestamp, as Fulcio answers then.
    assert list(reply) == ["signedCertificateDetachedSct"]
    assert reply["signedCertificateDetachedSct"]["signedCertificateTimestamp"] == ""
    chain = reply["signedCertificateDetachedSct"]["chain"]["certificates"]
    assert len(chain) == 3
    assert all(text == text.strip() for text in chain)
    bundle = ca.client.get("/api/v2/trustBundle").json()["chains"][0]["certificates"]
    assert chain[1:] == [text.strip() for text in bundle]


def test_the_certificate_binds_the_identity_to_the_key_for_ten_minutes(ca: CA) -> None:
    key = p256()
    certificate = leaf(ca.ask(key=key))
    assert certificate.public_key() == key.public_key()
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.critical
    assert names.value.get_values_for_type(x509.RFC822Name) == ["ada@example.com"]
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == timedelta(minutes=10)
    assert abs(certificate.not_valid_before_utc - clock()) < timedelta(minutes=1)
    assert fulcio_extension(certificate, 1) == ca.issuer("email").encode()
    assert fulcio_extension(certificate, 8)[2:] == ca.issuer("email").encode()
    assert fulcio_extension(certificate, 24)[2:] == b"ada@example.com"


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP521R1()),
        rsa.generate_private_key(65537, 2048),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=["P-384", "P-521", "RSA-2048", "Ed25519"],
)
def test_every_default_kind_of_key_is_certified(ca: CA, key: ec.EllipticCurvePrivateKey) -> None:
    assert leaf(ca.ask(key=key)).public_key() == key.public_key()


def test_a_certificate_signing_request_proves_its_key(ca: CA) -> None:
    key = p256()
    answer = ca.sign({"certificateSigningRequest": csr(key)}, Authorization=f"Bearer {ca.token()}")
    assert leaf(answer).public_key() == key.public_key()


def test_a_ci_provider_names_the_workflow(ca: CA) -> None:
    claims = json.loads(GITHUB)
    certificate = leaf(ca.ask(ca.token("github", sub="repo:octo-org/octo-repo", **claims), "repo:octo-org/octo-repo"))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [
        "https://github.com/octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main"
    ]
    assert fulcio_extension(certificate, 5) == b"octo-org/octo-repo"


GITHUB = json.dumps(
    {
        "job_workflow_ref": "octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main",
        "sha": "example-sha",
        "event_name": "workflow_dispatch",
        "repository": "octo-org/octo-repo",
        "workflow": "example-workflow",
        "ref": "refs/heads/main",
        "job_workflow_sha": "example-job-sha",
        "runner_environment": "github-hosted",
        "repository_id": "74",
        "repository_owner": "octo-org",
        "repository_owner_id": "65",
        "repository_visibility": "private",
        "workflow_ref": "octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main",
        "workflow_sha": "example-workflow-sha",
        "run_id": "example-run-id",
        "run_attempt": "2",
    }
)


# ---- v1 ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_v1_answers_201_with_a_pem_chain(ca: CA, encoding: Encoding) -> None:
    key = p256()
    content = key.public_key().public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)
    request = {
        "publicKey": {"content": base64.b64encode(content).decode(), "algorithm": "ecdsa"},
        "signedEmailAddress": proof(key, "ada@example.com"),
        "certificateSigningRequest": None,
    }
    answer = ca.sign(request, version=1, Authorization=f"Bearer {ca.token()}")
    assert answer.status_code == 201
    assert answer.headers["content-type"].startswith("application/pem-certificate-chain")
    assert "sct" not in answer.headers
    chain = x509.load_pem_x509_certificates(answer.content)
    assert chain[0].public_key() == key.public_key()
    assert len(chain) == 3
    assert "\n\n" not in answer.text
    assert answer.text == answer.text.strip()


def test_v1_takes_the_token_from_the_header_alone(ca: CA) -> None:
    request = body(ca.token()) | {"publicKey": {"content": base64.b64encode(pem(p256()).encode()).decode()}}
    message, reason = refusal(ca.sign(request, version=1))
    assert (message.startswith(TOKEN_ERROR), reason) == (True, "TOKEN_MISSING")


# ---- leniency of the wire ------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", ""])
def test_the_header_carries_a_token_in_any_spelling(ca: CA, scheme: str) -> None:
    answer = ca.sign({"publicKeyRequest": key_request("ada@example.com")}, Authorization=scheme + ca.token())
    assert answer.status_code == 200


def test_the_token_of_the_body_goes_before_that_of_the_header(ca: CA) -> None:
    answer = ca.sign(body(ca.token()), Authorization="Bearer nonsense")
    assert answer.status_code == 200


def test_snake_case_unknown_fields_and_enum_strings_are_taken(ca: CA) -> None:
    key = p256()
    request = {
        "credentials": {"oidc_identity_token": ca.token()},
        "public_key_request": {
            "public_key": {"algorithm": "RSA", "content": pem(key), "novelty": [1]},
            "proof_of_possession": proof(key, "ada@example.com").rstrip("=").replace("+", "-").replace("/", "_"),
        },
    }
    assert ca.sign(request).status_code == 200


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_content_type_and_accept_do_not_matter(ca: CA, content_type: str) -> None:
    headers = {"Content-Type": content_type, "Accept": "application/pem-certificate-chain"}
    answer = ca.client.post("/api/v2/signingCert", content=json.dumps(body(ca.token())), headers=headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"


def test_doubled_slashes_are_one(ca: CA) -> None:
    url = f"{ca.client.base_url}".rstrip("/") + "//api//v2/signingCert"
    assert httpx.post(url, json=body(ca.token())).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/api"),
        ("GET", "/api/v2/signingCert/"),
        ("POST", "/api/v2/signingCert/"),
        ("GET", "/api/v3/trustBundle"),
        ("GET", "/healthz/"),
    ],
)
def test_an_unknown_path_is_not_found(ca: CA, method: str, path: str) -> None:
    answer = ca.client.request(method, path)
    assert answer.status_code == 404
    assert answer.json() == {"code": 5, "message": "Not Found", "details": []}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v2/signingCert"),
        ("PUT", "/api/v2/signingCert"),
        ("GET", "/api/v1/signingCert"),
        ("POST", "/api/v2/trustBundle"),
        ("DELETE", "/api/v2/configuration"),
        ("POST", "/healthz"),
    ],
)
def test_another_method_is_not_implemented(ca: CA, method: str, path: str) -> None:
    answer = ca.client.request(method, path)
    assert answer.status_code == 501
    assert answer.json() == {"code": 12, "message": "Method Not Allowed", "details": []}
    assert ca.client.head("/api/v2/trustBundle").status_code == 501


# ---- refusals of the token -----------------------------------------------------------------------------------


def test_a_missing_token_is_asked_for(ca: CA) -> None:
    message, reason = refusal(ca.sign({"publicKeyRequest": key_request("x")}))
    assert message.startswith(f"{TOKEN_ERROR}: the request has none")
    assert reason == "TOKEN_MISSING"


def test_an_empty_body_is_a_request_without_a_token(ca: CA) -> None:
    _, reason = refusal(ca.client.post("/api/v2/signingCert"))
    assert reason == "TOKEN_MISSING"


def test_the_audience_is_named(ca: CA) -> None:
    message, reason = refusal(ca.ask(ca.token(aud="foo")))
    assert message.startswith(f'{TOKEN_ERROR}: audience "foo" is not "sigstore"')
    assert reason == "TOKEN_AUDIENCE_MISMATCH"


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"iss": "https://elsewhere.example"}, "ISSUER_NOT_TRUSTED"),
        ({"aud": ["foo", "bar"]}, "TOKEN_AUDIENCE_MISMATCH"),
        ({"aud": None}, "CLAIM_MISSING"),
        ({"email": None}, "CLAIM_MISSING"),
        ({"email_verified": False}, "CLAIM_INVALID"),
        ({"email_verified": 1}, "CLAIM_INVALID"),
        ({"email": "not an address"}, "CLAIM_INVALID"),
        ({"email": 5}, "CLAIM_INVALID"),
    ],
)
def test_a_claim_that_does_not_do_is_refused(ca: CA, claims: dict[str, object], reason: str) -> None:
    message, found = refusal(ca.ask(ca.token(**claims)))
    assert message.startswith(TOKEN_ERROR)
    assert found == reason


def test_an_expired_token_is_refused(ca: CA) -> None:
    claims = {"iss": ca.issuer("email"), "aud": "sigstore", "sub": "a", "email": "a@b.example", "email_verified": True}
    expired = ca.key.mint(claims, clock() - timedelta(hours=1))
    message, reason = refusal(ca.ask(expired))
    assert (message.startswith(TOKEN_ERROR), reason) == (True, "TOKEN_EXPIRED")


def test_a_token_that_expires_while_its_body_is_sent_is_refused(ca: CA) -> None:
    """The clock is read with the body's last byte: who sends slowly must not get an earlier `now`."""
    claims = {"iss": ca.issuer("email"), "aud": "sigstore", "sub": "a", "email": "a@b.example", "email_verified": True}
    content = json.dumps(body(ca.key.mint(claims, clock(), timedelta(seconds=1)), "a@b.example")).encode()

    def slowly() -> Iterator[bytes]:
        yield content[:-1]
        time.sleep(1.5)
        yield content[-1:]

    _, reason = refusal(ca.client.post("/api/v2/signingCert", content=slowly()))
    assert reason == "TOKEN_EXPIRED"


def test_a_forged_signature_is_refused(ca: CA) -> None:
    header, payload, signature = ca.token().split(".")
    forged = f"{header}.{payload}.{signature[:-8]}AAAAAAAA"
    message, reason = refusal(ca.ask(forged))
    assert (message.startswith(TOKEN_ERROR), reason) == (True, "TOKEN_SIGNATURE_INVALID")


def test_a_kubernetes_token_without_its_claims_gets_no_certificate(ca: CA) -> None:
    _, reason = refusal(ca.ask(ca.token("kubernetes", sub="system:serviceaccount:a:b"), "system:serviceaccount:a:b"))
    assert reason == "CLAIM_MISSING"


def test_a_dead_issuer_is_try_again_later(ca: CA) -> None:
    answer = ca.ask(ca.token(iss=DEAD_ISSUER))
    message, reason = refusal(answer, status=503, code=14)
    assert (message.startswith(TOKEN_ERROR), reason) == (True, "ISSUER_UNAVAILABLE")
    assert int(answer.headers["retry-after"]) > 0


# ---- refusals of the key -------------------------------------------------------------------------------------


def with_key(ca: CA, content: str, signature: str = "AAAA") -> httpx.Response:
    return ca.sign(
        {
            "credentials": {"oidcIdentityToken": ca.token()},
            "publicKeyRequest": {"publicKey": {"content": content}, "proofOfPossession": signature},
        }
    )


@pytest.mark.parametrize("content", ["", "garbage", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_a_key_that_cannot_be_parsed_is_refused(ca: CA, content: str) -> None:
    message, reason = refusal(with_key(ca, content))
    assert (message.startswith(KEY_UNPARSABLE), reason) == (True, "KEY_UNPARSABLE")


def test_a_request_without_any_key_is_refused(ca: CA) -> None:
    message, reason = refusal(ca.sign({"credentials": {"oidcIdentityToken": ca.token()}}))
    assert (message.startswith(KEY_UNPARSABLE), reason) == (True, "KEY_UNPARSABLE")


def test_the_token_is_looked_at_before_the_key(ca: CA) -> None:
    _, reason = refusal(ca.sign({"credentials": {"oidcIdentityToken": "x"}}))
    assert reason == "TOKEN_MALFORMED"


@pytest.mark.parametrize("key", [rsa.generate_private_key(65537, 1024), ec.generate_private_key(ec.SECP224R1())])
def test_a_weak_key_is_insecure(ca: CA, key: rsa.RSAPrivateKey) -> None:
    message, reason = refusal(ca.ask(key=key))
    assert (message.startswith(KEY_INSECURE), reason) == (True, "KEY_WEAK")


@pytest.mark.parametrize("challenge", ["eve@example.com", "", "ADA@example.com", "ada@example.com\n"])
def test_a_proof_over_another_challenge_is_refused(ca: CA, challenge: str) -> None:
    message, reason = refusal(ca.ask(challenge=challenge))
    assert (message.startswith(PROOF_ERROR), reason) == (True, "PROOF_FAILED")


def test_a_proof_by_another_key_is_refused(ca: CA) -> None:
    message, reason = refusal(with_key(ca, pem(p256()), proof(p256(), "ada@example.com")))
    assert (message.startswith(PROOF_ERROR), reason) == (True, "PROOF_FAILED")


@pytest.mark.parametrize("text", ["Z2FyYmFnZQ==", base64.b64encode(b"-----BEGIN CERTIFICATE REQUEST-----").decode()])
def test_a_csr_that_cannot_be_parsed_is_refused(ca: CA, text: str) -> None:
    request = {"credentials": {"oidcIdentityToken": ca.token()}, "certificateSigningRequest": text}
    message, reason = refusal(ca.sign(request))
    assert (message.startswith(CSR_UNPARSABLE), reason) == (True, "CSR_UNPARSABLE")


def test_a_p384_csr_with_sha256_is_not_permitted(ca: CA) -> None:
    request = {
        "credentials": {"oidcIdentityToken": ca.token()},
        "certificateSigningRequest": csr(ec.generate_private_key(ec.SECP384R1())),
    }
    message, reason = refusal(ca.sign(request))
    assert message.startswith("signing algorithm not permitted: *ecdsa.PublicKey, SHA-256")
    assert reason == "ALGORITHM_NOT_PERMITTED"


# ---- refusals of the body ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "begins"),
    [
        (b"{bad", "invalid character 'b' looking for beginning of object key string"),
        (b"[]", "proto: syntax error (line 1:1): unexpected token ["),
        (b'{"credentials": 5}', "proto: "),
    ],
)
def test_a_malformed_body_is_refused_in_go_s_words(ca: CA, content: bytes, begins: str) -> None:
    message, reason = refusal(ca.client.post("/api/v2/signingCert", content=content))
    assert message.startswith(begins)
    assert reason == "MALFORMED_REQUEST"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_refused(ca: CA, chunked: bool) -> None:
    content = b" " * (64 * 1024 + 1)
    answer = ca.client.post("/api/v2/signingCert", content=iter([content]) if chunked else content)
    message, _ = refusal(answer)
    assert message.startswith("http: request body too large")


def test_a_body_of_the_limit_is_read(ca: CA) -> None:
    content = json.dumps(body(ca.token())).encode().ljust(64 * 1024)
    assert ca.client.post("/api/v2/signingCert", content=content).status_code == 200


# ---- what an answer must never carry -------------------------------------------------------------------------


def test_no_refusal_echoes_token_or_proof(ca: CA) -> None:
    tokens = [ca.token(aud="foo"), ca.token(iss="https://elsewhere.example"), ca.token()[:-4] + "AAAA", "a.b.c"]
    for token in tokens:
        request = body(token)
        answer = ca.sign(request)
        assert answer.status_code == 400
        for secret in (
            *(part for part in token.split(".") if len(part) > 3),
            request["publicKeyRequest"]["proofOfPossession"],
        ):
            assert secret not in answer.text


# ---- headers -------------------------------------------------------------------------------------------------


def test_a_request_id_comes_back(ca: CA) -> None:
    given = ca.client.get("/healthz", headers={"X-Request-Id": "mine-1"})
    assert given.headers["x-request-id"] == "mine-1"
    made = {ca.client.get("/healthz").headers["x-request-id"] for _ in range(3)}
    assert len(made) == 3


@pytest.mark.parametrize("unfit", ["a b", "x" * 129, "<script>"])
def test_an_unfit_request_id_is_replaced(ca: CA, unfit: str) -> None:
    assert ca.client.get("/healthz", headers={"X-Request-Id": unfit}).headers["x-request-id"] != unfit


def test_browsers_may_ask_from_anywhere_with_a_token_in_the_header(ca: CA) -> None:
    preflight = ca.client.options(
        "/api/v2/signingCert",
        headers={
            "Origin": "https://page.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        },
    )
    assert preflight.is_success
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
    answer = ca.client.get("/api/v2/trustBundle", headers={"Origin": "https://page.example"})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["vary"] == "Origin"
    assert "server" not in answer.headers


def test_configured_origins_alone_may_ask(tmp_path_factory: pytest.TempPathFactory) -> None:
    http = {"cors-origins": ["https://good.example"]}
    with running_ca(tmp_path_factory.mktemp("cors"), http=http) as ca:
        for origin, allowed in (("https://good.example", True), ("https://evil.example", False)):
            answer = ca.client.get("/healthz", headers={"Origin": origin})
            assert ("access-control-allow-origin" in answer.headers) is allowed


def test_answers_are_neither_stored_nor_guessed_at(ca: CA) -> None:
    for answer in (ca.ask(), ca.ask("no token"), ca.sign({}, version=1)):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert not {"server", "strict-transport-security"} & set(answer.headers), "the latter is for TLS alone"
