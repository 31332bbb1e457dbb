"""Settings of finding a picture in a generator: see latents/projection.py."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...common.settings import Setting, check_settings, seed_setting, setting
from ...latents.schedule import Schedule
from ...latents.tuning_config import TuningConfig

OPTIMISE, ENCODER, REFINE = "optimise", "encoder", "encoder+refine"
TUNING, ENCODER_TUNING = "optimise+tuning", "encoder+tuning"
METHODS = (OPTIMISE, ENCODER, REFINE, ENCODER_TUNING, TUNING)
FITS = ("crop", "whole")
TUNED = TuningConfig()


@dataclass(frozen=True)
class ProjectionConfig:
    """How a picture is found: by steps from the nearest of random samples, by an encoder, or by either and by tuning
    the generator then."""

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
    method: str = setting(
        OPTIMISE, "how it is found; with tuning the generator itself learns it", what="method", choices=METHODS,
        tooltip="optimise: steps of search from random pictures. encoder: one look of an inversion encoder, at once. "
        "encoder+refine: its answer and a few steps. With +tuning the generator then learns your picture itself, so "
        "that it is really yours: use the generator output from there on.",
    )  # fmt: skip
    refine_steps: int = setting(
        50, "steps of search after the encoder's answer", what="The number of refining steps", low=0, high=1_000_000,
        offered=(0, 5000),
        tooltip="Steps of search after the encoder's answer, for encoder+refine and encoder+tuning. With tuning 0 is "
        "fine: tuning steps bring more for the same time.",
    )  # fmt: skip
    tuning_steps: int = setting(
        TUNED.schedule.steps, "steps of tuning; each costs a rendering and its gradients",
        what="The number of tuning steps", low=1, high=100_000, offered=(1, 5000),
        tooltip="With tuning: steps in which the generator itself learns your picture. Each costs a rendering and "
        "its gradients; 350 at a rate of 0.0003 as published.",
    )  # fmt: skip
    tuning_rate: float = setting(
        TUNED.schedule.lr, "how far a weight goes in one step of tuning, at most",
        what="The learning rate of the tuning", low=0, offered=(0.0001, 0.1), step=0.0001,
        tooltip="With tuning: how far a weight goes in one step, at most. 0.006 suits small generators, 0.0003 is "
        "published for those of 1024 pixels.",
    )  # fmt: skip
    locality: float = setting(
        TUNED.locality, "how strongly all other pictures of a tuned generator stay as they were; 0: not at all",
        what="The locality weight", low=0, offered=(0.0, 10.0), step=0.1,
        tooltip="With tuning: how strongly all other pictures of the generator stay as they were, without which edits "
        "fall apart. 0.1 as published; 0 is a quarter faster.",
    )  # fmt: skip
    fit: str = setting(
        "crop", "what the generator's square shows of a picture that is none: its middle, or the whole, squeezed",
        what="fit", choices=FITS,
        tooltip="What the generator's square shows of a picture that is not square. crop: its middle. whole: all of "
        "it, squeezed, which suits Blend Back into Photograph.",
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def tuning(self) -> TuningConfig:
        schedule = replace(TUNED.schedule, steps=self.tuning_steps, lr=self.tuning_rate)
        return TuningConfig(schedule=schedule, locality=self.locality, seed=self.seed)

    @property
    def begins_with_encoder(self) -> bool:
        return self.method in (ENCODER, REFINE, ENCODER_TUNING)

    @property
    def tunes(self) -> bool:
        return self.method in (TUNING, ENCODER_TUNING)
