"""A CA that trusts one provider, and what it answers to that provider's tokens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from ca.main import clock
from tests.api.server import CA, body, running_ca
from tests.oidc.provider import Provider


@dataclass
class Issuing:
    ca: CA
    provider: Provider

    def answer(self, challenge: str = "ada@example.com", **claims: Any) -> httpx.Response:
        """To a truly signed token with these claims; one given as `...` is left out."""
        honest = {"email": "ada@example.com", "email_verified": True}
        return self.ca.sign(body(self.provider.token(clock(), **(honest | claims)), challenge))

    def refusal(self, **claims: Any) -> str:
        """The reason; what was refused was refused with 400."""
        return reason(self.answer(**claims))


def reason(answer: httpx.Response) -> str:
    assert answer.status_code == 400, f"{answer.status_code} {answer.text}"
    assert "Traceback" not in answer.text
    found: str = answer.json()["details"][0]["reason"]
    return found


@contextmanager
def issuing(directory: Path, provider: Provider, **entry: Any) -> Iterator[Issuing]:
    """`entry` has members of the provider's entry in the identity configuration."""
    fields = {"issuer-url": provider.issuer, "client-id": "sigstore", "type": "email"} | entry
    with running_ca(directory, more_issuers={provider.issuer: fields}) as ca:
        yield Issuing(ca, provider)
