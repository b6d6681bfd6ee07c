"""A gRPC client that answers as an HTTP client does, so that tests of the one serve the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message
from google.rpc import error_details_pb2  # noqa: F401 - what details hold is found by it
from google.rpc.status_pb2 import Status
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from ca.rpc.proto import fulcio_pb2 as fulcio
from tests.api.server import CA

FULCIO = "/dev.sigstore.fulcio.v2.CA"
HEALTH = "/grpc.health.v1.Health"
Metadata = tuple[tuple[str, str | bytes], ...]


@dataclass
class Reply:
    """What a call came to."""

    code: int
    message: str
    reply: Any = None
    """ProtoJSON with all fields, as the HTTP API writes it."""
    metadata: dict[str, str | bytes] = field(default_factory=dict)

    @property
    def details(self) -> list[dict[str, Any]]:
        """As the JSON answers have them."""
        status = Status.FromString(self.metadata["grpc-status-details-bin"])
        assert (status.code, status.message) == (self.code, self.message)
        return MessageToDict(status)["details"]

    @property
    def reason(self) -> str:
        return self.details[0]["reason"]


@dataclass
class Client:
    channel: grpc.Channel

    def call(
        self, path: str, message: bytes, read: type[Message] | None, metadata: Metadata = (), timeout: float = 20
    ) -> Reply:
        call = self.channel.unary_unary(path)
        try:
            reply, finished = call.with_call(message, metadata=metadata, timeout=timeout)
        except grpc.RpcError as problem:
            code = problem.code().value[0]
            return Reply(code, problem.details(), metadata=dict(problem.trailing_metadata() or ()))
        shown = MessageToDict(read.FromString(reply), always_print_fields_with_no_presence=True) if read else reply
        return Reply(0, finished.details(), shown, dict(finished.trailing_metadata()))

    def sign(self, body: dict[str, Any], **metadata: str) -> Reply:
        """`body` in ProtoJSON, as the HTTP API takes it."""
        message = ParseDict(body, fulcio.CreateSigningCertificateRequest(), ignore_unknown_fields=True)
        return self.sign_bytes(message.SerializeToString(), *metadata.items())

    def sign_bytes(self, message: bytes, *metadata: tuple[str, str | bytes]) -> Reply:
        named = tuple((name.replace("_", "-"), value) for name, value in metadata)
        return self.call(f"{FULCIO}/CreateSigningCertificate", message, fulcio.SigningCertificate, named)

    def trust_bundle(self) -> Reply:
        return self.call(f"{FULCIO}/GetTrustBundle", b"", fulcio.TrustBundle)

    def configuration(self) -> Reply:
        return self.call(f"{FULCIO}/GetConfiguration", b"", fulcio.Configuration)

    def health(self, service: str = "") -> Reply:
        message = HealthCheckRequest(service=service).SerializeToString()
        return self.call(f"{HEALTH}/Check", message, HealthCheckResponse)


@contextmanager
def connected(address: str, credentials: grpc.ChannelCredentials | None = None, **options: Any) -> Iterator[Client]:
    """A connection of its own."""
    chosen = [("grpc.use_local_subchannel_pool", 1), *((f"grpc.{name}", value) for name, value in options.items())]
    if credentials:
        channel = grpc.secure_channel(address, credentials, chosen)
    else:
        channel = grpc.insecure_channel(address, chosen)
    with channel:
        yield Client(channel)


@dataclass
class OverRPC(CA):
    """A CA that is asked over gRPC in HTTP's place."""

    rpc_client: Client = field(kw_only=True)

    @classmethod
    def of(cls, ca: CA, client: Client) -> OverRPC:
        return cls(**vars(ca), rpc_client=client)

    def sign(self, body: Any, version: int = 2, **metadata: str) -> Any:
        return self.rpc_client.sign(body, **metadata)
