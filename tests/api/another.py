"""A CA on loopback put together by hand, for what no configuration gives: other keys, writers, logs and clocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial

import httpx
from prometheus_client import CollectorRegistry
from starlette.types import Receive, Scope, Send

from ca.api.app import application
from ca.api.health import Health
from ca.api.signing import Signing
from ca.api.trust import Trust
from ca.certificate.profile import Profile
from ca.ct.model import Log
from ca.http.settings import HTTPSettings
from ca.issuance import CertificateAuthority
from ca.keys.model import CAKeys
from ca.limits.limiter import Limits
from ca.limits.memory import MemoryStore
from ca.limits.settings import LimitsSettings
from ca.main import clock
from ca.oidc.identity_config import load_identity_config
from ca.oidc.registry import IssuerRegistry
from ca.oidc.verifier import TokenVerifier
from ca.proof.algorithms import DEFAULT_ALGORITHMS
from ca.proof.policy import KeyPolicy
from ca.telemetry import Metrics
from ca.trust.material import Operated, OwnParts
from ca.trust.settings import TrustSettings
from tests.api.server import CA
from tests.dev.server import listener, serving


@contextmanager
def another_ca(
    ca: CA,
    keys: CAKeys,
    algorithms: tuple[str, ...] = DEFAULT_ALGORITHMS,
    *,
    blocked: frozenset[bytes] = frozenset(),
    profile: Profile | None = None,
    log: Log | None = None,
    clock: Callable[[], datetime] = clock,
) -> Iterator[CA]:
    """A CA that takes the same tokens as `ca`. Closes `log` at its end."""
    registry = IssuerRegistry(load_identity_config(ca.directory / "identity.yaml"))
    collected = CollectorRegistry()
    metrics = Metrics(collected)
    tokens = TokenVerifier(registry, metrics)
    authority = CertificateAuthority(
        limits=Limits(LimitsSettings(), MemoryStore(clock), metrics),
        tokens=tokens,
        key_policy=KeyPolicy.parse(algorithms, blocked),
        profile=profile or Profile(),
        keys=keys,
        log=log,
    )
    settings = HTTPSettings()
    signing = Signing(authority, clock, metrics, body_limit=settings.body_limit, ct="another")
    trust = Trust(keys, lambda: registry, partial(Operated(TrustSettings()).material, OwnParts([], [])))
    app = application(signing, trust, Health(keys, {"log": log} if log else {}, clock), settings)
    socket = listener()
    url = f"http://127.0.0.1:{socket.getsockname()[1]}"

    async def until_shutdown(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await tokens.aclose()
        if log:
            await log.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    with serving(until_shutdown, socket, lifespan="on"), httpx.Client(base_url=url) as client:
        yield CA(client, ca.issuers, ca.key, ca.directory, collected)
