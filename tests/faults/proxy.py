"""A TCP proxy on loopback that cuts, delays, swallows and resets: for logs, issuers, Redis, or anything with a port.

    with Proxy("127.0.0.1", 6379) as proxy:
        connect(proxy.host, proxy.port)
        proxy.fault = Fault(answer_bytes=10)       # of every new and open connection, from now on
        proxy.fault = NONE                         # as if it were not there
        proxy.drop()                               # end what is open, as a restart of the other side does

It runs in a thread of its own, so that tests with and without an event loop can use it.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from dataclasses import dataclass
from typing import Self

CHUNK = 65536
UNLIMITED = 1 << 62


@dataclass(frozen=True)
class Fault:
    """What happens to a connection; several may hold at once."""

    request_bytes: int | None = None
    """The connection is cut when the client has sent so many bytes; these are still passed on."""
    answer_bytes: int | None = None
    """The connection is cut when so many bytes have come back; 0 cuts before the answer's first."""
    delay: float = 0.0
    """Seconds before each chunk in either direction."""
    drip: float = 0.0
    """Seconds before each byte of an answer, which come one by one."""
    blackhole: bool = False
    """What the client sends is swallowed, and nothing comes back."""
    reset: bool = False
    """Cuts are RST, not FIN; alone it resets every connection at the first byte."""

    def limit(self, *, answering: bool) -> int:
        """Bytes that may pass in a direction."""
        limit = self.answer_bytes if answering else self.request_bytes
        if limit is None:
            return 0 if self.reset and self.answer_bytes is self.request_bytes is None else UNLIMITED
        return limit


NONE = Fault()


class Proxy:
    """Stands before (host, port)."""

    def __init__(self, host: str, port: int) -> None:
        self._upstream = host, port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host, self.port = self._listener.getsockname()
        self.fault = NONE
        self.connections = 0
        """So many have been made."""
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        server = asyncio.start_server(self._connected, sock=self._listener)
        self._server = asyncio.run_coroutine_threadsafe(server, self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def drop(self) -> None:
        """Cut every connection that is open; new ones are taken."""

        async def cut() -> None:
            for writer in list(self._writers):
                self._cut(writer)

        asyncio.run_coroutine_threadsafe(cut(), self._loop).result()

    async def _stop(self) -> None:
        self._server.close()
        own = asyncio.current_task()
        rest = [task for task in asyncio.all_tasks() if task is not own]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        beyond = None
        try:
            from_upstream, beyond = await asyncio.open_connection(*self._upstream)
            self._writers.add(beyond)
            async with asyncio.TaskGroup() as directions:
                directions.create_task(self._pump(reader, beyond, writer, answering=False))
                directions.create_task(self._pump(from_upstream, writer, beyond, answering=True))
        except (OSError, ExceptionGroup, asyncio.CancelledError):
            pass  # either side has gone, or the test has ended
        finally:
            for end in (writer, beyond):
                if end is not None:
                    self._writers.discard(end)
                    self._cut(end)

    async def _pump(
        self,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        behind: asyncio.StreamWriter,
        *,
        answering: bool,
    ) -> None:
        passed = 0
        while chunk := await source.read(1 if answering and self.fault.drip else CHUNK):
            fault = self.fault
            await asyncio.sleep(fault.delay + (fault.drip if answering else 0.0))
            while self.fault.blackhole:
                await asyncio.sleep(0.02)
            allowed = max(0, fault.limit(answering=answering) - passed)
            target.write(chunk[:allowed])
            await target.drain()
            passed += len(chunk[:allowed])
            if len(chunk) >= allowed:
                self._cut(target)
                self._cut(behind)
                return
        if target.can_write_eof():
            target.write_eof()

    def _cut(self, writer: asyncio.StreamWriter) -> None:
        if self.fault.reset:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        else:
            writer.close()
