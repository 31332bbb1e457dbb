"""Settings of pivotal tuning: see tuning.py. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass

from ..common.settings import check_settings, seed_setting, setting
from .schedule import Schedule


@dataclass(frozen=True)
class TuningConfig:
    """Weights, distance and steps of D. Roich et al. 2022.

    PUBLISHED has the values of the authors' code, for generators of 512 channels. Ours go further in fewer steps, at a
    rate that falls at the end, and weigh pixels more.
    """

    schedule: Schedule = setting(  # noqa: RUF009
        Schedule(steps=100, lr=0.006, rampdown=0.5, rampup=0.0), "steps and learning rate of the tuning",
        what="The schedule",
    )  # fmt: skip
    l2: float = setting(60.0, "weight of the squared difference of pixels", what="The weight of the pixels", low=0)
    perceptual: float = setting(1.0, "weight of the perceptual distance", what="The perceptual weight", low=0)
    locality: float = setting(
        0.1, "how strongly the rest of the generator stays as it was; 0: not at all", what="The locality weight",
        low=0,
    )  # fmt: skip
    locality_every: int = setting(
        4, "steps from one look at the rest of the generator to the next; it then counts so many times", low=1,
        high=1000, what="The steps between looks at the rest of the generator",
    )  # fmt: skip
    alpha: float = setting(
        30.0, "how far from the picture, in W+, the generator is held as it was; at most to the next random picture",
        what="The distance of the locality term", low=0,
    )  # fmt: skip
    enough: float = setting(
        0.0, "stop when the perceptual distance is below this (the authors' code: 0.06); 0: never",
        what="The distance to stop at", low=0,
    )  # fmt: skip
    seed: int = seed_setting("of the random pictures that stay as they were")

    def __post_init__(self) -> None:
        check_settings(self)


PUBLISHED = TuningConfig(
    schedule=Schedule(steps=350, lr=3e-4, rampdown=0.0, rampup=0.0), l2=1.0, locality_every=1, enough=0.06
)
