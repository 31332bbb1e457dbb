"""Levels of noise, in words that every family of diffusion models shares, and at which of them is guided.

    x = alpha x0 + noise eps

alpha^2 + noise^2 = 1 where variance is preserved, alpha = 1 - noise for flows, alpha = 1 where variance explodes.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Level(NamedTuple):
    """How noisy a picture x = alpha x0 + noise eps is.

    share: of noise in it, 0 clean to 1: noise / sqrt(alpha^2 + noise^2) where variances add up (sqrt(1 - alpha_bar)),
        the flow's sigma there. ve: noise for a clean picture of weight 1, noise / alpha; inf where none is left.
    noise: standard deviation of the noise in x itself.
    """

    share: float
    ve: float
    noise: float

    @classmethod
    def of_alpha_bar(cls, alpha_bar: float) -> Level:
        """x = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) eps (Ho et al. 2020)."""
        sigma = math.sqrt(1 - alpha_bar)
        return cls(sigma, sigma / math.sqrt(alpha_bar) if alpha_bar else math.inf, sigma)

    @classmethod
    def of_flow(cls, sigma: float) -> Level:
        """x = (1 - sigma) x0 + sigma eps (Liu et al. 2023)."""
        return cls(sigma, sigma / (1 - sigma) if sigma < 1 else math.inf, sigma)

    @classmethod
    def of_ve(cls, sigma: float) -> Level:
        """x = x0 + sigma eps (Karras et al. 2022)."""
        return cls(sigma / math.sqrt(1 + sigma * sigma), sigma, sigma)


@dataclass(frozen=True)
class When:
    """At which levels is guided.

    interval: lowest and highest share of noise (T. Kynkäänniemi et al., "Applying Guidance in a Limited Interval",
        NeurIPS 2024). every: of the steps inside, each n-th, from the first on. shares: of all steps, falling; a level
        between two belongs to the step that starts above it, so both looks of a second-order solver are guided alike.
    """

    interval: tuple[float, float] = (0.0, 1.0)
    every: int = 1
    shares: Sequence[float] = ()

    @property
    def within(self) -> list[float]:
        """The shares of the steps in the interval."""
        low, high = self.interval
        return [share for share in self.shares if low <= share <= high]

    def guided(self, share: float) -> bool:
        """Whether at this share of noise."""
        low, high = self.interval
        return low <= share <= high and (self.every <= 1 or (self.step(share) or 0) % self.every == 0)

    def step(self, share: float) -> int | None:
        """Which step of the interval this is, from 0; None where the steps are not known."""
        within = self.within
        # the last step whose level is not below this one: its number among those of the interval
        step = len(within) - 1 - bisect_left(within[::-1], share * (1 - 1e-6))
        return max(step, 0) if within else None
