"""Settings of continuous video: StyleGAN-V (Skorokhodov et al. 2022), its content by meaning, its motion by sound."""

from __future__ import annotations

from dataclasses import dataclass

from ...common.errors import InputError, check_number
from ...common.settings import check_settings, seed_setting, setting
from ...latents.schedule import Schedule

ANY_CLASS = -1
AUTO, OFF = "auto", "off"
DRIVES = (AUTO, "codes", "amplitude", "speed", OFF)  # of generators.sound_motion, or what suits the generator, or none
FEATURES = ("loudness", "onset", "beat", "centroid")  # of audio.features


@dataclass(frozen=True)
class ContinuousConfig:
    """How long, how often, how much at once."""

    seconds: float = setting(
        4.0, "length of the video", what="The length in seconds", low=0, high=1e6, offered=(0.0, 3600.0), step=0.1,
        tooltip="Length of the video; 0 takes that of the sound. The frames of a minute at 24 fps and 64 x 64 take "
        "70 MB.",
    )  # fmt: skip
    fps: float = setting(
        24.0, "frames a second, any", what="The frame rate", low=0.01, high=1000, offered=(0.1, 240.0), step=0.1,
        tooltip="Frames a second. More show the same motion more finely, at a cost in proportion.",
    )  # fmt: skip
    loop: bool = setting(
        False, "close the motion: after the last frame comes the first",
        tooltip="Close the motion: after the last frame comes the first, so that a player that repeats shows no seam.",
    )  # fmt: skip
    closed: bool = setting(
        False, "with --loop: the last frame is the first one again, which a repeating player shows twice",
        tooltip="With loop: the last frame is the first one again. For videos that are cut to others, not for players "
        "that repeat, which show it twice.",
    )  # fmt: skip
    chunk: int = setting(
        16, "frames in the network at once", what="The number of frames in a chunk", low=1, offered=(1, 1024),
        tooltip="Frames in the network at once: more is faster up to a point and takes more memory.",
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_settings(self)
        check_number(self.seconds, "The length in seconds", low=0.5 / self.fps)
        if self.closed and not self.loop:
            raise InputError("Only a loop can be closed.", "Ask for a loop, too.")
        if self.loop and self.num_frames < 2:
            raise InputError("A loop of one frame does not move.", "Ask for a longer video, or more frames a second.")

    @property
    def num_frames(self) -> int:
        return max(round(self.seconds * self.fps), 1)

    @property
    def period_sec(self) -> float | None:
        """Of a loop: from the first frame until it comes again, after the last one or, closed, as the last one."""
        return (self.num_frames - self.closed) / self.fps if self.loop else None


@dataclass(frozen=True)
class ContinuousEditConfig:
    """How the content of a video is optimised towards a meaning.

    The steps from the sampled start are few and small: more of them please the encoder, not the eye.
    """

    frames: int = setting(
        3, "frames looked at in each step, at random times", what="The number of frames", low=1, high=1000
    )
    similarity: float = setting(0.002, "pull towards the source", what="The weight of the source term", low=0)
    seconds: float = setting(4.0, "length of the video", what="The length in seconds", low=0)
    samples: int = setting(
        256, "random contents that show the way to the meaning before the steps begin; 0 starts at the source",
        what="The number of samples", low=0, high=100_000,
    )  # fmt: skip
    seed: int = seed_setting("of the times that are looked at")
    schedule: Schedule = setting(Schedule(steps=10, lr=0.0015), "steps and learning rate", what="The schedule")  # noqa: RUF009

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True)
class ContentConfig:
    """What is seen.

    by_meaning: where a joint encoder is given, choose the scene by what the sound or the embeds mean, else the seed's.
    edit: optimise it further, or None.
    """

    seed: int = seed_setting(
        "of what is seen", tooltip="What is seen: the same seed gives the same scene, whatever the motion."
    )
    psi: float = setting(
        0.8, "how far random contents are from the average", what="The truncation psi", low=0, high=2,
        offered=(0.0, 1.5), step=0.05,
        tooltip="Variety of scenes: 0 is the average, 1 everything that was learned, failures included.",
    )  # fmt: skip
    class_index: int = setting(
        ANY_CLASS, "of a class-conditional generator: the class, from 0; -1: the seed draws it", what="The class",
        low=ANY_CLASS, high=2**17 - 1, option="class",
        tooltip="Only for a generator of several classes: which one, counted from 0. -1: the seed draws it.",
    )  # fmt: skip
    by_meaning: bool = True
    edit: ContinuousEditConfig | None = None

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True)
class MotionConfig:
    """How it moves. strength: of the drive, None for its own; times gain."""

    motion_seed: int = setting(
        0, "of the motion alone", what="The motion seed", low=0, high=2**63 - 1, offered=(0, 2**32 - 1),
        tooltip="How it moves: the same seed gives the same motion, whatever the scene.",
    )  # fmt: skip
    drive: str = setting(
        AUTO, "what the sound moves; auto: the codes where the generator listens, else speed", what="drive",
        choices=DRIVES,
        tooltip="What the sound moves: codes, what the generator has learned to hear (the miniature only); amplitude, "
        "how far things move; speed, how fast time passes. auto: codes where there are any, else speed.",
    )  # fmt: skip
    gain: float = setting(
        1.0, "times the strength that is usual for the drive", what="The strength of the sound", low=0, high=100,
        offered=(0.0, 10.0), step=0.05, socket="strength",
        tooltip="How much the sound moves it, times what is usual for the drive.",
    )  # fmt: skip
    feature: str = setting(
        "loudness", "what is listened to", what="feature", choices=FEATURES,
        tooltip="What is listened to; see Audio Curve.",
    )  # fmt: skip
    strength: float | None = None

    def __post_init__(self) -> None:
        check_settings(self)
