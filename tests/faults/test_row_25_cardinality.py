"""Row 25: a hundred thousand invented keys, issuers and addresses.

Expected: memory flat and the metrics' series the same, for what clients make up is no label and is kept in no cache.
"""

from __future__ import annotations

import json
import os
from base64 import urlsafe_b64encode
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from ca.errors import InvalidToken, IssuerUnavailable
from ca.oidc.registry import IssuerRegistry
from ca.oidc.verifier import TokenVerifier
from ca.telemetry import Metrics
from tests.api.server import body, running_ca
from tests.oidc.provider import NOW, Provider
from tests.oidc.trusting import trusted

MANY = 100_000
WARM_UP = 10_000
ROOM = 8 << 20
"""Bytes that the allocator may take for itself."""


def encoded(members: dict[str, Any]) -> str:
    return urlsafe_b64encode(json.dumps(members).encode()).rstrip(b"=").decode()


def token(claims: dict[str, Any], **header: str) -> str:
    """With a signature that nobody made."""
    return f"{encoded({'alg': 'ES256', **header})}.{encoded(claims)}.{'A' * 86}"


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def series(registry: CollectorRegistry) -> set[str]:
    return {f"{sample.name}{sample.labels}" for metric in registry.collect() for sample in metric.samples}


INVENTED: dict[str, Callable[[Provider, int], str]] = {
    "keys": lambda provider, n: token(provider.claims(), kid=f"kid-{n}"),
    "issuers": lambda provider, n: token(provider.claims(iss=f"https://issuer-{n}.example.com"), kid="key-1"),
    "subjects": lambda provider, n: token(provider.claims(sub=f"subject-{n}", email=f"{n}@example.com"), kid="key-1"),
    "algorithms": lambda provider, n: token(provider.claims(), alg=f"HS{n}"),
}


@pytest.mark.anyio
@pytest.mark.parametrize("what", INVENTED)
async def test_what_tokens_make_up_is_kept_nowhere(provider: Provider, what: str) -> None:
    metrics = Metrics(CollectorRegistry())
    verifier = TokenVerifier(IssuerRegistry([trusted(provider.issuer)]), metrics)

    async def flood(numbers: range) -> None:
        for number in numbers:
            with pytest.raises((InvalidToken, IssuerUnavailable)):
                await verifier.verify(INVENTED[what](provider, number), NOW)

    try:
        await verifier.verify(provider.token(), NOW)
        await flood(range(WARM_UP))
        before, labels = resident(), series(metrics.registry)
        await flood(range(WARM_UP, MANY // len(INVENTED) + WARM_UP))
        assert resident() - before < ROOM
        assert series(metrics.registry) == labels
        assert provider.fetches["jwks"] <= 2
    finally:
        await verifier.aclose()


def test_no_request_makes_a_label(tmp_path: Path) -> None:
    """Addresses, paths, methods, headers, tokens: each its own in every request."""
    limits = {"client": "1/s burst 2", "failures": "1/s burst 2"}
    with running_ca(tmp_path, http={"trusted-proxies": ["127.0.0.1"]}, limits=limits) as ca:

        def flood(numbers: range) -> None:
            for n in numbers:
                made_up = {
                    "X-Forwarded-For": str(IPv4Address(n // 4)),
                    "User-Agent": f"agent-{n}",
                    "X-Request-Id": f"{n}",
                }
                claims = {"iss": f"https://issuer-{n}.example.com", "sub": f"{n}", "aud": "sigstore", "exp": 1}
                ca.client.post("/api/v2/signingCert", json=body(token(claims, kid=f"{n}")), headers=made_up)
                ca.client.post("/api/v2/signingCert", json=body(ca.token(sub=f"{n}")), headers=made_up)
                ca.client.request(f"M{n}", f"/path-{n}", headers=made_up)

        flood(range(100))
        labels = series(ca.registry)
        flood(range(100, 500))
        assert series(ca.registry) == labels
