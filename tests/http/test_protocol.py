"""What a connection may do, byte by byte."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from itertools import repeat
from socket import socket

import pytest

from tests.http.server import GET, POST, Guarded, guarded, rest


@pytest.fixture(scope="module")
def server() -> Iterator[Guarded]:
    with guarded() as running:
        yield running


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", answer)]


def status(answer: bytes) -> int:
    return next(iter(statuses(answer)), 0)


def flood(client: socket, parts: Iterable[bytes], pause: float = 0) -> None:
    for part in parts:
        client.sendall(part)
        time.sleep(pause)


UPGRADE = b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
CLOSE = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        CLOSE,
        b"\r\n\r\n" + CLOSE,
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET http://a/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: [2001:db8::1]:80\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n",
        POST + b"Connection: close\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + b"X: y\r\n" * 98 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: " + b"x" * 30_000 + b"\r\n\r\n",
    ],
    ids=["plain", "empty lines first", "1.0", "absolute", "IPv6", "empty host", "chunked", "100 headers", "30 kB"],
)
def test_what_is_http_is_answered(server: Guarded, request_: bytes) -> None:
    assert status(server.exchange(request_)) == 200


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: \xff\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400),
        (POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
        (POST + b"Content-Length: 3, 3\r\n\r\nabc", 400),
        (POST + b"Content-Length: +3\r\n\r\nabc", 400),
        (POST + b"Content-Length: -1\r\n\r\n", 400),
        (POST + b"Content-Length: 99999999999999999999999\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n", 400),
        (POST + b"Transfer-Encoding: gzip\r\n\r\nabc", 501),
        (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501),
        (POST + UPGRADE + b"Content-Length: 37\r\n\r\n" + GET.replace(b"/ ", b"/smuggled "), 501),
        (POST + UPGRADE + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501),
        (b"GET /\r\n\r\n", 505),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"GET / HTTP/9.9\r\nHost: a\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01", 400),
        (b"SSH-2.0-x\r\n", 400),
        (b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 33_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 10_000 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 100 + b"\r\n", 431),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: y\r\n" * 8000 + b"\r\n", 431),
    ],
)
def test_what_servers_could_read_differently_is_refused(server: Guarded, request_: bytes, expected: int) -> None:
    answer = server.exchange(request_ + CLOSE)
    assert statuses(answer) == [expected], "nothing after it is read"
    assert b"connection: close" in answer.lower()


@pytest.mark.parametrize(
    "head", [b"GET / HTTP/1.1\r\nHost: a\r\nX: ", POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: "]
)
def test_a_header_without_an_end_is_not_gathered(server: Guarded, head: bytes) -> None:
    with server.connect() as client:
        client.sendall(head)
        with pytest.raises(ConnectionError):
            flood(client, repeat(b"x" * 16_384, 2000))


def test_trailers_do_not_pass_for_headers(server: Guarded) -> None:
    server.app.headers.clear()
    chunked = b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n"
    assert status(server.exchange(POST + chunked)) == 200
    assert b"x-forwarded-for" not in dict(server.app.headers[-1])


def test_requests_may_be_pipelined(server: Guarded) -> None:
    answer = server.exchange(GET * 5 + CLOSE)
    assert answer.count(b"HTTP/1.1 200") == 6


def test_too_many_pipelined_requests_are_refused_after_those_before_are_answered(server: Guarded) -> None:
    answer = server.exchange(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n" + GET * 1000)
    assert answer.count(b"HTTP/1.1 200") < 20
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 400" in answer


def test_garbage_behind_a_request_does_not_cost_its_answer(server: Guarded) -> None:
    answer = server.exchange(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n", b"garbage\r\n\r\n")
    assert statuses(answer) == [200, 400]


def test_a_slow_request_behind_another_does_not_cost_its_answer(server: Guarded) -> None:
    answer = server.exchange(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\nGET / HT")
    assert statuses(answer) == [200, 408]


def test_a_broken_body_behind_a_request_does_not_cost_its_answer(server: Guarded) -> None:
    answer = server.exchange(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n" + POST + b"Transfer-Encoding: chunked\r\n\r\nxyz")
    assert statuses(answer) == [200, 400]


@pytest.mark.parametrize("offer", [b"h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__", b"websocket\r\nSec-WebSocket-Key: x"])
def test_offers_to_speak_something_else_are_ignored(server: Guarded, offer: bytes) -> None:
    request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: " + offer + b"\r\n\r\n"
    assert server.exchange(request + CLOSE).count(b"HTTP/1.1 200") == 2
    empty = POST + b"Content-Length: 0\r\n" + UPGRADE + b"\r\n"
    assert server.exchange(empty + CLOSE).count(b"HTTP/1.1 200") == 2


def test_a_body_that_waits_to_be_asked_for_is_asked_for(server: Guarded) -> None:
    with server.connect() as client:
        client.sendall(POST + b"Content-Length: 3\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"abc")
        assert rest(client).endswith(b"abc")


def test_a_body_that_was_announced_and_does_not_come_is_not_waited_for(server: Guarded) -> None:
    answer = server.exchange(POST + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 100")
    assert b"HTTP/1.1 408" in answer


@pytest.mark.parametrize(
    ("sent", "reason", "expected"),
    [
        (b"", "idle", 0),
        (b"GET / HTTP/1.1\r\nHos", "slow request", 408),
        (POST + b"Content-Length: 3\r\n\r\na", "slow request", 408),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\na", "slow request", 408),
        (GET, "idle", 200),
        (b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n", "slow reader", None),
    ],
    ids=["no byte", "headers", "body", "chunked body", "after an answer", "reader"],
)
def test_slow_clients_are_closed(server: Guarded, sent: bytes, reason: str, expected: int | None) -> None:
    before = server.ended(reason)
    with server.connect() as client:
        client.sendall(sent)
        deadline = time.monotonic() + 8
        while server.ended(reason) == before:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        if expected is not None:
            assert status(rest(client)) == expected


@pytest.mark.parametrize("head", [b"GET / HTTP/1.1\r\n", POST + b"Content-Length: 1000\r\n\r\n"])
def test_a_byte_now_and_then_buys_no_time(server: Guarded, head: bytes) -> None:
    started = time.monotonic()
    with server.connect() as client:
        client.sendall(head)
        with pytest.raises(ConnectionError):
            flood(client, repeat(b"X", 40), pause=0.2)
    assert time.monotonic() < started + 8


def test_the_rest_of_a_body_that_nobody_reads_is_dropped_for_a_while(server: Guarded) -> None:
    with server.connect() as client:
        client.sendall(b"POST /deaf HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 200")
        with pytest.raises(ConnectionError):
            flood(client, repeat(b"3e8\r\n" + b"x" * 1000 + b"\r\n", 100), pause=0.05)


def test_the_total_counts_where_nothing_else_does() -> None:
    with guarded(**{"total-timeout": 0.5}) as server:
        started = time.monotonic()
        assert server.exchange(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n") == b""
        assert server.ended("total") == 1
        while not server.app.finished:
            assert time.monotonic() < started + 8, "its handler goes on"
            time.sleep(0.05)


def test_one_connection_too_many_is_turned_away() -> None:
    with guarded(**{"max-connections": 2}) as server:
        with server.connect() as first, server.connect() as second:
            for client in (first, second):
                client.sendall(GET)
                assert client.recv(1000).startswith(b"HTTP/1.1 200")
            assert status(server.exchange()) == 503
            assert server.ended("too many") == 1
            first.sendall(CLOSE)
            assert statuses(rest(first)) == [200], "those who are in are served"
        time.sleep(0.2)
        assert status(server.exchange(CLOSE)) == 200
