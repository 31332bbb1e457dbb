"""What long work will cost, as soon as its first step can be measured."""

from __future__ import annotations

import time
from collections.abc import Callable

WORTH_TELLING = 10.0  # seconds


class Cost:
    """Seconds that n steps take, from how long it is between the first two reports of them.

    What comes before the first step, loading say, is counted once.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.now, self.began = now, now()
        self.first: tuple[int, float] | None = None  # the step first reported, and when
        self.told = False

    def step(self, i: int, n: int) -> float | None:
        """Step i of n is done: the seconds for all of them, once, at the second report; None if they are few."""
        at = self.now()
        if self.first is None:
            self.first = i, at
        elif not self.told and n and i > self.first[0]:
            self.told = True
            each = (at - self.first[1]) / (i - self.first[0])
            seconds = at - self.began + each * (n - 1 - i)
            return seconds if seconds >= WORTH_TELLING else None
        return None


def spoken(seconds: float) -> str:
    """ "40 s", "6 min", "2.5 h" """
    if seconds < 90:
        return f"{max(round(seconds / 5) * 5, 5)} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
