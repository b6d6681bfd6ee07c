"""`/api/v1/timestamp`: the paths, statuses and media types of sigstore's timestamp authority."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from ca.api import answers
from ca.api.edge import read_body
from ca.errors import DayflyError, TimestampRefused
from ca.timestamp import query

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from starlette.requests import Request

    from ca.telemetry import Metrics
    from ca.timestamp.authority import TimestampAuthority

BODY_LIMIT: Final = 1024
"""Bytes: a digest, a nonce and a little around them."""


class Timestamps:
    """The endpoints of one authority."""

    def __init__(self, authority: TimestampAuthority, clock: Callable[[], datetime], metrics: Metrics) -> None:
        self._authority = authority
        self._clock = clock
        self._metrics = metrics
        self._chain = "".join(authority.chain.pems)

    async def stamp(self, request: Request) -> Response:
        try:
            content = await read_body(request, BODY_LIMIT)
            asked = _parser(request)(content)
            # The time is read when all has been: nobody gets an earlier one by sending slowly.
            token = await self._authority.stamp(asked, self._clock())
        except DayflyError as problem:
            request.state.record["reason"] = problem.reason
            self._metrics.timestamps.labels(problem.reason).inc()
            return answers.error(problem, request.state.request_id)
        self._metrics.timestamps.labels("granted").inc()
        return Response(token, 201, media_type="application/timestamp-reply")

    async def certchain(self, _request: Request) -> Response:
        return answers.PEM(self._chain)


def _parser(request: Request) -> Callable[[bytes], query.Query]:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    match media_type:
        case "application/timestamp-query":
            return query.parse_der
        case "application/json":
            return query.parse_json
        case _:
            raise TimestampRefused("the Content-Type is neither application/timestamp-query nor application/json")
