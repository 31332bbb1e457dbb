"""Frame rates as fractions, and frames with times of their own at a constant rate."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import TypeVar

FOLDER_FPS = 12.0  # of a folder of frames, which does not say
NTSC = (24, 30, 48, 60, 120)  # nominal rates whose true one is 1000/1001 of it
WHOLE = (5, 6, 8, 10, 12, 15, 20, 24, 25, 30, 48, 50, 60, 120)
USUAL = (*map(Fraction, WHOLE), *(Fraction(nominal * 1000, 1001) for nominal in NTSC))
ALMOST = 1e-6  # seconds
Item = TypeVar("Item")


def exact_rate(fps: float | Fraction) -> Fraction:
    """The fraction that a frame rate means: 29.97 is 30000/1001, so that an hour does not drift."""
    for nominal in NTSC:
        true = Fraction(nominal * 1000, 1001)
        if abs(float(fps) - true) < 0.006:
            return true
    return Fraction(fps).limit_denominator(1001)


def rate_of(times: Sequence[float], stated: Sequence[Fraction]) -> Fraction:
    """The constant rate that suits frames at these times, sorted, in seconds.

    stated: what the file says, of which the one that agrees with the times is taken. Of a variable rate it is that of
    its closer frames, as a usual rate where one is near.
    """
    gaps = sorted(b - a for a, b in pairwise(times) if b - a > ALMOST)
    if not gaps:
        return next(iter(stated), Fraction(FOLDER_FPS))
    mean = (len(times) - 1) / (times[-1] - times[0])
    if gaps[-1] - gaps[0] < 0.3 * gaps[0] + 0.0021:  # even, but for rounding to milliseconds
        for rate in stated:
            if abs(rate / mean - 1) < 0.01:
                return exact_rate(rate)
        return _usual(mean, 0.002)
    return _usual(1 / gaps[len(gaps) // 4], 0.03)


def _usual(fps: float, tolerance: float) -> Fraction:
    near = min(USUAL, key=lambda rate: abs(rate / fps - 1))
    return near if abs(near / fps - 1) < tolerance else exact_rate(min(max(fps, 0.01), 1000))


def rising(times: Iterable[tuple[float | None, Item]], each: float, farthest: float) -> Iterator[tuple[float, Item]]:
    """(time, item) with times that rise: one that is absent, falls back or leaps too far is `each` after the last."""
    last, shift = None, 0.0
    for time, item in times:
        if last is None:
            now = max(time or 0.0, 0.0)
        elif time is None:
            now = last + each
        else:
            now = time + shift
            if not last < now <= last + farthest:
                shift += last + each - now
                now = last + each
        last = now
        yield now, item


def at_rate(
    timed: Iterable[tuple[float, Item]], rate: Fraction, start_sec: float = 0.0, seconds: float = math.inf
) -> Iterator[Item]:
    """What is seen in the middle of each span of 1 / rate seconds, from start_sec on.

    The first is also seen before its time, and the last for as long as the one before it, at most a second.
    """
    shown, i, before, last = None, 0, None, None

    def middle() -> float:
        return start_sec + float((2 * i + 1) / (2 * rate))

    def wanted() -> bool:
        return float(i / rate) + ALMOST < seconds

    for time, item in timed:
        while shown is not None and middle() < time and wanted():
            yield shown
            i += 1
        if not wanted():
            return
        if shown is None and time > start_sec:
            while middle() < time and wanted():
                yield item
                i += 1
        shown, before, last = item, last, time
    if shown is None or last is None:
        return
    each = float(1 / rate) if before is None else min(last - before, max(1.0, float(1 / rate)))
    while middle() < last + each + ALMOST and wanted():
        yield shown
        i += 1
