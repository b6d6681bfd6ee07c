"""A check of every answer beside schemathesis' own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import schemathesis

SECRETS = frozenset({"oidcIdentityToken", "oidc_identity_token", "proofOfPossession", "proof_of_possession"})
LONG = 12
"""Characters from which on a secret in an answer is no accident."""


@schemathesis.check
def tells_nothing(_ctx: Any, response: Any, case: Any) -> None:
    """No traceback, no path of ours, and nothing of what must stay between the client and us."""
    answered = f"{dict(response.headers)} {response.text}"
    for inside in ("Traceback", 'File "', "site-packages", ".py:"):
        assert inside not in answered or case.path == "/openapi.json", f"{inside!r} is in the answer"
    for secret in sent(case):
        assert secret not in answered, f"the answer has the secret {secret!r}"


def sent(case: Any) -> Iterator[str]:
    bearer = str((case.headers or {}).get("Authorization", "")).rpartition(" ")[2]
    yield from (part for part in bearer.split(".") if len(part) >= LONG)
    body = case.body
    if isinstance(body, bytes | str):
        try:
            body = json.loads(body)
        except ValueError:
            return
    yield from secrets_in(body)


def secrets_in(value: Any) -> Iterator[str]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, member in members:
        if name in SECRETS and isinstance(member, str) and len(member) >= LONG:
            yield member
        yield from secrets_in(member)
