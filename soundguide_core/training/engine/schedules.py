"""Learning rates over a run."""

from __future__ import annotations

import math


def warmup_cosine(i: int, steps: int, warmup: int) -> float:
    """Factor on the learning rate at step i: linear from 0 over `warmup` steps, times a half cosine that reaches 0 at
    `steps` (I. Loshchilov and F. Hutter, "SGDR", ICLR 2017, without restarts)."""
    return min(1.0, (i + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * i / steps))


def linear_decay(i: int, steps: int, share: float, last: float) -> float:
    """Factor on the learning rate at step i: 1, then linearly down to `last` over the last `share` of the steps."""
    return last + (1 - last) * min((1 - i / steps) / share, 1) if share else 1.0
