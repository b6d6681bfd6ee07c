"""Honest clients: each with a fresh token and a fresh key, sent again as sigstore's clients do when a connection breaks."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta

import httpx
from cryptography import x509

from ca.dev.tokens import identity_claims
from ca.main import clock
from tests.api.server import body, p256
from tests.bench.world import github_claims
from tests.soak.instance import GUARDS, Instance
from tests.soak.verification import Asked, Verifier, WrongAnswerError

TRIES = 5
KINDS = ("email", "github", "spiffe")


@dataclass(frozen=True, slots=True)
class Timed:
    at: float
    """Seconds since the start, when it was sent."""
    milliseconds: float


@dataclass
class Tally:
    """What came of everything so far."""

    answers: list[Timed] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    sent_again: int = 0
    put_off: int = 0
    """Requests told to come back in a second while Redis was there: a busy machine answers late, and guards fail closed."""
    excused: Counter[str] = field(default_factory=Counter)
    """Refusals that a part which was away explains."""
    refused: Counter[str] = field(default_factory=Counter)
    """Hostile requests, by what they were."""


@dataclass
class Honest:
    instance: Instance
    client: httpx.AsyncClient
    verifier: Verifier
    tally: Tally
    started: float
    guard_is_gone: bool = False
    """While it is, issuers with a token guard get 503."""
    probes: int = 1_000_000_000
    """A number above all others, so that no two tokens are alike."""

    async def ask(self, number: int, kind: str | None = None) -> bool:
        """Whether a certificate came; what should have come and did not is in the tally."""
        name = kind or KINDS[number % len(KINDS)]
        claims, challenge, asked_name = _identity(self.instance.issuer(name), name, number)
        key = p256()
        token = self.instance.keys[name].mint(claims, clock(), timedelta(minutes=5))
        begun = time.monotonic()
        try:
            content = json.dumps(body(token, challenge, key)).encode()
            answer = await self._send(content)
            for _ in range(TRIES):
                if not self._is_put_off(answer):
                    break
                self.tally.put_off += 1
                await asyncio.sleep(float(answer.headers["retry-after"]))
                begun = time.monotonic()
                answer = await self._send(content)
            if answer.status_code != 200:
                return self._not_issued(name, answer)
            asked = Asked(self.instance.issuer(name), asked_name, key.public_key())
            self.tally.answers.append(Timed(begun - self.started, (time.monotonic() - begun) * 1000))
            self.verifier.check(answer.content, asked)
        except (WrongAnswerError, httpx.TransportError) as problem:
            self.tally.wrong.append(f"{begun - self.started:.0f} s, {name}: {type(problem).__name__} {problem}")
            return False
        return True

    async def probe(self, kind: str) -> str:
        """The reason of a refusal; empty for a certificate."""
        self.probes += 1
        claims, challenge, _ = _identity(self.instance.issuer(kind), kind, self.probes)
        token = self.instance.keys[kind].mint(claims, clock())
        answer = await self._send(json.dumps(body(token, challenge)).encode())
        return "" if answer.status_code == 200 else reason_of(answer)

    async def _send(self, content: bytes) -> httpx.Response:
        for left in reversed(range(TRIES)):
            try:
                return await self.client.post("/api/v2/signingCert", content=content)
            except httpx.TransportError:
                if not left:
                    raise
                self.tally.sent_again += 1
        raise AssertionError

    def _is_put_off(self, answer: httpx.Response) -> bool:
        return answer.status_code == 503 and not self.guard_is_gone and reason_of(answer) == "TOKEN_GUARD_UNAVAILABLE"

    def _not_issued(self, kind: str, answer: httpx.Response) -> bool:
        reason = reason_of(answer)
        if reason == "TOKEN_GUARD_UNAVAILABLE" and self.guard_is_gone and GUARDS[kind] != "off":
            self.tally.excused[reason] += 1
        else:
            at = time.monotonic() - self.started
            self.tally.wrong.append(f"{at:.0f} s, {kind}: {answer.status_code} {answer.text[:300]}")
        return False


def reason_of(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["details"][0]["reason"])
    except (ValueError, LookupError):
        return f"{answer.status_code}"


def _identity(issuer: str, kind: str, number: int) -> tuple[dict[str, object], str, x509.GeneralName]:
    """Claims, the challenge to sign, and the name that the certificate has to have."""
    match kind:
        case "github":
            claims = github_claims(issuer, number)
            name = f"https://github.com/{claims['job_workflow_ref']}"
            return claims, str(claims["sub"]), x509.UniformResourceIdentifier(name)
        case "spiffe":
            subject = f"spiffe://example.org/workload/{number}"
            claims = {"iss": issuer, "aud": "sigstore", "sub": subject, "jti": f"{number}"}
            return claims, subject, x509.UniformResourceIdentifier(subject)
        case _:
            email = f"person-{number}@example.com"
            return identity_claims(issuer, email, {}), email, x509.RFC822Name(email)
