"""Row 6: tokens that are too large, too deep, or too many of something.

Expected: refused, and no memory spent on it; what is within the limits and honest is served.
"""

from __future__ import annotations

import gc
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from ca.main import clock
from ca.oidc.jws import MAX_TOKEN_LENGTH
from tests.api.server import body, leaf
from tests.faults.issuing import Issuing, issuing, reason
from tests.oidc.provider import Provider, sign


@pytest.fixture
def served(tmp_path: Path, provider: Provider) -> Iterator[Issuing]:
    with issuing(tmp_path, provider) as running:
        yield running


def signed(served: Issuing, members: str) -> str:
    """A token with these members beside the honest ones, as they are written."""
    claims = json.dumps(served.provider.claims(clock(), email="ada@example.com", email_verified=True))
    key = served.provider.keys[-1]
    return sign(key, f"{claims[:-1]}, {members}}}".encode(), {"alg": "ES256", "kid": key.kid})


def test_a_token_of_a_character_more_than_may_be_is_refused(served: Issuing) -> None:
    room = MAX_TOKEN_LENGTH - len(signed(served, '"x":""'))
    fits = signed(served, f'"x":"{"a" * (room * 3 // 4 - 2)}"')
    assert MAX_TOKEN_LENGTH - 8 < len(fits) <= MAX_TOKEN_LENGTH
    assert leaf(served.ca.sign(body(fits)))
    for more in (8, 1_000, 20_000):
        assert reason(served.ca.sign(body(fits + "A" * more))) == "TOKEN_MALFORMED"


def test_a_megabyte_of_token_is_not_read(served: Issuing) -> None:
    assert reason(served.ca.sign(body("a" * (1 << 20)))) == "MALFORMED_REQUEST"
    answer = served.ca.sign({}, Authorization="Bearer " + "a" * (1 << 20))
    assert answer.status_code in {400, 431}


@pytest.mark.parametrize(
    "members",
    [
        '"x":' + "[" * 3000 + "]" * 3000,
        '"x":' + '{"a":' * 1500 + "1" + "}" * 1500,
        '"x":1' + "0" * 9_000,
        '"x":0.' + "1" * 9_000,
    ],
    ids=["lists", "objects", "integer", "fraction"],
)
def test_what_makes_readers_fall_over_is_refused_or_read(served: Issuing, members: str) -> None:
    answer = served.ca.sign(body(signed(served, members)))
    assert answer.status_code in {200, 400}
    if answer.status_code == 400:
        assert reason(answer) == "TOKEN_MALFORMED"
    assert answer.status_code == 400 or "0." in members


def test_five_hundred_claims_are_no_matter(served: Issuing) -> None:
    assert leaf(served.ca.sign(body(signed(served, ",".join(f'"c{n}":{n}' for n in range(500))))))


def test_what_is_refused_leaves_no_memory_behind(served: Issuing) -> None:
    hostile = [signed(served, '"x":' + "[" * 3000 + "]" * 3000), "a" * 60_000, "." * 60_000]

    def send(times: int) -> None:
        for _ in range(times):
            for token in hostile:
                assert served.ca.sign(body(token)).status_code == 400

    send(5)
    tracemalloc.start()
    send(5)
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    send(30)
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert after - before < 2 << 20  # of 4 MB that came; the test keeps the server's records
