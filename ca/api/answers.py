"""Answers: the one table from errors to status codes, and the shapes of bodies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from starlette.responses import Response

from ca.errors import Code, DayflyError, RateLimited

if TYPE_CHECKING:
    from collections.abc import Mapping

STATUS = {
    Code.CANCELLED: 499,
    Code.INVALID_ARGUMENT: 400,
    Code.PERMISSION_DENIED: 403,
    Code.NOT_FOUND: 404,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
}
"""As grpc-gateway maps them. A bad token is INVALID_ARGUMENT, as in Fulcio: clients print 4xx and retry the rest."""

_ENCODER = msgspec.json.Encoder()
DOMAIN = "dayfly"


class JSON(Response):
    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return _ENCODER.encode(content)


class PEM(Response):
    media_type = "application/pem-certificate-chain"


def status_body(code: Code, message: str) -> dict[str, Any]:
    """A `google.rpc.Status` in JSON."""
    return {"code": int(code), "message": message, "details": []}


def error(problem: DayflyError, request_id: str) -> JSON:
    """Fulcio's code and the start of its message, what was wrong, and both again for programs in `details`."""
    body = status_body(problem.code, problem.public_message)
    body["details"] = [
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": problem.reason,
            "domain": DOMAIN,
            "metadata": problem.metadata,
        },
        {"@type": "type.googleapis.com/google.rpc.RequestInfo", "requestId": request_id},
    ]
    return JSON(body, STATUS[problem.code], _headers(problem))


def _headers(problem: DayflyError) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    if problem.retry_after is not None:
        headers["Retry-After"] = str(problem.retry_after)
    if isinstance(problem, RateLimited):
        # draft-ietf-httpapi-ratelimit-headers-10 §3 and §4, of the one limit that refuses.
        headers["RateLimit-Policy"] = f'"{problem.limit}";q={problem.quota};w={problem.window}'
        headers["RateLimit"] = f'"{problem.limit}";r=0;t={problem.retry_after}'
    return headers


def not_found() -> JSON:
    return JSON(status_body(Code.NOT_FOUND, "Not Found"), 404)


def method_not_allowed() -> JSON:
    """501 and not 405: grpc-gateway's answer, which is the wire."""
    return JSON(status_body(Code.UNIMPLEMENTED, "Method Not Allowed"), 501)
