"""A circuit breaker: whether somebody who keeps failing should be asked again yet."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(slots=True)
class Breaker:
    """Closed, it lets everybody through; open, nobody; half-open, one, whose luck decides.

    Every time is in seconds of one monotonic clock, which steps of the wall clock do not move.
    """

    threshold: int = 5
    """Failures in a row that open it."""
    pause: float = 5.0
    """Seconds that it stays open, unless it was told to wait longer."""
    _failures: int = 0
    _closed: bool = True
    _open_until: float = 0.0
    _probing: bool = False

    def state(self, now: float) -> Literal["closed", "open", "half-open"]:
        if self._closed:
            return "closed"
        return "open" if now < self._open_until else "half-open"

    def admits(self, now: float) -> bool:
        """Whether one more may go. If so, its end has to be told: `succeeded`, `failed` or `gave_up`."""
        match self.state(now):
            case "closed":
                return True
            case "half-open" if not self._probing:
                self._probing = True
                return True
            case _:
                return False

    def succeeded(self) -> None:
        self._failures, self._closed, self._probing = 0, True, False

    def failed(self, now: float, wait: float = 0.0) -> None:
        """`wait` is how long the other side asks to be left alone; more than the pause opens the breaker at once."""
        self._failures += 1
        self._probing = False
        if self._failures >= self.threshold or wait > self.pause:
            self._closed = False
            self._open_until = max(self._open_until, now + max(wait, self.pause))

    def gave_up(self) -> None:
        """Who was let through did not wait for the end, so nothing was learned."""
        self._probing = False

    def retry_after(self, now: float) -> int:
        """Whole seconds, at least one, until somebody is let through again."""
        return max(1, math.ceil(self._open_until - now))
