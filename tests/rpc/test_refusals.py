"""Every refusal of the HTTP API over gRPC: the same code, the same words, the same details."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.server import CA, DEAD_ISSUER, body, running_ca
from tests.api.test_refusals import KEYS, NAMES, TOKENS
from tests.rpc.client import Client, OverRPC, Reply, connected

ROWS = TOKENS | KEYS | NAMES


def without_request_id(details: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Empty metadata is left out by one of the two."""
    kept = [detail for detail in details if not detail["@type"].endswith(("RequestInfo", "RetryInfo"))]
    return [{name: value for name, value in detail.items() if value} for detail in kept]


@pytest.mark.parametrize("case", ROWS)
def test_a_refusal_is_that_of_the_http_api(ca: CA, rpc: Client, case: str) -> None:
    row = ROWS[case]
    refused: Any = row.ask(OverRPC.of(ca, rpc))
    answer = row.ask(ca).json()
    assert (refused.code, refused.message) == (answer["code"], answer["message"])
    assert refused.code == 3
    assert refused.message.startswith(row.begins)
    assert refused.reason == row.reason
    assert without_request_id(refused.details) == without_request_id(answer["details"])


def test_an_issuer_that_is_down_is_unavailable_and_says_when_to_come_again(ca: CA, rpc: Client) -> None:
    refused = rpc.sign(body(ca.token(iss=DEAD_ISSUER)))
    assert (refused.code, refused.reason) == (14, "ISSUER_UNAVAILABLE")
    assert retry_delay(refused) > 0


def test_who_is_over_a_limit_is_told_when_to_come_again(tmp_path) -> None:
    limits = {"client": "1/m burst 1"}
    with running_ca(tmp_path, limits=limits, grpc={"listen": "127.0.0.1:0"}) as ca, connected(ca.rpc) as rpc:
        assert ca.ask().status_code == 200, "over HTTP, and counted together"
        refused = rpc.sign(body(ca.token()))
        assert (refused.code, refused.reason) == (8, "RATE_LIMITED")
        assert retry_delay(refused) > 0
        assert ca.figure("rate_limited_total", limit="client") == 1


def retry_delay(refused: Reply) -> int:
    delays = [detail["retryDelay"] for detail in refused.details if detail["@type"].endswith("google.rpc.RetryInfo")]
    assert len(delays) == 1
    return int(delays[0].removesuffix("s"))
