"""Wycheproof's JOSE vectors against what a token's signature passes here: our parser, key import, joserfc.

Their payloads are no claims, so that of a token the header and the signature are looked at.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ca.errors import InvalidToken
from ca.oidc.jwks import import_keys
from ca.oidc.jws import parse_jws

VECTORS = Path(__file__).parents[1] / "vectors" / "wycheproof"
FILES = ("json_web_signature_test.json", "json_web_key_test.json")

SECRET = "HMAC: what an issuer publishes is no secret"
EMPTY = "an empty payload holds no claims"
STRICTER = {
    "json_web_signature_test.json": {
        **dict.fromkeys((1, 348, 352, 357, 358, 359, 372, 373, 376, 377), SECRET),
        **dict.fromkeys((259, 264, 268, 272, 320, 325), EMPTY),
        **dict.fromkeys((346, 350), "signed with PS384 by a key that is for PS256 (RFC 7517 §4.4)"),
        **dict.fromkeys((347, 351), "the key is for ES521, which is no algorithm (RFC 7518 §3.1 has ES512)"),
    },
    "json_web_key_test.json": dict.fromkeys((2, 13, 14, 15), SECRET),
}
"""Every valid vector that is refused, and why."""


def cases():
    for file in FILES:
        for group in json.loads((VECTORS / file).read_text())["testGroups"]:
            for test in group["tests"]:
                yield pytest.param(file, group, test, id=f"{file.split('_test')[0]}-{test['tcId']}-{test['comment']}")


def accepted(group: dict[str, Any], jws: Any) -> bool:
    """Whether a key of the group verifies the JWS. Groups of secret keys have no public half."""
    public = group.get("public", group.get("private"))
    entries = public.get("keys", [public])
    try:
        token = parse_jws(jws)
    except InvalidToken:
        return False
    keys = import_keys("https://issuer.example", entries)
    return any(key.verifies(token) for key in keys.named(token.key_id))


@pytest.mark.parametrize(("file", "group", "test"), list(cases()))
def test_vectors_are_judged_as_wycheproof_judges_them(file, group, test):
    valid = test["result"] == "valid" and test["tcId"] not in STRICTER[file]
    assert accepted(group, test["jws"]) is valid


def test_no_vector_is_of_another_result():
    results = [case.values[2]["result"] for case in cases()]
    assert (len(results), results.count("valid"), results.count("invalid")) == (427, 51, 376)
