"""A log that lies, in one way at a time, and may be told to change its ways while it runs."""

from __future__ import annotations

import asyncio
import json
import threading
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from cryptography import x509
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse

from tests.ct.logs import HonestLog, p256
from tests.ct.pki import key_hash, leaf, make_ca, precertificate

Lie = Callable[["LyingLog", list[bytes]], Response | Awaitable[Response]]


@dataclass
class LyingLog(HonestLog):
    """Answers submissions as `lie` says; None is the truth."""

    lie: Lie | None = None
    asked: threading.Event = field(default_factory=threading.Event)
    may_answer: threading.Event = field(default_factory=threading.Event)

    async def _add_pre_chain(self, request: Request) -> Response:
        self.asked.set()
        if self.lie is None:
            return await super()._add_pre_chain(request)
        body = await request.body()
        self.bodies.append(body)
        answer = self.lie(self, [b64decode(der) for der in json.loads(body)["chain"]])
        return answer if isinstance(answer, Response) else await answer

    def changed(self, ders: list[bytes], **members: Any) -> Response:
        return JSONResponse(self.answer(ders) | members)

    def skewed(self, ders: list[bytes], skew: timedelta) -> Response:
        return JSONResponse(replace(self, skew=skew).answer(ders))


def wrong_key(log: LyingLog, ders: list[bytes]) -> Response:
    """Its own id, somebody else's signature."""
    return log.changed(ders, signature=HonestLog(log.root, key=p256()).answer(ders)["signature"])


def wrong_log_id(log: LyingLog, ders: list[bytes]) -> Response:
    return log.changed(ders, id=b64encode(key_hash(p256().public_key())).decode())


def another_log(log: LyingLog, ders: list[bytes]) -> Response:
    """An SCT in order, of a log that nobody asked."""
    return JSONResponse(HonestLog(log.root).answer(ders))


def too_old(log: LyingLog, ders: list[bytes]) -> Response:
    return log.skewed(ders, timedelta(minutes=-15))


def in_the_future(log: LyingLog, ders: list[bytes]) -> Response:
    return log.skewed(ders, timedelta(minutes=15))


def old_duplicate(log: LyingLog, ders: list[bytes]) -> Response:
    """As to a resubmission: a promise for this very precertificate, of last week."""
    return log.skewed(ders, timedelta(days=-7))


def another_tbs(log: LyingLog, _ders: list[bytes]) -> Response:
    """A promise in order for somebody else's precertificate."""
    other = make_ca()
    submitted = precertificate(other, leaf(other, serial=4712))
    return JSONResponse(HonestLog(other.root, key=log.key).answer([submitted.der, *submitted.chain]))


def another_timestamp(log: LyingLog, ders: list[bytes]) -> Response:
    """The signature is over another second than the one that is named."""
    return log.changed(ders, timestamp=log.answer(ders)["timestamp"] + 1000)


def other_extensions(log: LyingLog, ders: list[bytes]) -> Response:
    return log.changed(ders, extensions="AAAFAAAAAAA=")


def another_version(log: LyingLog, ders: list[bytes]) -> Response:
    return log.changed(ders, sct_version=1)


def fractional_timestamp(log: LyingLog, ders: list[bytes]) -> Response:
    return log.changed(ders, timestamp=log.answer(ders)["timestamp"] + 0.5)


def truncated_signature(log: LyingLog, ders: list[bytes]) -> Response:
    return log.changed(ders, signature=log.answer(ders)["signature"][:-8])


def garbage(_log: LyingLog, _ders: list[bytes]) -> Response:
    return PlainTextResponse('{"sct_version": 0, "id": ')


def html(_log: LyingLog, _ders: list[bytes]) -> Response:
    return PlainTextResponse("<html>Welcome to your hotel</html>", media_type="text/html")


def nothing(_log: LyingLog, _ders: list[bytes]) -> Response:
    return Response(b"")


def nested(_log: LyingLog, _ders: list[bytes]) -> Response:
    return PlainTextResponse("[" * 30_000 + "]" * 30_000)


def huge(_log: LyingLog, _ders: list[bytes]) -> Response:
    async def flood() -> AsyncIterator[bytes]:
        for _ in range(1000):  # 64 MB; without an end the server would go on after its client has gone
            await asyncio.sleep(0.001)
            yield b" " * 65536

    return StreamingResponse(flood())


def created(log: LyingLog, ders: list[bytes]) -> Response:
    """An SCT in order with another status."""
    return JSONResponse(log.answer(ders), 201)


def redirect(_log: LyingLog, _ders: list[bytes]) -> Response:
    return RedirectResponse("http://127.0.0.1:9/elsewhere", 307)


def status(code: int, **headers: str) -> Lie:
    def answer(_log: LyingLog, _ders: list[bytes]) -> Response:
        return PlainTextResponse(
            "the log says 10.0.0.7", code, {name.replace("_", "-"): headers[name] for name in headers}
        )

    return answer


async def late(log: LyingLog, ders: list[bytes]) -> Response:
    """The truth, when the test allows it."""
    while not log.may_answer.is_set():
        await asyncio.sleep(0.01)
    return JSONResponse(log.answer(ders))


def logged(log: HonestLog) -> list[x509.Certificate]:
    """The precertificates that were submitted."""
    chains = [json.loads(body)["chain"] for body in log.bodies]
    return [x509.load_der_x509_certificate(b64decode(chain[0])) for chain in chains]
