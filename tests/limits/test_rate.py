"""GCRA's arithmetic, and how rates are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.limits.rate import SECOND, Rate, parse_rate


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("100/s burst 6000", Rate(10_000, 6000)),
        ("1/s burst 1", Rate(SECOND, 1)),
        ("6/m burst 10", Rate(10 * SECOND, 10)),
        ("1/h burst 999999999", Rate(3600 * SECOND, 999_999_999)),
        ("1000000/s burst 5", Rate(1, 5)),
        ("off", None),
    ],
)
def test_a_rate_is_written_with_its_burst(text: str, rate: Rate | None) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    "text",
    [
        "",
        "100",
        "100/s",
        "100 burst 5",
        "100/d burst 5",
        "0/s burst 5",
        "5/s burst 0",
        "-5/s burst 5",
        "5.5/s burst 5",
        "1000001/s burst 5",
        "5/s  burst 5",
        "5/s burst 5 ",
        "5/s burst 5\n",
        "１/s burst 5",
        100,
        True,
        [],
        "none",
    ],
)
def test_anything_else_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="a rate"):
        parse_rate(text)


def arrivals(rate: Rate, times: list[int]) -> list[bool]:
    tat: int | None = None
    passed = []
    for now in times:
        nexts = rate.next_arrival(tat, now)
        passed.append(not rate.wait(nexts, now))
        if passed[-1]:
            tat = nexts
    return passed


@given(
    st.builds(Rate, st.integers(1, 10 * SECOND), st.integers(1, 50)),
    st.lists(st.integers(0, 3 * SECOND), min_size=1, max_size=100),
)
def test_no_span_of_time_holds_more_than_the_burst_and_what_the_rate_gives(rate: Rate, steps: list[int]) -> None:
    now, times = 10**15, []
    for step in steps:
        now += step
        times.append(now)
    taken = [at for at, passed in zip(times, arrivals(rate, times), strict=True) if passed]
    for index, start in enumerate(taken):
        for further, end in enumerate(taken[index:], start=1):
            assert further <= rate.burst + (end - start) // rate.interval


@given(st.builds(Rate, st.integers(1, 10 * SECOND), st.integers(1, 50)))
def test_who_waits_as_long_as_told_passes_and_not_a_microsecond_earlier(rate: Rate) -> None:
    now = 10**15
    full = now + rate.capacity
    wait = rate.wait(rate.next_arrival(full, now), now)
    assert wait > 0
    assert rate.wait(rate.next_arrival(full, now + wait), now + wait) == 0
    assert rate.wait(rate.next_arrival(full, now + wait - 1), now + wait - 1) == 1


def test_a_clock_that_was_set_back_locks_nobody_out() -> None:
    rate = Rate(SECOND, 60)
    used_up = 10**15 + rate.capacity
    earlier = 10**15 - 300 * SECOND
    assert rate.wait(rate.next_arrival(used_up, earlier), earlier) == 0


def test_a_clock_that_is_a_little_behind_forgets_nothing() -> None:
    rate = Rate(SECOND, 60)
    used_up = 10**15 + rate.capacity
    assert rate.wait(rate.next_arrival(used_up, 10**15 - SECOND // 2), 10**15 - SECOND // 2) > 0
