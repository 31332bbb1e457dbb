"""Settings of sound-guided video generation (Lee et al., ECCV 2022)."""

from __future__ import annotations

from dataclasses import dataclass

from ...common.settings import check_settings, config, seed_setting, setting


@config(renamed={"few_sec": "context_sec", "steady_sec": "smooth_sec"})
@dataclass(frozen=True)
class VideoConfig:
    """How a path of latents is computed and rendered.

    smoothing: calms a path and delays it. context_sec, sharpness, hold_sec, smooth_sec: which kinds of sound are heard
    at a frame, from what is heard around it; how loud it is there is not averaged.
    """

    fps: float = setting(12.0, "frames a second", what="The frame rate", low=1, high=240)
    strength: float = setting(
        1.0, "how far the sound leads away from the picture: 1 as it was learned, 0 not at all", what="The strength",
        low=0, high=4, step=0.05,
        tooltip="How far the sound leads away from the start: 1 as it was learned, 0 not at all.",
    )  # fmt: skip
    noise: bool = setting(
        True, "no movement but the sound's", tooltip="Small movements of their own beside those of the sound."
    )
    seed: int = seed_setting("of these movements", tooltip="Of these movements; the same seed gives the same path.")
    smoothing: float = setting(
        0.0, "share of the last frame in the next, 0 to 0.99; calms the video and delays it", what="The smoothing",
        low=0, high=0.99, step=0.01,
        tooltip="Share of the last frame in the next: calms the video, and delays it by smoothing / (1 - smoothing) "
        "frames.",
    )  # fmt: skip
    context_sec: float = setting(
        10.0, "seconds before and after a frame whose kinds of sound are likelier in it; 0 for no such prior",
        what="The time over which a recording holds few kinds", low=0, high=600,
    )  # fmt: skip
    sharpness: float = setting(
        4.0, "exponent of the probabilities of kinds of sound; 1 leaves them as they are", what="The sharpness", low=0,
        high=100,
    )  # fmt: skip
    hold_sec: float = setting(
        0.5, "seconds for which what is heard stays decided, unless something else is overwhelmingly likely; 0 decides "
        "nothing", what="The time for which a kind of sound is held", low=0, high=60,
    )  # fmt: skip
    smooth_sec: float = setting(
        0.3, "seconds before and after a frame over which these are averaged",
        what="The time over which kinds of sound are averaged", low=0, high=60,
    )  # fmt: skip
    contrast: float = setting(
        1.0, "how much more the small changes of an even sound, such as steady rain, are shown; 0 as they are",
        what="The contrast", low=0, high=4,
    )  # fmt: skip
    movement: float = setting(
        0.0, "how much what is seen moves by itself, as rain falls on while it sounds the same: 1 all the way, which "
        "hides how loud an even sound is", what="The movement", low=0, high=2, step=0.05,
        tooltip="How much what is seen moves by itself, as rain falls on while it sounds the same: 0 not at all, 1 all "
        "the way, which hides how loud an even sound is. Some models know no such movement.",
    )  # fmt: skip
    chunk: int = setting(16, "frames in the networks at once", what="The number of frames in a chunk", low=1)

    def __post_init__(self) -> None:
        check_settings(self)
