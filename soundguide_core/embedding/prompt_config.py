"""How words that are heard become weights of prompts: settings, free of torch. prompt_weights.py computes them."""

from __future__ import annotations

from dataclasses import dataclass

from ..common.settings import check_settings, setting

ALL, STRONGEST = "all that is heard", "the strongest alone"
BLENDS = (ALL, STRONGEST)


@dataclass(frozen=True)
class PromptConfig:
    """What is done to scores [F,K] before they weigh prompts, in this order: floor, scale, blend, smoothing, hold."""

    most: int = setting(
        4, "words at most, those that score highest", what="The number of words", low=1, high=64,
        tooltip="How many words at most: those that score highest at any time. Each costs one pass of the text "
        "encoder.",
    )  # fmt: skip
    floor: float = setting(
        0.1, "scores up to it count as nothing", what="The floor", low=0, high=0.99, step=0.01,
        tooltip="Scores up to it count as nothing, and so do those that silence and noise get.",
    )  # fmt: skip
    scale: bool = setting(
        True, "the highest score counts as 1",
        tooltip="The highest score of the recording counts as 1. Off: a word that is heard at 0.6 is told at 0.6.",
    )  # fmt: skip
    blend: str = setting(
        ALL, "what several words that sound together do", what="blend", choices=BLENDS,
        tooltip="Words that sound together: blended by their scores, or the strongest alone.",
    )  # fmt: skip
    smoothing: float = setting(
        0.25, "seconds over which weights are averaged", what="The smoothing in seconds", low=0, high=600,
        offered=(0.0, 60.0), step=0.05,
        tooltip="Seconds over which the weights are averaged, so that one prompt passes into the next.",
    )  # fmt: skip
    hold: float = setting(
        0.5, "seconds a word stays after it was heard", what="The hold in seconds", low=0, high=600,
        offered=(0.0, 60.0), step=0.05,
        tooltip="Seconds that a word stays after it was heard, so that short gaps do not flicker.",
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_settings(self)
