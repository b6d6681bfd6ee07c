"""`POST /api/v2/signingCert` and `POST /api/v1/signingCert`: two wire formats, one cycle."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, TypeVar

import structlog
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from ca.api import answers, wire
from ca.api.edge import read_body
from ca.certificate.chain import certificate_pem
from ca.errors import CallerError, ClientLeft, DayflyError, InternalError, Misissuance, RateLimited
from ca.issuance import Issued, Progress, SigningRequest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from starlette.requests import Request

    from ca.issuance import CertificateAuthority
    from ca.telemetry import Metrics

Answer = TypeVar("Answer")


class Signing:
    """The two signing endpoints, and what they have in common with gRPC's."""

    def __init__(
        self,
        authority: CertificateAuthority,
        clock: Callable[[], datetime],
        metrics: Metrics,
        *,
        body_limit: int,
        ct: str,
    ) -> None:
        """`ct` names the log in every issuance record, or says that CT is switched off."""
        self._authority = authority
        self._clock = clock
        self._metrics = metrics
        self._body_limit = body_limit
        self._ct = ct
        self._log = structlog.get_logger().bind()  # at once: a lazy one binds again on every record

    async def v2(self, request: Request) -> Response:
        return await self._answer(request, wire.parse_v2, _v2)

    async def v1(self, request: Request) -> Response:
        return await self._answer(request, wire.parse_v1, _v1)

    async def _answer(
        self,
        request: Request,
        parse: Callable[[bytes], wire.SigningBody],
        render: Callable[[Issued], Response],
    ) -> Response:
        def asked(unverified_body: bytes) -> SigningRequest:
            body = parse(unverified_body)
            # Fulcio's precedence: the body's token, else the header's.
            token = body.unverified_token or unverified_bearer(request.headers.get("authorization", ""))
            return SigningRequest(token, body.key_material, request.client.host if request.client else "")

        read = read_body(request, self._body_limit)
        outcome = await self.issue(request.state.record, read, asked, render, request.is_disconnected)
        return answers.error(outcome, request.state.request_id) if isinstance(outcome, DayflyError) else outcome

    async def issue(
        self,
        record: dict[str, Any],
        read: Awaitable[bytes],
        parse: Callable[[bytes], SigningRequest],
        render: Callable[[Issued], Answer],
        client_left: Callable[[], Awaitable[bool]],
    ) -> Answer | DayflyError:
        """The answer to what `read` brings, counted and added to `record`, whichever wire it came by."""
        progress = Progress()
        problem: DayflyError | None = None
        try:
            unverified_body = await read
            # Both begin with the last byte: how slowly a client sends is no step of ours, and must not choose `now`.
            now, progress = self._clock(), Progress()
            issued = await self._authority.issue(parse(unverified_body), now, progress, client_left)
            answer = render(issued)
            record["certificate_sha256"] = hashlib.sha256(issued.certificate).hexdigest()
        except DayflyError as refusal:
            problem = refusal
        except ClientDisconnect:
            raise
        except Exception as bug:  # noqa: BLE001 - the answer must be ours; the cause goes to the log
            problem = InternalError(f"request {record['request_id']}")
            problem.__cause__ = bug
        self._record(record, progress, problem)
        return problem or answer

    def _record(self, record: dict[str, Any], progress: Progress, problem: DayflyError | None) -> None:
        """Add to the request's log record what is known of it, and count it."""
        outcome, reason = _outcome(problem)
        record["outcome"] = outcome
        record["ct"] = self._ct
        if problem is not None:
            record |= {"reason": reason, "detail": problem.public_message}
        issuer = ""
        if progress.token:
            issuer = progress.token.trusted.url
            record["issuer"] = progress.token.issuer
        if progress.identity:
            record["subject"] = progress.identity.subject
            record["san"] = progress.identity.subject_alt_name.value
        if progress.serial is not None:
            record["serial"] = f"{progress.serial:x}"
        if progress.sct:
            record["log_id"] = progress.sct.log_id.hex()
            record["sct_time"] = progress.sct.timestamp
        record["steps"] = {step: round(seconds, 6) for step, seconds in progress.seconds.items()}

        self._metrics.signing_requests.labels(outcome, reason, issuer).inc()
        self._metrics.signing_seconds.labels(outcome).observe(progress.elapsed())
        for step, seconds in progress.seconds.items():
            self._metrics.step_seconds[step].observe(seconds)
        if outcome == "failed":
            # The private cause, which the client does not see.
            self._log.error("issuance failed", request_id=record["request_id"], reason=reason, exc_info=problem)
        if isinstance(problem, Misissuance):
            self._metrics.misissuances.inc()


def _outcome(problem: DayflyError | None) -> tuple[str, str]:
    if problem is None:
        return "issued", ""
    if isinstance(problem, ClientLeft):
        return "disconnected", problem.reason
    return ("refused" if isinstance(problem, CallerError | RateLimited) else "failed"), problem.reason


def unverified_bearer(header: str) -> str:
    """The token of an Authorization header. As with Fulcio, the scheme may be missing; it may be in any case."""
    return header[7:] if header[:7].lower() == "bearer " else header


def chain_of(issued: Issued) -> list[str]:
    """PEM without the newline at the end, as Fulcio's signing answers have it."""
    return [pem.rstrip() for pem in (certificate_pem(issued.certificate), *issued.chain.pems)]


def _v2(issued: Issued) -> Response:
    chain = {"certificates": chain_of(issued)}
    if issued.sct is not None:
        return answers.JSON({"signedCertificateEmbeddedSct": {"chain": chain}})
    return answers.JSON({"signedCertificateDetachedSct": {"chain": chain, "signedCertificateTimestamp": ""}})


def _v1(issued: Issued) -> Response:
    # 201 exactly, and no SCT header: that header is for detached SCTs, which we never give.
    return answers.PEM("\n".join(chain_of(issued)), status_code=201)
