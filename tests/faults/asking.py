"""What the rows have in common: a request that is at fault, and what must be true of its answer."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import httpx

from tests.api.server import CA

CHALLENGE = "ada@example.com"


def with_key(ca: CA, content: bytes | str, proof: bytes = b"no signature") -> httpx.Response:
    text = content.decode("latin-1") if isinstance(content, bytes) else content
    key = {"publicKey": {"content": text}, "proofOfPossession": b64encode(proof).decode()}
    return ca.sign({"credentials": {"oidcIdentityToken": ca.token()}, "publicKeyRequest": key})


def with_csr(ca: CA, pem: bytes, **more: Any) -> httpx.Response:
    request = {"certificateSigningRequest": b64encode(pem).decode(), **more}
    return ca.sign({"credentials": {"oidcIdentityToken": ca.token()}, **request})


def refused(answer: httpx.Response, *reasons: str) -> None:
    """400 with one of the reasons, and nothing that looks like a certificate or came from inside."""
    assert answer.status_code == 400, answer.text
    assert answer.json()["details"][0]["reason"] in reasons, answer.text
    assert "BEGIN CERTIFICATE" not in answer.text
    assert "Traceback" not in answer.text
