from __future__ import annotations

from ca.ct.breaker import Breaker


def opened(at: float = 0.0) -> Breaker:
    breaker = Breaker(threshold=3, pause=5)
    for _ in range(3):
        assert breaker.admits(at)
        breaker.failed(at)
    return breaker


def test_closed_admits_everybody() -> None:
    breaker = Breaker()
    assert all(breaker.admits(0) for _ in range(100))


def test_failures_below_the_threshold_leave_it_closed() -> None:
    breaker = Breaker(threshold=3)
    for _ in range(2):
        breaker.failed(0)
    assert breaker.state(0) == "closed"


def test_a_success_between_failures_starts_the_count_again() -> None:
    breaker = Breaker(threshold=3)
    for _ in range(10):
        breaker.failed(0)
        breaker.failed(0)
        breaker.succeeded()
    assert breaker.state(0) == "closed"


def test_failures_in_a_row_open_it_for_the_pause() -> None:
    breaker = opened(at=100)
    assert [breaker.state(moment) for moment in (100, 104.9, 105)] == ["open", "open", "half-open"]
    assert not breaker.admits(104.9)


def test_retry_after_is_what_is_left_of_the_pause_and_never_zero() -> None:
    breaker = opened(at=100)
    assert [breaker.retry_after(moment) for moment in (100, 103.2, 104.99, 200)] == [5, 2, 1, 1]


def test_half_open_admits_one() -> None:
    breaker = opened()
    assert [breaker.admits(6) for _ in range(5)] == [True, False, False, False, False]


def test_a_probe_that_succeeds_closes_it() -> None:
    breaker = opened()
    assert breaker.admits(6)
    breaker.succeeded()
    assert breaker.state(6) == "closed"
    assert all(breaker.admits(6) for _ in range(5))


def test_a_probe_that_fails_opens_it_again_at_once() -> None:
    breaker = opened()
    assert breaker.admits(6)
    breaker.failed(7)
    assert breaker.state(11.9) == "open"
    assert breaker.admits(12)


def test_a_probe_that_gave_up_makes_room_for_the_next() -> None:
    breaker = opened()
    assert breaker.admits(6)
    breaker.gave_up()
    assert breaker.admits(6)


def test_whoever_asks_for_more_than_the_pause_is_left_alone_at_once_and_that_long() -> None:
    breaker = Breaker(threshold=5, pause=5)
    breaker.failed(0, wait=30)
    assert not breaker.admits(29.9)
    assert breaker.admits(30)


def test_whoever_asks_for_less_than_the_pause_is_not_left_alone_at_once() -> None:
    breaker = Breaker(threshold=5, pause=5)
    breaker.failed(0, wait=5)
    assert breaker.admits(0)


def test_a_late_failure_does_not_shorten_what_was_asked_for() -> None:
    breaker = Breaker(threshold=1, pause=5)
    breaker.failed(0, wait=300)
    breaker.failed(1)
    assert not breaker.admits(299)
