"""The one per cent: requests that must be refused, each for its reason, and connections that must be closed."""

from __future__ import annotations

import asyncio
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import urlsplit

import httpx

from ca.dev.tokens import generate_issuer_key, identity_claims
from ca.main import clock
from tests.api.server import body, csr, p256
from tests.soak.honest import Honest, reason_of

EMAIL = "mallory@example.com"
PATIENCE = 15.0
"""Seconds within which a slow client's connection has to be closed."""


class Hostile:
    def __init__(self, honest: Honest) -> None:
        self._honest = honest
        self._instance = honest.instance
        self._stranger = generate_issuer_key()
        self._attacks: dict[str, tuple[Callable[[], bytes], str]] = {
            "garbage": (lambda: b"\x00\xff" * 500, "MALFORMED_REQUEST"),
            "too large": (lambda: b'{"x":"' + b"a" * 100_000 + b'"}', "MALFORMED_REQUEST"),
            "nested": (lambda: b'{"a":' * 9_000, "MALFORMED_REQUEST"),
            "no token": (lambda: self._with(""), "TOKEN_MISSING"),
            "not a token": (lambda: self._with("a.b.c"), "TOKEN_MALFORMED"),
            "alg none": (self._alg_none, "TOKEN_ALGORITHM_REFUSED"),
            "stranger's signature": (self._forged, "TOKEN_SIGNATURE_INVALID"),
            "expired": (lambda: self._with(self._token(ago=3600)), "TOKEN_EXPIRED"),
            "other audience": (lambda: self._with(self._token(aud="sigstore-evil")), "TOKEN_AUDIENCE_MISMATCH"),
            "issuer unknown": (lambda: self._with(self._token(iss="https://evil.example")), "ISSUER_NOT_TRUSTED"),
            "e-mail not verified": (lambda: self._with(self._token(email_verified=False)), "CLAIM_INVALID"),
            "another's proof": (lambda: self._with(self._token(), challenge="ada@example.com"), "PROOF_FAILED"),
            "private key": (self._private_key, "KEY_UNPARSABLE"),
            "two keys": (self._two_keys, "MALFORMED_REQUEST"),
        }

    async def attack(self, number: int) -> None:
        turn = number % (len(self._attacks) + 1)
        if turn == len(self._attacks):
            await self._be_slow(number)
            return
        name = list(self._attacks)[turn]
        content, expected = self._attacks[name]
        try:
            answer = await self._honest.client.post("/api/v2/signingCert", content=content())
        except httpx.TransportError:  # a worker was killed, or the connection closed before a large body was sent
            self._honest.tally.refused["connection closed"] += 1
            return
        if reason_of(answer) not in {expected, "413"}:
            self._honest.tally.wrong.append(f"hostile, {name}: {answer.status_code} {answer.text[:300]}")
        self._honest.tally.refused[name] += 1

    async def _be_slow(self, number: int) -> None:
        """Half of a head, half of a body, or nothing at all."""
        beginnings = (b"POST /api/v2/signingCert HTTP/1.1\r\nHost: a\r\n", b"")
        body_begun = beginnings[0] + b"Content-Length: 100\r\n\r\n{"
        at = urlsplit(self._instance.url)
        begun = time.monotonic()
        try:
            reader, writer = await asyncio.open_connection(at.hostname, at.port)
            writer.write((*beginnings, body_begun)[number // len(self._attacks) % 3])
            async with asyncio.timeout(2 * PATIENCE):
                await reader.read()
            writer.close()
        except TimeoutError:
            self._honest.tally.wrong.append("hostile, slow: the connection was left open")
        except OSError:
            pass
        if time.monotonic() - begun > PATIENCE:
            self._honest.tally.wrong.append(f"hostile, slow: open for {time.monotonic() - begun:.0f} s")
        self._honest.tally.refused["slow"] += 1

    def _token(self, *, ago: int = 0, **claims: object) -> str:
        everything = {**identity_claims(self._instance.issuer("email"), EMAIL, {}), **claims}
        return self._instance.keys["email"].mint(everything, clock() - timedelta(seconds=ago), timedelta(minutes=5))

    @staticmethod
    def _with(token: str, challenge: str = EMAIL) -> bytes:
        return json.dumps(body(token, challenge)).encode()

    def _alg_none(self) -> bytes:
        header = urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
        return self._with(".".join((header, *self._token().split(".")[1:])))

    def _forged(self) -> bytes:
        """By another key under the honest one's name."""
        forged = self._stranger.mint(identity_claims(self._instance.issuer("email"), EMAIL, {}), clock())
        header = self._token().partition(".")[0]
        return self._with(f"{header}.{forged.partition('.')[2]}")

    def _private_key(self) -> bytes:
        request = body(self._token(), EMAIL)
        request["publicKeyRequest"]["publicKey"]["content"] = (
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"
        )
        return json.dumps(request).encode()

    def _two_keys(self) -> bytes:
        return json.dumps({**body(self._token(), EMAIL), "certificateSigningRequest": csr(p256())}).encode()
