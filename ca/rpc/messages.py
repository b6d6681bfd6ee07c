"""Fulcio's messages as bytes of protobuf, and what `ca.api` makes of the same in JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.json_format import ParseDict
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import ErrorInfo, RequestInfo, RetryInfo
from google.rpc.status_pb2 import Status

from ca.api.answers import DOMAIN
from ca.api.signing import chain_of
from ca.api.wire import SigningBody, key_material
from ca.errors import MalformedRequest
from ca.proof.model import KeyWithProof
from ca.rpc.proto import fulcio_pb2 as fulcio

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from ca.errors import DayflyError
    from ca.issuance import Issued


def parse_request(unverified_message: bytes) -> SigningBody:
    """Read `CreateSigningCertificateRequest`. Raises MalformedRequest."""
    try:
        message = fulcio.CreateSigningCertificateRequest.FromString(unverified_message)
    except DecodeError as problem:
        raise not_a("dev.sigstore.fulcio.v2.CreateSigningCertificateRequest") from problem
    request = message.public_key_request
    with_proof = KeyWithProof(request.public_key.content.encode(), request.proof_of_possession)
    token = message.credentials.oidc_identity_token
    return SigningBody(token or None, key_material(message.certificate_signing_request, with_proof))


def not_a(message: str) -> MalformedRequest:
    """Begins as Go's servers do. The library's own text stays out: it may quote what it could not read."""
    return MalformedRequest(f"grpc: error unmarshalling request: not a {message}")


def render(issued: Issued) -> bytes:
    """`SigningCertificate`."""
    chain = fulcio.CertificateChain(certificates=chain_of(issued))
    if issued.sct is not None:
        embedded = fulcio.SigningCertificateEmbeddedSCT(chain=chain)
        return fulcio.SigningCertificate(signed_certificate_embedded_sct=embedded).SerializeToString()
    detached = fulcio.SigningCertificateDetachedSCT(chain=chain)
    return fulcio.SigningCertificate(signed_certificate_detached_sct=detached).SerializeToString()


def trust_bundle(reply: dict[str, Any]) -> bytes:
    """`TrustBundle` of its ProtoJSON."""
    return ParseDict(reply, fulcio.TrustBundle()).SerializeToString()


def configuration(reply: dict[str, Any]) -> bytes:
    """`Configuration` of its ProtoJSON."""
    return ParseDict(reply, fulcio.Configuration()).SerializeToString()


def status_details(problem: DayflyError, message: str, request_id: str) -> bytes:
    """The `google.rpc.Status` of the JSON answer, for `grpc-status-details-bin`; RetryInfo is its `Retry-After`."""
    details: list[Message] = [
        ErrorInfo(reason=problem.reason, domain=DOMAIN, metadata=problem.metadata),
        RequestInfo(request_id=request_id),
    ]
    if problem.retry_after is not None:
        retry = RetryInfo()
        retry.retry_delay.seconds = problem.retry_after
        details.append(retry)
    status = Status(code=int(problem.code), message=message)
    for detail in details:
        packed = Packed()
        packed.Pack(detail)
        status.details.append(packed)
    return status.SerializeToString()
