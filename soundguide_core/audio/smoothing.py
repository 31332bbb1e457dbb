"""Moving averages along time over a stream of rows, one row for each frame.

A stream arrives in parts [n,K] and leaves in parts of the same sizes; no more than `reach` rows around a part are held.
Axes: F frames, K columns (kinds of sound, or any other numbers).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor


def recording_prior(parts: Iterator[Tensor], reach: int) -> Iterator[Tensor]:
    """Probabilities p_t(k) times their moving average over `reach` rows before and after, normalised: parts [n,K].

    p'_t(k) = p_t(k) m_t(k) / sum_j p_t(j) m_t(j). A recording holds few kinds of sound, so a kind that is heard nearby
    is likelier than one that is not.
    """
    for rows, first, count in with_context(parts, reach, reach):
        p = rows[first : first + count] * (hann_weights(first, count, len(rows), reach).to(rows) @ rows)
        yield p / p.sum(dim=1, keepdim=True)


def sharpen(p: Tensor, sharpness: float) -> Tensor:
    """p^sharpness / sum_k p^sharpness, [F,K] => [F,K]: probabilities at a lower temperature, 1 / sharpness.

    A mean of two kinds that sound alike looks like neither, and how it is mixed would move the picture more than the
    loudness does; so what is likelier than the rest is taken as good as sure.
    """
    return (sharpness * p.clamp(min=1e-9).log()).softmax(dim=1)


ROWS = 128  # weighed at once
OVERWHELMING = 0.9  # mean probability of another kind that ends a decision early


def held(parts: Iterator[Tensor], least: int) -> Iterator[Tensor]:
    """Probabilities p_t(k) => decisions, one 1 in each row, of which each lasts `least` rows: parts [n,K].

    Another kind j takes over from d at row t where it is the likelier, p_t(j) > p_t(d), and stays so in the mean over
    rows t .. t + least - 1; before d has lasted, only where that mean, and p_t(j), are above OVERWHELMING.
    """
    decision, since = -1, 0
    for rows, first, count in with_context(parts, 0, max(least - 1, 0)):
        means = torch.stack([rows[i : i + max(least, 1)].mean(dim=0) for i in range(first, first + count)])
        read = torch.stack([rows[first : first + count], means]).cpu().numpy()  # at once
        decisions = []
        for p, ahead in zip(*read):
            best, since = int(ahead.argmax()), since + 1
            if decision < 0:
                decision, since = best, 0
            lasted = since >= least or min(p[best], ahead[best]) > OVERWHELMING
            if decision >= 0 and best != decision and p[best] > p[decision] and lasted:
                decision, since = best, 0
            decisions.append(decision)
        yield F.one_hot(torch.tensor(decisions), rows.shape[1]).to(rows)


def moving_average(parts: Iterator[Tensor], reach: int) -> Iterator[Tensor]:
    """The mean over `reach` rows before and after each row, weighted by a Hann window: parts [n,K].

    A part of any length takes the memory of ROWS and their neighbours, besides its own.
    """
    for rows, first, count in with_context(parts, reach, reach):
        means = []
        for at in range(first, first + count, ROWS):
            n = min(ROWS, first + count - at)
            low, high = max(at - reach, 0), min(at + n + reach, len(rows))
            means.append(hann_weights(at - low, n, high - low, reach).to(rows) @ rows[low:high])
        yield torch.cat(means)


def hann(distance: Tensor, reach: int) -> Tensor:
    """The Hann window cos^2(pi/2 distance / (reach + 1)): 1 in its middle, 0 just beyond `reach`."""
    return torch.cos(torch.pi / 2 * distance / (reach + 1)).square()


def hann_weights(first: int, count: int, known: int, reach: int) -> Tensor:
    """[count,known]: for each row from `first` on, the Hann window over the `known` rows, with the sum 1."""
    distance = torch.arange(known) - torch.arange(first, first + count)[:, None]
    weights = hann(distance, reach) * (distance.abs() <= reach)
    return weights / weights.sum(dim=1, keepdim=True)


def with_context(parts: Iterator[Tensor], before: int, after: int) -> Iterator[tuple[Tensor, int, int]]:
    """Each part [n,K] of a stream with its neighbours => (rows, first, n), the part is rows[first : first + n].

    In front of it stand `before` rows and behind it at least `after`, as far as the stream has them.
    """
    rows, start, done = torch.zeros(0), 0, 0  # start: number in the stream of the first row that is held
    waiting: deque[int] = deque()  # sizes of parts that have come and not left
    while True:
        part = next(parts, None)
        if part is not None:
            rows = torch.cat([rows, part]) if len(rows) else part
            waiting.append(len(part))
        while waiting and (part is None or start + len(rows) >= done + waiting[0] + after):
            count = waiting.popleft()
            yield rows, done - start, count
            done += count
            gone = max(done - before - start, 0)
            rows, start = rows[gone:], start + gone
        if part is None:
            return
