"""The services: Fulcio's CA, whose answers are those of `/api/v2`, and gRPC's own health checks."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from ca.api.signing import unverified_bearer
from ca.errors import DayflyError, ServiceUnknown
from ca.issuance import SigningRequest
from ca.rpc import messages
from ca.rpc.calls import HEALTH

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ca.api.health import Health
    from ca.api.signing import Signing
    from ca.api.trust import Trust
    from ca.rpc.calls import Call, Method

CA = "dev.sigstore.fulcio.v2.CA"
SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


def methods_of(signing: Signing, trust: Trust, health: Health) -> Mapping[str, Method]:
    """Every method by its path."""
    return {
        f"/{CA}/CreateSigningCertificate": partial(_create, signing),
        f"/{CA}/GetTrustBundle": partial(_bundle, trust),
        f"/{CA}/GetConfiguration": partial(_configuration, trust),
        HEALTH: partial(_check, health),
    }


async def _create(signing: Signing, call: Call) -> bytes:
    def asked(unverified_message: bytes) -> SigningRequest:
        body = messages.parse_request(unverified_message)
        # Fulcio reads `oidcidentitytoken`, which its HTTP side sends; gRPC's own clients know `authorization`.
        token = body.unverified_token or call.only("oidcidentitytoken") or unverified_bearer(call.only("authorization"))
        return SigningRequest(token, body.key_material, call.client)

    outcome = await signing.issue(call.record, call.read(), asked, messages.render, call.has_left)
    if isinstance(outcome, DayflyError):
        raise outcome
    return outcome


async def _bundle(trust: Trust, call: Call) -> bytes:
    await call.read()
    return messages.trust_bundle(trust.trust_bundle())


async def _configuration(trust: Trust, call: Call) -> bytes:
    await call.read()
    return messages.configuration(trust.issuers())


async def _check(health: Health, call: Call) -> bytes:
    """As `/readyz`, for load balancers; a CA whose log is down answers NOT_SERVING."""
    try:
        service = HealthCheckRequest.FromString(await call.read()).service
    except DecodeError as problem:
        raise messages.not_a("grpc.health.v1.HealthCheckRequest") from problem
    if service not in {"", CA}:
        raise ServiceUnknown
    return HealthCheckResponse(status=SERVING if await health.can_issue() else NOT_SERVING).SerializeToString()
