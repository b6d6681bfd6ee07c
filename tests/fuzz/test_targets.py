"""The fuzzers' properties hold for what they begin with, and for what is near it; `make fuzz` looks further."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fuzz.targets import TARGETS


def near(seed: bytes) -> Iterator[bytes]:
    """The seed, cut short, with bits changed, doubled, and among what it does not belong to."""
    yield seed
    for place in range(0, len(seed), max(1, len(seed) // 8)):
        yield seed[:place]
        yield seed[:place] + bytes([seed[place] ^ 1]) + seed[place + 1 :]
        yield seed[:place] + seed[place : place + 16] * 3 + seed[place:]
        yield seed[:place] + b"\xff" + seed[place:]
    yield seed + seed


@pytest.mark.parametrize("name", TARGETS)
def test_a_parser_raises_nothing_but_what_it_documents(name: str) -> None:
    target = TARGETS[name]
    seeds = list(target.seeds())
    assert seeds
    for seed in seeds[:: max(1, len(seeds) // 25)]:
        for data in near(seed):
            target.run(data)
