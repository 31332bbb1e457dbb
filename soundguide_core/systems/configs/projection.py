"""Settings of finding a picture in a generator: see latents/projection.py."""

from __future__ import annotations

from dataclasses import dataclass

from ...common.settings import Setting, check_settings, seed_setting, setting
from ...latents.schedule import Schedule


@dataclass(frozen=True)
class ProjectionConfig:
    """How a picture is found: the nearest of random samples, then optimisation from there."""

    schedule: Schedule = setting(  # noqa: RUF009
        Schedule(steps=200, lr=0.1), "steps and learning rate", what="The schedule",
        parts={
            "steps": Setting(
                "steps of search; more is closer, to a point", what="The number of steps", low=1, high=1_000_000,
                offered=(1, 5000),
                tooltip="Steps of search: more is closer, to a point. Time grows in proportion; 200 take 10 to 30 "
                "seconds on two CPU cores with the miniature.",
            ),
            "lr": Setting(
                "how far one step goes, at most", what="The learning rate", low=0, offered=(0.01, 1.0), step=0.01,
                socket="step_size",
            ),
        },
    )  # fmt: skip
    prior: float = setting(
        0.1, "pull toward the generator's usual pictures", what="The prior weight", low=0, offered=(0.0, 10.0),
        step=0.01, socket="stay_editable",
        tooltip="Pull toward the generator's usual pictures: higher is easier to change later, lower is more faithful.",
    )  # fmt: skip
    candidates: int = setting(
        256, "random pictures looked at for a start; each costs one rendering", what="The number of candidates", low=1,
        high=1_000_000, offered=(16, 4096), step=16,
        tooltip="Random pictures looked at for a start. Each costs one rendering.",
    )  # fmt: skip
    seed: int = seed_setting("of these starts")

    def __post_init__(self) -> None:
        check_settings(self)
