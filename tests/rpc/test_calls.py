"""What any call meets, whatever its method: sizes, times, metadata, ids, records, clients that leave."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from ca.errors import LogUnavailable
from ca.http.settings import HTTPSettings
from ca.rpc.calls import Call, Method
from ca.rpc.server import RPCServer
from ca.rpc.settings import RPCSettings
from tests.api.server import CA, body, key_request, running_ca
from tests.api.test_refusals import job
from tests.process import free_port
from tests.rpc.client import FULCIO, Client, OverRPC, connected

CREATE = f"{FULCIO}/CreateSigningCertificate"
ON_LOOPBACK = {"listen": "127.0.0.1:0"}
INVALID, NOT_FOUND, EXHAUSTED, UNIMPLEMENTED = 3, 5, 8, 12
GZIP = int(grpc.Compression.Gzip)


# ---- messages ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(b"\xff\xff\xff", id="no protobuf"),
        pytest.param(b"\x0a\x7f", id="a field that ends early"),
        pytest.param(b"\x0a\x04\x0a\x02\xff\xfe", id="a string that is not UTF-8"),
        pytest.param(b"\x0b", id="a group without an end"),
        pytest.param(b'{"credentials": {}}', id="JSON"),
    ],
)
def test_what_is_no_message_is_the_callers_fault_and_is_not_repeated(rpc: Client, message: bytes) -> None:
    refused = rpc.sign_bytes(message)
    assert (refused.code, refused.reason) == (INVALID, "MALFORMED_REQUEST")
    assert refused.message == (
        "grpc: error unmarshalling request: not a dev.sigstore.fulcio.v2.CreateSigningCertificateRequest"
    )


def test_what_is_no_health_check_is_the_callers_fault(rpc: Client) -> None:
    assert rpc.call("/grpc.health.v1.Health/Check", b"\xff", None).code == INVALID


def test_unknown_fields_and_enum_values_are_ignored(ca: CA, rpc: Client) -> None:
    from google.protobuf.json_format import ParseDict

    from ca.rpc.proto import fulcio_pb2 as fulcio

    message = ParseDict(body(ca.token()), fulcio.CreateSigningCertificateRequest())
    message.public_key_request.public_key.algorithm = 77  # type: ignore[assignment]
    assert rpc.sign_bytes(message.SerializeToString() + b"\xf8\x07\x01").code == 0


@pytest.mark.parametrize("compression", [0, GZIP])
def test_a_huge_message_is_refused_however_small_it_travels(ca: CA, compression: int) -> None:
    with connected(ca.rpc, default_compression_algorithm=compression) as rpc:
        assert rpc.sign_bytes(bytes(50 << 20)).code == EXHAUSTED
        assert rpc.sign_bytes(bytes(65_537)).code == EXHAUSTED
        assert rpc.sign(body(ca.token())).code == 0, "the connection is as good as before"


def test_a_call_without_a_message_is_refused(rpc: Client) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        rpc.channel.stream_unary(CREATE)(iter(()), timeout=10)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == "the call ended without a message of at most 65536 bytes"


def test_only_the_first_message_counts(rpc: Client) -> None:
    assert rpc.channel.stream_unary(f"{FULCIO}/GetTrustBundle")(iter((b"", b"\xff", b"\xff")), timeout=10)


# ---- metadata ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name_and_scheme",
    [("authorization", "Bearer "), ("authorization", "bearer "), ("authorization", ""), ("oidcidentitytoken", "")],
)
def test_the_token_may_come_in_metadata(ca: CA, rpc: Client, name_and_scheme: tuple[str, str]) -> None:
    name, scheme = name_and_scheme
    asked = {"publicKeyRequest": key_request("ada@example.com")}
    assert rpc.sign(asked, **{name: scheme + ca.token()}).code == 0


def test_the_messages_token_goes_before_those_of_metadata(ca: CA, rpc: Client) -> None:
    assert rpc.sign(body(ca.token()), authorization="Bearer a.b.c", oidcidentitytoken="a.b.c").code == 0
    assert rpc.sign(body("a.b.c"), authorization=f"Bearer {ca.token()}").reason == "TOKEN_MALFORMED"


@pytest.mark.parametrize("name", ["authorization", "oidcidentitytoken"])
def test_two_tokens_in_metadata_are_none(ca: CA, rpc: Client, name: str) -> None:
    refused = rpc.sign_bytes(b"", (name, ca.token()), (name, ca.token()))
    assert refused.reason == "TOKEN_MISSING"


def test_a_token_in_binary_metadata_is_none(ca: CA, rpc: Client) -> None:
    assert rpc.sign_bytes(b"", ("authorization-bin", ca.token().encode())).reason == "TOKEN_MISSING"


def test_metadata_beyond_the_limit_are_refused(rpc: Client) -> None:
    assert rpc.sign_bytes(b"", ("x-large", "a" * 40_000)).code == EXHAUSTED
    refused = rpc.sign_bytes(b"", ("authorization", "a" * 20_000))
    assert refused.reason == "TOKEN_MALFORMED", "the largest token fits"


def test_a_request_id_is_taken_over_and_sent_back(ca: CA, rpc: Client) -> None:
    assert rpc.sign(body(ca.token()), x_request_id="build-4711").metadata["x-request-id"] == "build-4711"
    refused = rpc.sign(body("a.b.c"), x_request_id="build-4712")
    assert refused.metadata["x-request-id"] == "build-4712"
    assert refused.details[1]["requestId"] == "build-4712"


@pytest.mark.parametrize("unfit", ["", "a b", "x" * 129, "<script>"])
def test_a_request_id_that_is_none_is_replaced(rpc: Client, unfit: str) -> None:
    given = rpc.sign({}, x_request_id=unfit).metadata["x-request-id"]
    assert given != unfit
    assert len(given) == 24


@pytest.mark.parametrize("claimed", ["o/r/%zz" + "x" * 5000, "o/r/%zz" + "ф" * 1500])
def test_an_error_is_cut_to_the_metadata_that_clients_take(ca: CA, rpc: Client, claimed: str) -> None:
    refused: Any = job(job_workflow_ref=claimed)(OverRPC.of(ca, rpc))
    assert (refused.code, refused.reason) == (INVALID, "IDENTITY_NOT_CERTIFIABLE")
    assert refused.message.startswith('parse "https://github.com/o/r/%zz')
    assert len(refused.message.encode()) <= 1003
    assert refused.message.endswith("…")


# ---- methods -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (f"{FULCIO}/Nope", "unknown method Nope for service dev.sigstore.fulcio.v2.CA"),
        (f"{FULCIO}/", "unknown method  for service dev.sigstore.fulcio.v2.CA"),
        ("/dev.sigstore.fulcio.v1beta.CA/GetRootCertificate", "unknown service dev.sigstore.fulcio.v1beta.CA"),
        ("/grpc.health.v1.Health/Watch", "unknown method Watch for service grpc.health.v1.Health"),
        ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "unknown service grpc.reflection.v1.ServerReflection"),
        ("/x", "unknown service "),
    ],
)  # fmt: skip
def test_a_method_that_is_not_here_is_unimplemented(rpc: Client, path: str, message: str) -> None:
    refused = rpc.call(path, b"", None)
    assert (refused.code, refused.message) == (UNIMPLEMENTED, message)


def test_health_is_readiness(ca: CA, rpc: Client) -> None:
    for service in ("", "dev.sigstore.fulcio.v2.CA"):
        assert rpc.health(service).reply == {"status": "SERVING"}
    assert rpc.health("dev.sigstore.fulcio.v1beta.CA").code == NOT_FOUND


def test_a_ca_that_cannot_issue_is_not_serving(tmp_path: Path) -> None:
    (tmp_path / "log.pub.pem").write_bytes(LOG_KEY)
    ct = {"log": "http://127.0.0.1:9/dead", "log-key": tmp_path / "log.pub.pem"}
    with running_ca(tmp_path, ct=ct, grpc=ON_LOOPBACK) as ca, connected(ca.rpc) as rpc:
        assert rpc.health().reply == {"status": "NOT_SERVING"}
        refused = rpc.sign(body(ca.token()))
        answer = ca.ask().json()
        assert (refused.code, refused.message) == (14, answer["message"])


LOG_KEY = b"""-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEiPSlFi0CmFTfEjCUqF9HuCEcYXNK
AaYalIJmBZ8yyezPjTqhxrKBpMnaocVtLJBI1eM3uXnQzQGAJdJ4gs9Fyw==
-----END PUBLIC KEY-----
"""


# ---- clients, records and figures ----------------------------------------------------------------------------------


def records(text: str) -> list[dict[str, Any]]:
    return [record for line in text.splitlines() if (record := json.loads(line))["event"] == "request"]


def test_calls_leave_the_records_and_the_figures_that_requests_leave(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with running_ca(tmp_path, grpc=ON_LOOPBACK) as ca, connected(ca.rpc) as rpc:
        assert ca.ask().status_code == rpc.sign(body(ca.token())).code + 200
        assert ca.ask("a.b.c").status_code == 400
        assert rpc.sign(body("a.b.c"), x_request_id="refused").code == INVALID
        rpc.trust_bundle()
        rpc.health()
        issued = {"outcome": "issued", "reason": "", "issuer": ca.issuer("email")}
        assert ca.figure("signing_requests_total", **issued) == 2
        assert ca.figure("signing_requests_total", outcome="refused", reason="TOKEN_MALFORMED", issuer="") == 2
        token = ca.token()
        rpc.sign(body(token, "somebody else"))
    text = capfdbinary.readouterr().err.decode()
    over_http, over_grpc, _, refused, bundle, _ = records(text)
    assert over_http.keys() == over_grpc.keys()
    same = "outcome", "ct", "issuer", "subject", "san", "client"
    assert {name: over_http[name] for name in same} == {name: over_grpc[name] for name in same}
    assert (over_grpc["method"], over_grpc["path"], over_grpc["status"]) == ("gRPC", CREATE, 0)
    assert (refused["request_id"], refused["status"], refused["reason"]) == ("refused", INVALID, "TOKEN_MALFORMED")
    assert bundle["path"] == f"{FULCIO}/GetTrustBundle"
    assert token not in text


@pytest.mark.parametrize(
    ("http", "forwarded", "client"),
    [
        ({}, ["192.0.2.7"], "127.0.0.1"),
        ({"trusted-proxies": ["10.0.0.0/8"]}, ["192.0.2.7"], "127.0.0.1"),
        ({"trusted-proxies": ["127.0.0.1"]}, ["192.0.2.7"], "192.0.2.7"),
        ({"trusted-proxies": ["127.0.0.1"]}, ["198.51.100.1, 192.0.2.7"], "192.0.2.7"),
        ({"trusted-proxies": ["127.0.0.1"]}, ["198.51.100.1", "2001:db8::7"], "2001:db8::7"),
        ({"trusted-proxies": ["127.0.0.1"]}, ["nonsense"], "127.0.0.1"),
        ({"trusted-proxies": ["127.0.0.1"], "log-client": "network"}, ["192.0.2.7"], "192.0.2.0/24"),
        ({"log-client": "none"}, [], None),
    ],
)
@pytest.mark.anyio
async def test_the_client_is_whom_trusted_proxies_saw(
    http: dict[str, Any], forwarded: list[str], client: str | None
) -> None:
    calls = []

    async def seen(call: Call) -> bytes:
        calls.append(call)
        return await call.read()

    async with serving(seen, http=HTTPSettings.model_validate(http)) as (_, ask):
        await ask(b"", metadata=tuple(("x-forwarded-for", line) for line in forwarded))
    assert calls[0].record.get("client") == client


@pytest.mark.anyio
async def test_a_client_by_ipv6_has_its_address() -> None:
    calls = []

    async def seen(call: Call) -> bytes:
        calls.append(call)
        return await call.read()

    async with serving(seen, host="[::1]") as (_, ask):
        await ask(b"")
    assert calls[0].client == "::1"


# ---- connections ---------------------------------------------------------------------------------------------------

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\0\0\0\4\0\0\0\0\0"
GOAWAY_WITH_ERROR = b"\0\0\x0b\7\0\0\0\0\0" + b"\0\0\0\0\0\0\0\x02abc"


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CA]:
    http = {f"{name}-timeout": 1 for name in ("header", "body", "idle")}
    with running_ca(tmp_path_factory.mktemp("strict"), http=http | {"max-connections": 8}, grpc=ON_LOOPBACK) as ca:
        yield ca


def connect(ca: CA) -> socket.socket:
    host, port = ca.rpc.split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def is_closed(client: socket.socket) -> bool:
    """Within the timeout of the socket."""
    try:
        while client.recv(1 << 16):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        pass
    return True


@pytest.mark.parametrize(
    "said",
    [b"", PREFACE, PREFACE + SETTINGS, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01", PREFACE + b"\xff" * 9],
    ids=["nothing", "preface", "settings", "HTTP/1.1", "TLS", "garbage"],
)
def test_a_connection_that_leads_to_nothing_is_closed(strict: CA, said: bytes) -> None:
    with connect(strict) as client:
        client.sendall(said)
        assert is_closed(client)


def test_a_message_that_does_not_come_is_not_waited_for(strict: CA) -> None:
    def late() -> Iterator[bytes]:
        time.sleep(5)
        yield b""

    with connected(strict.rpc) as rpc, pytest.raises(grpc.RpcError) as caught:
        rpc.channel.stream_unary(CREATE)(late(), timeout=20)
    assert caught.value.details() == "the request took too long to arrive"


def test_connections_beyond_the_limit_are_closed_and_those_within_are_served(strict: CA) -> None:
    with connected(strict.rpc) as rpc:
        assert rpc.trust_bundle().code == 0
        more = [connect(strict) for _ in range(12)]
        assert rpc.trust_bundle().code == 0
        assert sum(map(is_closed, more)) == 12
        assert rpc.trust_bundle().code == 0
        for client in more:
            client.close()


def test_what_clients_do_to_a_connection_leaves_no_lines_of_grpcs_own(tmp_path: Path) -> None:
    """In a process of its own: lines of gRPC are written past Python, and the client here would write some too."""
    rude = [PREFACE + SETTINGS + GOAWAY_WITH_ERROR, b"GET / HTTP/1.1\r\n\r\n", PREFACE + b"\xff" * 64]
    script = f"""
import pathlib, socket, time
from tests.api.server import running_ca
with running_ca(pathlib.Path({str(tmp_path)!r}), grpc={{"listen": "127.0.0.1:0"}}) as ca:
    host, port = ca.rpc.split(":")
    for said in {rude!r}:
        with socket.create_connection((host, int(port))) as client:
            client.sendall(said)
            time.sleep(0.2)
"""
    root = Path(__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=root, check=True)
    assert [line for line in run.stderr.splitlines() if not line.startswith("{")] == []


# ---- clients that leave, and the end -------------------------------------------------------------------------------


class Slow:
    """A method that a test lets go on."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.finished = asyncio.Event()
        self.call: Call | None = None

    async def __call__(self, call: Call) -> bytes:
        self.call = call
        await call.read()
        self.begun.set()
        await self.go_on.wait()
        self.finished.set()
        return b"done"


@asynccontextmanager
async def serving(
    method: Method, grace: float = 10, http: HTTPSettings | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[tuple[RPCServer, Any]]:
    address = f"{host}:{free_port()}"
    settings = RPCSettings.model_validate({"listen": address})
    server = RPCServer({"/a.b/C": method}, settings, http or HTTPSettings(), None, grace)
    await server.start()
    async with grpc.aio.insecure_channel(address) as channel:
        yield server, channel.unary_unary("/a.b/C")
        await server.stopped()


@pytest.mark.anyio
async def test_a_call_that_its_client_cancels_is_finished_and_knows() -> None:
    slow = Slow()
    async with serving(slow) as (_, call):
        asked = call(b"")
        await slow.begun.wait()
        assert slow.call is not None
        assert not await slow.call.has_left()
        asked.cancel()
        await until(lambda: slow.call.left)
        assert not slow.finished.is_set()
        slow.go_on.set()
        await asyncio.wait_for(slow.finished.wait(), 10)


@pytest.mark.anyio
async def test_a_deadline_is_kept_to_the_client_and_the_call_is_finished() -> None:
    slow = Slow()
    async with serving(slow) as (_, call):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"", timeout=0.5)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await until(lambda: slow.call.left)
        slow.go_on.set()
        await asyncio.wait_for(slow.finished.wait(), 10)


@pytest.mark.anyio
async def test_a_server_that_stops_takes_nothing_new_and_finishes_what_it_has() -> None:
    slow = Slow()
    async with serving(slow) as (server, call):
        asked = call(b"")
        await slow.begun.wait()
        server.stop()
        await asyncio.sleep(0.1)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"", timeout=5)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        slow.go_on.set()
        assert await asked == b"done"


@pytest.mark.anyio
async def test_a_server_that_stops_waits_for_calls_whose_clients_have_left() -> None:
    slow = Slow()
    async with serving(slow) as (server, call):
        asked = call(b"")
        await slow.begun.wait()
        asked.cancel()
        await until(lambda: slow.call.left)
        server.stop()
        asyncio.get_running_loop().call_later(0.3, slow.go_on.set)
        await server.stopped()
        assert slow.finished.is_set()


@pytest.mark.anyio
async def test_a_server_that_stops_waits_no_longer_than_its_grace() -> None:
    slow = Slow()
    async with serving(slow, grace=0.3) as (server, call):
        asked = call(b"")
        await slow.begun.wait()
        await asyncio.wait_for(server.stopped(), 10)
        with pytest.raises((grpc.aio.AioRpcError, asyncio.CancelledError)):
            await asked
        slow.go_on.set()


async def broken(_call: Call) -> bytes:
    raise ZeroDivisionError("the token was eyJ")


async def failing(_call: Call) -> bytes:
    raise LogUnavailable("no answer", retry_after=7)


@pytest.mark.anyio
async def test_a_bug_is_internal_and_says_no_more() -> None:
    async with serving(broken) as (_, call):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"")
        assert caught.value.code() is grpc.StatusCode.INTERNAL
        assert caught.value.details().startswith("internal error: request ")
        assert "eyJ" not in repr(caught.value)


@pytest.mark.anyio
async def test_a_failure_has_its_code() -> None:
    async with serving(failing) as (_, call):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"")
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def until(condition: Any) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        await asyncio.sleep(0.01)
