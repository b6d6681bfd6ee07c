"""Row 4: for whom a token is.

Expected: what is not for us is refused with a stable reason, however much it looks like it; one of several audiences is
enough unless the issuer's entry says otherwise; `azp` counts where the entry names it; each entry has its own audience.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.server import leaf
from tests.faults.issuing import Issuing, issuing
from tests.oidc.provider import Provider

OTHERS: list[Any] = [
    "sigstore-evil", "sigstor", "Sigstore", "SIGSTORE", "sigstore ", " sigstore", "sigstore\n", "sigstore\x00", "sigstore/",
    "https://sigstore", "s\u0456gstore", "sigstore,other", "*", "sigstore*", "", [], [""], ["other"], ["sigstore-evil", "x"],
]  # fmt: skip
SHAPELESS: list[Any] = [
    5,
    True,
    {"sigstore": True},
    [["sigstore"]],
    ["sigstore", 5],
    ["sigstore", None],
    [{"a": "sigstore"}],
]


@pytest.fixture
def served(tmp_path: Path, provider: Provider) -> Iterator[Issuing]:
    with issuing(tmp_path, provider) as running:
        yield running


def test_another_audience_is_refused(served: Issuing) -> None:
    for audience in OTHERS:
        assert served.refusal(aud=audience) == "TOKEN_AUDIENCE_MISMATCH", audience
    for audience in SHAPELESS:
        assert served.refusal(aud=audience) == "CLAIM_INVALID", audience
    for audience in (..., None):
        assert served.refusal(aud=audience) == "CLAIM_MISSING", audience


def test_one_of_several_audiences_is_enough_by_default(served: Issuing) -> None:
    for audience in (["sigstore"], ["other", "sigstore"], ["sigstore", "sigstore-evil"]):
        assert leaf(served.answer(aud=audience))


def test_a_sole_audience_is_sole(tmp_path: Path, provider: Provider) -> None:
    with issuing(tmp_path, provider, **{"sole-audience": True}) as served:
        assert leaf(served.answer(aud=["sigstore"]))
        for audience in (["sigstore", "other"], ["other", "sigstore"]):
            assert served.refusal(aud=audience) == "TOKEN_AUDIENCE_MISMATCH"


def test_the_authorized_party_counts_where_the_entry_names_it(tmp_path: Path, provider: Provider) -> None:
    with issuing(tmp_path, provider, azp=["client-a"]) as served:
        assert leaf(served.answer(azp="client-a"))
        for party in ("client-b", "client-a ", "", ["client-a"], 5, ..., None):
            assert served.answer(azp=party).status_code == 400, party


def test_more_audiences_are_those_of_the_entry_alone(tmp_path: Path, provider: Provider) -> None:
    with issuing(tmp_path, provider, audiences=["release"]) as served:
        for audience in ("release", "sigstore", ["release", "x"]):
            assert leaf(served.answer(aud=audience))
        assert served.refusal(aud="other") == "TOKEN_AUDIENCE_MISMATCH"
        token = served.ca.token(aud="release")
        assert served.ca.ask(token).json()["details"][0]["reason"] == "TOKEN_AUDIENCE_MISMATCH"
