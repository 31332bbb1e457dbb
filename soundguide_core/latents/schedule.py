"""How many steps an optimisation of latents takes, and the learning rate of each.

The released schedule of Lee et al. (CVPR 2022), which is that of the StyleGAN2 projector (Karras et al. 2020).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..common.settings import check_settings, setting


@dataclass(frozen=True)
class Schedule:
    """Adam steps with a learning rate that rises over the first `rampup` and falls over the last `rampdown` of them."""

    steps: int = setting(300, "optimisation steps", what="The number of steps", low=1, high=1_000_000)
    lr: float = setting(0.1, "learning rate", what="The learning rate", low=0)
    rampdown: float = setting(0.25, "share of the steps", what="The ramp-down share", low=0, high=1)
    rampup: float = setting(0.05, "share of the steps", what="The ramp-up share", low=0, high=1)

    def __post_init__(self) -> None:
        check_settings(self)

    def ramp(self, i: int) -> float:
        """Factor 0..1 on the learning rate at step i of 0..steps-1: cosine down, linear up, so 0 at step 0."""
        t = i / self.steps
        down = min(1.0, (1 - t) / self.rampdown) if self.rampdown else 1.0
        up = min(1.0, t / self.rampup) if self.rampup else 1.0
        return (0.5 - 0.5 * math.cos(math.pi * down)) * up

    def lr_at(self, i: int) -> float:
        return self.lr * self.ramp(i)
