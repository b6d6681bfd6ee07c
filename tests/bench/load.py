"""The load: a process of its own that keeps connections busy with requests made beforehand.

`python -m tests.bench.load URL CONNECTIONS SECONDS < requests` reads JSON lines and prints JSON: seconds, its own CPU in
seconds, latencies in milliseconds. It stops at the first answer that is not a certificate.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httptools
import uvloop

PATIENCE = 10.0
"""Seconds that the last answers may take after no more requests are sent."""


class Run:
    """What all connections share."""

    def __init__(self, requests: list[bytes], seconds: float) -> None:
        self.waiting: Iterator[bytes] = iter(requests)
        self.seconds = seconds
        self.deadline = 0.0
        self.latencies: list[float] = []
        self.refused: str | None = None

    def start(self) -> None:
        self.deadline = time.perf_counter() + self.seconds

    def take(self) -> bytes | None:
        if self.refused or time.perf_counter() > self.deadline:
            return None
        return next(self.waiting, None)


class Connection(asyncio.Protocol):
    """One request after the other on one kept-alive connection; also httptools' callbacks."""

    def __init__(self, run: Run, greeting: bytes) -> None:
        """`greeting` is a request whose answer shows that the server has accepted the connection."""
        self._run = run
        self._greeting = greeting
        self._body = bytearray()
        loop = asyncio.get_running_loop()
        self.accepted, self.closed = loop.create_future(), loop.create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._send(self._greeting)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, problem: Exception | None) -> None:
        if not self._transport.is_closing():
            self._run.refused = self._run.refused or f"the server closed the connection: {problem}"
        self.closed.set_result(None)

    def on_body(self, chunk: bytes) -> None:
        self._body += chunk

    def on_message_complete(self) -> None:
        if not self.accepted.done():
            self.accepted.set_result(None)
            return
        self._run.latencies.append((time.perf_counter() - self._sent) * 1000)
        status = self._parser.get_status_code()
        if status != 200 or b'"signedCertificate' not in self._body:
            self._run.refused = f"{status}: {self._body[:500].decode(errors='replace')}"
        self.next()

    def next(self) -> None:
        request = self._run.take()
        if request is None:
            self._transport.close()
        else:
            self._send(request)

    def _send(self, request: bytes) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._body.clear()
        self._sent = time.perf_counter()
        self._transport.write(request)


def wire(line: bytes, host: str) -> bytes:
    """The bytes of a request as sigstore-go sends it."""
    request = json.loads(line)
    body = request["body"].encode()
    head = (
        f"POST /api/v2/signingCert HTTP/1.1\r\nHost: {host}\r\nUser-Agent: dayfly-bench\r\n"
        f"Content-Length: {len(body)}\r\nAuthorization: Bearer {request['token']}\r\n"
        "Content-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n"
    )
    return head.encode() + body


async def main(url: str, connections: int, seconds: float) -> None:
    at = urlsplit(url)
    requests = [wire(line, at.netloc) for line in sys.stdin.buffer]
    loop = asyncio.get_running_loop()
    run = Run(requests, seconds)
    greeting = f"GET /healthz HTTP/1.1\r\nHost: {at.netloc}\r\n\r\n".encode()
    pairs = [
        await loop.create_connection(lambda: Connection(run, greeting), at.hostname, at.port)
        for _ in range(connections)
    ]
    try:
        async with asyncio.timeout(seconds + PATIENCE):
            # Event loops accept a connection a turn: whoever comes last would wait for most of a short run.
            await asyncio.gather(*(connection.accepted for _, connection in pairs))
            started, cpu = time.perf_counter(), time.process_time()
            run.start()
            for _, connection in pairs:
                connection.next()
            await asyncio.gather(*(connection.closed for _, connection in pairs))
    except TimeoutError:
        sys.exit(f"no answer for {PATIENCE} s")
    if run.refused:
        sys.exit(f"not a certificate: {run.refused}")
    elapsed, cpu = time.perf_counter() - started, time.process_time() - cpu
    print(json.dumps({"seconds": elapsed, "cpu": cpu, "latencies": run.latencies}))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
