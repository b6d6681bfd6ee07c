"""Rows of the tables: a request, and what each server is expected to answer."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from tests.api.server import PrivateKey, body, csr, key_request, p256
from tests.e2e.against_fulcio.issuers import Issuers
from tests.e2e.against_fulcio.servers import Ask

EMAIL = "ada@example.com"
PERSON: dict[str, Any] = {"sub": "117", "email": EMAIL, "email_verified": True}

TOKEN = "400 There was an error processing the identity token"
KEY = "400 The public key supplied in the request could not be parsed"
INSECURE = "400 The public key supplied in the request is insecure"
CSR = "400 The certificate signing request could not be parsed"
PROOF = "400 The signature supplied in the request could not be verified"

Build = Callable[[Issuers], Ask]


class Same(NamedTuple):
    """Both answer so; Dayfly's message may go on after Fulcio's."""

    ask: Build
    answer: str = "200"


class Different(NamedTuple):
    """Deliberate."""

    ask: Build
    fulcio: str
    dayfly: str
    because: str


@cache
def key() -> PrivateKey:
    """The client's, for the requests in which it does not matter."""
    return p256()


def person(issuers: Issuers, **claims: Any) -> str:
    """Ada's token."""
    return issuers.token("email", {**PERSON, **claims})


def post(message: Any, version: int = 2, **headers: str) -> Ask:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Ask("POST", f"/api/v{version}/signingCert", named, json.dumps(message).encode())


def with_token(token: str, challenge: str = EMAIL) -> Ask:
    """The usual request, of this token."""
    return post(body(token, challenge, key()))


def with_header(value: str, **headers: str) -> Ask:
    """The usual request, its token in the Authorization header."""
    return post({"publicKeyRequest": key_request(EMAIL, key())}, Authorization=value, **headers)


def with_key(issuers: Issuers, content: str, proof: bytes) -> Ask:
    request = {"publicKey": {"content": content}, "proofOfPossession": base64.b64encode(proof).decode()}
    return post({"credentials": {"oidcIdentityToken": person(issuers)}, "publicKeyRequest": request})


def with_v1_key(issuers: Issuers, content: bytes, proof: bytes) -> Ask:
    message = {
        "publicKey": {"content": base64.b64encode(content).decode(), "algorithm": "ecdsa"},
        "signedEmailAddress": base64.b64encode(proof).decode(),
        "certificateSigningRequest": None,
    }
    return post(message, version=1, Authorization=f"Bearer {person(issuers)}")


def with_csr(issuers: Issuers, pem: bytes) -> Ask:
    text = base64.b64encode(pem).decode()
    return post({"credentials": {"oidcIdentityToken": person(issuers)}, "certificateSigningRequest": text})


def csr_of(private_key: PrivateKey | None = None) -> str:
    """A certificate request as v2 and v1 carry it."""
    return csr(private_key or key())
