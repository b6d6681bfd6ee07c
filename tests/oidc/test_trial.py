from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ca.oidc.dialling import SystemInternet
from ca.oidc.trial import try_issuer
from tests.oidc.provider import Provider, make_key
from tests.oidc.trusting import trusted

pytestmark = pytest.mark.anyio


async def trial(provider: Provider, *, ahead: timedelta = timedelta(), **keys: object):
    """`ahead`: of our clock, the issuer's."""
    entry = trusted(provider.issuer, **keys)
    return await try_issuer(provider.issuer, entry, SystemInternet(), lambda: datetime.now(UTC) - ahead)


@pytest.mark.parametrize(("minutes", "way"), [(10, "ahead of"), (-10, "behind")])
async def test_a_clock_that_differs_by_more_than_a_minute_is_a_problem(provider, minutes: int, way: str) -> None:
    found = await trial(provider, ahead=timedelta(minutes=minutes))
    assert found.problem.endswith(f" s {way} ours")
    assert abs(found.skew - timedelta(minutes=minutes)) < timedelta(seconds=30)
    assert found.keys


async def test_a_clock_that_differs_by_less_is_shown_alone(provider) -> None:
    found = await trial(provider, ahead=timedelta(seconds=20))
    assert not found.problem
    assert abs(found.skew - timedelta(seconds=20)) < timedelta(seconds=15)


async def test_keys_of_a_file_are_tried_without_a_fetch(provider, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [make_key("ES256").as_dict(private=False)]}))
    found = await trial(provider, jwks_file=str(file))
    assert (found.problem, found.keys, found.algorithms, found.skew) == ("", 1, ("ES256",), None)
    file.unlink()
    assert "keys.json: cannot be read" in (await trial(provider, jwks_file=str(file))).problem
    assert not provider.fetches


async def test_an_address_that_real_tokens_would_not_reach_is_not_reached(provider) -> None:
    entry = trusted("https://10.0.0.1")
    found = await try_issuer("https://10.0.0.1", entry, SystemInternet(), lambda: datetime.now(UTC))
    assert "address is not one of the internet" in found.problem
