"""gRPC: the requests of the other tables as messages of protobuf, and what only gRPC has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict, ParseError

from ca.rpc.proto import fulcio_pb2 as fulcio
from tests.api.server import key_request
from tests.e2e.against_fulcio import test_keys, test_tokens
from tests.e2e.against_fulcio.cases import EMAIL, Same, key, person
from tests.e2e.against_fulcio.comparison import certificate
from tests.e2e.against_fulcio.issuers import Issuers
from tests.e2e.against_fulcio.servers import Ask, Pair
from tests.rpc.client import FULCIO, Client, Reply, connected

INVALID = 3


@dataclass(frozen=True)
class Clients:
    fulcio: Client
    dayfly: Client

    def sign(self, message: bytes, *metadata: tuple[str, str | bytes]) -> tuple[Reply, Reply]:
        return self.fulcio.sign_bytes(message, *metadata), self.dayfly.sign_bytes(message, *metadata)


@pytest.fixture(scope="module")
def rpc(pair: Pair) -> Iterator[Clients]:
    with connected(pair.fulcio_rpc) as theirs, connected(pair.dayfly_rpc) as ours:
        yield Clients(theirs, ours)


def as_message(ask: Ask) -> bytes | None:
    """None for what is no v2 request with its token in the message, or not to be said in protobuf."""
    if ask.path != "/api/v2/signingCert" or "authorization" in {name.lower() for name in dict(ask.headers or {})}:
        return None
    try:
        message = ParseDict(
            json.loads(ask.content), fulcio.CreateSigningCertificateRequest(), ignore_unknown_fields=True
        )
    except (ParseError, ValueError):
        return None
    return message.SerializeToString()


def visible(reply: Reply) -> Any:
    """The code, and of a certificate every byte but what differs between any two."""
    if reply.code:
        return reply.code
    ((kind, signed),) = reply.reply.items()
    leaf, *chain = signed["chain"]["certificates"]
    return kind, certificate(leaf, chain[0]), chain


ROWS: dict[str, Same] = {
    f"{table}: {name}": row
    for table, rows in {"token": test_tokens.SAME, "key": test_keys.SAME}.items()
    for name, row in rows.items()
}


@pytest.mark.parametrize("case", ROWS)
def test_a_request_is_answered_alike(rpc: Clients, issuers: Issuers, case: str) -> None:
    message = as_message(ROWS[case].ask(issuers))
    if message is None:
        pytest.skip("not a request of v2's gRPC")
    theirs, ours = rpc.sign(message)
    assert visible(ours) == visible(theirs)
    # Go's protobuf puts a no-break space into some builds' messages.
    assert ours.message.startswith(theirs.message.replace("\u00a0", " "))


def test_trust_bundle_and_configuration_are_alike(rpc: Clients) -> None:
    assert rpc.dayfly.trust_bundle().reply == rpc.fulcio.trust_bundle().reply
    ours, theirs = (client.configuration().reply["issuers"] for client in (rpc.dayfly, rpc.fulcio))
    in_order = {"key": lambda issuer: issuer.get("issuerUrl") or issuer["wildcardIssuerUrl"]}
    assert sorted(ours, **in_order) == sorted(theirs, **in_order)


def without_token() -> bytes:
    return ParseDict(
        {"publicKeyRequest": key_request(EMAIL, key())}, fulcio.CreateSigningCertificateRequest()
    ).SerializeToString()


def test_the_token_may_come_as_fulcios_http_side_sends_it(rpc: Clients, issuers: Issuers) -> None:
    theirs, ours = rpc.sign(without_token(), ("oidcidentitytoken", person(issuers)))
    assert theirs.code == ours.code == 0


def test_two_tokens_in_metadata_are_none(rpc: Clients, issuers: Issuers) -> None:
    token = ("oidcidentitytoken", person(issuers))
    theirs, ours = rpc.sign(without_token(), token, token)
    assert theirs.code == ours.code == INVALID
    assert ours.message.startswith(theirs.message)


def test_the_token_in_authorization_is_ours_alone(rpc: Clients, issuers: Issuers) -> None:
    theirs, ours = rpc.sign(without_token(), ("authorization", f"Bearer {person(issuers)}"))
    assert (theirs.code, ours.code) == (INVALID, 0)


@pytest.mark.parametrize("message", [b"\xff\xff", b"\x0a\x04\x0a\x02\xff\xfe"])
def test_what_is_no_message_is_the_callers_fault_here_and_the_servers_there(rpc: Clients, message: bytes) -> None:
    theirs, ours = rpc.sign(message)
    assert (theirs.code, ours.code) == (13, INVALID)
    assert theirs.message.startswith("grpc: error unmarshalling request: ")
    assert ours.message.startswith("grpc: error unmarshalling request: ")


@pytest.mark.parametrize("path", [f"{FULCIO}/Nope", "/x.y/Z", "/grpc.health.v1.Health/Nope"])
def test_an_unknown_method_is_answered_alike(rpc: Clients, path: str) -> None:
    theirs, ours = rpc.fulcio.call(path, b"", None), rpc.dayfly.call(path, b"", None)
    assert (ours.code, ours.message) == (theirs.code, theirs.message)


def test_health_is_answered_alike_where_all_is_well(rpc: Clients) -> None:
    assert rpc.dayfly.health().reply == rpc.fulcio.health().reply == {"status": "SERVING"}
