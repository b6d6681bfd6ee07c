"""The identity vectors with their issuers on loopback."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from tests.identity.vectors import load

_OF_THE_PROVIDER = frozenset({"iss", "aud", "iat", "nbf", "exp"})


class Vector(NamedTuple):
    case: str
    issuer: str
    """The path of its issuer."""
    claims: dict[str, Any]
    challenge: str | None
    """None where Dayfly refuses the claims."""


def _on_loopback(case: dict[str, Any]) -> dict[str, Any]:
    """`uri` and `username` issuers may name only subjects of their own domain, which is 127.0.0.1 here."""
    match case["issuer"]["type"]:
        case "uri":
            text = json.dumps(case).replace("example.com", "127.0.0.1")
            parts = text.replace("https://", "\0").replace("http://", "https://").replace("\0", "http://")
            return json.loads(parts)
        case "username":
            return {**case, "issuer": {**case["issuer"], "subject-domain": "127.0.0.1"}}
    return case


def _read() -> tuple[list[Vector], dict[str, dict[str, Any]]]:
    issuers: dict[str, dict[str, Any]] = {}
    vectors = []
    for case in map(_on_loopback, load("identities.json")):
        path = "-".join(
            ["vector", *(str(value).replace("/", "").replace("$", "") for value in case["issuer"].values())]
        )
        issuers[path] = case["issuer"]
        claims = {name: value for name, value in case["claims"].items() if name not in _OF_THE_PROVIDER}
        challenge = case["identity"]["challenge"] if "identity" in case else None
        vectors.append(Vector(case["case"], path, claims, challenge))
    return vectors, issuers


VECTORS, ISSUERS_OF_VECTORS = _read()
