"""Row 2: what a token may say of time.

Expected: 400 with a stable reason for everything that is not a moment, and for moments that are wrong; a minute of skew
is forgiven, since clocks differ, and an honest token without `iat` is taken.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ca.main import clock
from tests.api.server import body
from tests.faults.issuing import Issuing, issuing, reason
from tests.oidc.provider import Provider, sign

NOT_A_MOMENT = ["1795000000", "", True, False, None, [], {}, [1795000000], -1, 1e300, 10**4000, 0.1]


@pytest.fixture
def served(tmp_path: Path, provider: Provider) -> Iterator[Issuing]:
    with issuing(tmp_path, provider) as running:
        yield running


def seconds() -> int:
    return int(clock().timestamp())


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
def test_what_is_no_moment_is_refused(served: Issuing, name: str) -> None:
    for value in NOT_A_MOMENT:
        if value is None and name != "exp":
            continue  # null is absent, and these may be
        given = served.answer(**{name: value})
        if given.status_code == 200:
            assert value == 0.1, value  # a moment of 1970, which is well for nbf and iat
            assert name != "exp"
        else:
            assert reason(given) in {"CLAIM_INVALID", "CLAIM_MISSING", "TOKEN_EXPIRED"}, (name, value)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1" + "0" * 5000])
def test_what_is_no_number_of_json_is_refused(served: Issuing, number: str) -> None:
    claims = json.dumps(served.provider.claims(clock(), exp=0)).replace('"exp": 0', f'"exp": {number}')
    key = served.provider.keys[-1]
    token = sign(key, claims.encode(), {"alg": "ES256", "kid": key.kid})
    assert reason(served.ca.sign(body(token))) in {"TOKEN_MALFORMED", "CLAIM_INVALID"}


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"exp": -3600}, "TOKEN_EXPIRED"),
        ({"exp": -1}, "TOKEN_EXPIRED"),
        ({"nbf": 400}, "TOKEN_NOT_YET_VALID"),
        ({"iat": 400}, "TOKEN_NOT_YET_VALID"),
        ({"nbf": 10**9}, "TOKEN_NOT_YET_VALID"),
    ],
)
def test_a_moment_that_is_wrong_is_refused(served: Issuing, claims: dict[str, int], expected: str) -> None:
    now = seconds()
    assert served.refusal(**{name: now + offset for name, offset in claims.items()}) == expected


def test_what_differs_by_a_slow_clock_is_accepted(served: Issuing) -> None:
    now = seconds()
    for claims in ({"exp": now + 5}, {"nbf": now + 20}, {"iat": now + 20}, {"iat": ...}, {"nbf": ...}, {"iat": 0}):
        assert served.answer(**claims).status_code == 200, claims


def test_an_issuers_limit_on_age_refuses_the_ancient_and_the_undated(tmp_path: Path, provider: Provider) -> None:
    with issuing(tmp_path, provider, **{"max-token-age": 600}) as served:
        now = seconds()
        assert served.answer(iat=now - 60).status_code == 200
        for claims, expected in (({"iat": now - 7200}, "TOKEN_EXPIRED"), ({"iat": ...}, "CLAIM_MISSING")):
            assert served.refusal(exp=now + 300, **claims) == expected
