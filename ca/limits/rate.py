"""The generic cell rate algorithm (ITU-T I.371 Annex A), which keeps one number for whoever is counted.

The number is the theoretical arrival time (TAT): when everything taken so far would have been paid for at the steady
rate. Times are whole microseconds, so that a burst is exactly as many requests as it says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import BeforeValidator

SECOND: Final = 1_000_000
"""Microseconds."""
_UNITS: Final = {"s": SECOND, "m": 60 * SECOND, "h": 3600 * SECOND}
_TEXT: Final = re.compile(r"([1-9][0-9]{0,8})/([smh]) burst ([1-9][0-9]{0,8})")
_OFF: Final = "off"


@dataclass(frozen=True, slots=True)
class Rate:
    """How much is permitted: `burst` at once, and one more every `interval` microseconds."""

    interval: int
    burst: int

    @property
    def capacity(self) -> int:
        """Microseconds in which a used-up burst is whole again."""
        return self.interval * self.burst

    def next_arrival(self, arrival: int | None, now: int) -> int:
        """The TAT after one more request.

        One further ahead than the rate can bring it is from before a clock was set back, or of a limit that was
        larger then, and is forgotten: better one burst too many than everybody refused until the clock catches up.
        A second is left for clocks that are merely not quite even.
        """
        if arrival is None or arrival < now or arrival > now + self.capacity + SECOND:
            arrival = now
        return arrival + self.interval

    def wait(self, next_arrival: int, now: int) -> int:
        """Microseconds until a request that brings the TAT there is permitted; 0 where it is now."""
        return max(0, next_arrival - now - self.capacity)


def parse_rate(text: Any) -> Any:
    """`100/s burst 6000` (s, m or h) as a Rate, `off` as None. Raises ValueError."""
    if text is None or isinstance(text, Rate):
        return text
    if text == _OFF:
        return None
    if not (match := _TEXT.fullmatch(str(text))):
        raise ValueError(f"write a rate and a burst such as 100/s burst 6000 (per s, m or h), or {_OFF}")
    interval = _UNITS[match[2]] // int(match[1])
    if interval == 0:
        raise ValueError("a rate is at most 1000000/s")
    return Rate(interval, int(match[3]))


Limit = Annotated[Rate | None, BeforeValidator(parse_rate)]
"""A limit as it is written in the configuration; None where it is off."""
