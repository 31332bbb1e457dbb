"""What is heard around each frame, from what is heard at each: streams of rows, one for each frame.

Where kinds of sound are told apart, the kind is a hidden Markov chain: one goes on for a while, then another follows.

    a_t(k) ~ e_t(k) sum_j A_jk a_{t-1}(j)                     forwards, from the first frame on
    b_t(j) = sum_k A_jk e_{t+1}(k) b_{t+1}(k)                  backwards, from the last frame that is looked ahead to
    p_t(k) ~ a_t(k) b_t(k)                                    what frame t shows

with e_t(k) = p(k | x_t)^(1/n), as n frames in a row hear nearly the same. So the picture changes from one
kind to another where as much speaks for the first before as for the second after, and does not waver between kinds that
sound alike.
Axes: F frames, K dims of what is heard, or kinds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import torch
from torch import Tensor

STAY_SEC = 20.0  # how long a kind goes on, in the mean
ALIKE_SEC = 0.5  # how long what is heard tells nothing new
TURN_SEC = 0.3  # before and after a change over which it is seen


def averaged(parts: Iterator[Tensor], reach: int) -> Iterator[Tensor]:
    """The mean over `reach` rows before and after each, those nearest counting most."""
    for rows, first, count in amid(parts, reach, reach):
        yield near_weights(first, count, len(rows), reach).to(rows) @ rows


def decided(parts: Iterator[Tensor], fps: float, reach: int) -> Iterator[Tensor]:
    """log p(k | x_t) [F,K] => log p_t(k), looking ahead `reach` frames; a change takes 2 TURN_SEC."""
    for p in averaged(_smoothed(parts, fps, reach), round(TURN_SEC * fps)):
        yield p.clamp(min=1e-9).log().float()


def _smoothed(parts: Iterator[Tensor], fps: float, reach: int) -> Iterator[Tensor]:
    """log p(k | x_t) [F,K] => p_t(k) [F,K], double."""
    before = None  # [K], what the frames so far say of the next one
    for rows, _, count in amid(parts, 0, reach):
        likely = (rows.double() / (ALIKE_SEC * fps)).softmax(dim=1)  # [F',K], e_t up to a factor
        step = transitions(rows.shape[1], fps).to(likely)
        forwards = []
        for e in likely[:count]:
            a = _summing_to_1(e if before is None else e * before)
            before = a @ step
            forwards.append(a)
        backwards = torch.ones_like(likely[:count])
        for ahead in range(reach, 0, -1):
            e = likely[ahead : ahead + count]  # of the frames whose row is known
            backwards[: len(e)] = _summing_to_1((e * backwards[: len(e)]) @ step.T)
        yield _summing_to_1(torch.stack(forwards) * backwards)


def transitions(kinds: int, fps: float) -> Tensor:
    """A [K,K]: A_jk is how likely kind k is in the frame after one of kind j."""
    change = 1 / (STAY_SEC * fps) if kinds > 1 else 0.0
    return torch.full((kinds, kinds), change / max(kinds - 1, 1)).fill_diagonal_(1 - change)


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


def _summing_to_1(p: Tensor) -> Tensor:
    return p / p.sum(dim=-1, keepdim=True)
