"""What is heard around each frame, from what is heard at each: streams of rows, one for each frame.

Axes: F frames, K kinds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import torch
from torch import Tensor


def among_few(parts: Iterator[Tensor], reach: int) -> Iterator[Tensor]:
    """p_t(k) times the mean of p(k) over `reach` rows before and after, up to a factor: a recording holds few kinds, so
    that one which is heard nearby is likelier than one which is not."""
    for rows, first, count in amid(parts, reach, reach):
        p = rows[first : first + count] * (near_weights(first, count, len(rows), reach).to(rows) @ rows)
        yield p / p.sum(dim=1, keepdim=True)


def decided(p: Tensor, sharpness: float) -> Tensor:
    """p^sharpness up to a factor [F,K]. What is only likelier than the rest is then as good as sure: a mean of two
    kinds that sound alike looks like neither, and how it is mixed would move the picture more than the loudness does.
    """
    return (sharpness * p.clamp(min=1e-9).log()).softmax(dim=1)


def averaged(parts: Iterator[Tensor], reach: int) -> Iterator[Tensor]:
    """The mean over `reach` rows before and after each, those nearest counting most."""
    for rows, first, count in amid(parts, reach, reach):
        yield near_weights(first, count, len(rows), reach).to(rows) @ rows


def near_weights(first: int, count: int, known: int, reach: int) -> Tensor:
    """The weights [count,known] of rows within `reach` of each of those from `first` on: cos^2, with the sum 1."""
    away = torch.arange(known) - torch.arange(first, first + count)[:, None]
    weights = torch.cos(torch.pi / 2 * away / (reach + 1)).square() * (away.abs() <= reach)
    return weights / weights.sum(dim=1, keepdim=True)


def amid(parts: Iterator[Tensor], before: int, after: int) -> Iterator[tuple[Tensor, int, int]]:
    """Parts [n,K] of a row as they come => (rows, first, n): rows[first:first+n] is the part again, with `before` rows
    before it and at least `after` after it, as far as there are any."""
    rows, begin, done, waiting = None, 0, 0, deque()
    while True:
        part = next(parts, None)
        if part is not None:
            rows = part if rows is None else torch.cat([rows, part])
            waiting.append(len(part))
        while waiting and (part is None or begin + len(rows) >= done + waiting[0] + after):
            count = waiting.popleft()
            yield rows, done - begin, count
            done += count
            gone = max(done - before - begin, 0)
            rows, begin = rows[gone:], begin + gone
        if part is None:
            return
