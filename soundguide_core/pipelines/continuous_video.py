"""Continuous video (systems/continuous_video.py) from a recording, a curve or a meaning to frames.

    listen   the part of a recording that a video of so many seconds hears
    plan     what is seen (the content) and what moves it (the motion), before the first frame is rendered
    Plan     renders the frames, in batches

Axes: F frames, L layers, D dims, H W.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..common.batches import Batches
from ..common.errors import InputError, check_number
from ..generators.motion import Noise
from ..generators.sound_motion import STRENGTH, SoundCurve, modulation_of
from ..media.images import resize
from ..systems.configs.continuous_video import ANY_CLASS, AUTO, OFF, ContentConfig, ContinuousConfig, MotionConfig
from ..systems.continuous_content import ClipProjection, choose_content, edit_continuous, project_clip
from ..systems.continuous_video import ContinuousVideo, frames_at, sound_curve, stream_continuous
from .recording import HEARD_AT_LEAST_SEC, Recording

if TYPE_CHECKING:
    from ..embedding.joint import JointEncoder
    from ..generators.stylegan_v import Generator

DEFAULT_SECONDS = 4.0  # without a sound
CLIP_SEC, CLIP_FPS = 3.0, 6.0  # of a clip, what is looked at


@dataclass(frozen=True)
class Plan:
    """A video about to be rendered: ws [1,L,D] its content, what moves it or None, and how long it is.

    motion, start_sec: the motion of a clip, and where in it that begins; None for the seed's from its start.
    """

    generator: Generator
    ws: Tensor
    sound: SoundCurve | None
    motion_seed: int
    config: ContinuousConfig
    motion: Noise | None = None
    start_sec: float = 0.0

    @property
    def drive(self) -> str | None:
        """What the sound moves."""
        return None if self.sound is None else self.sound.modulate

    @property
    def _motion(self) -> Noise | int:
        return self.motion_seed if self.motion is None else self.motion

    def render(self, on_step=None, batches: Batches | None = None) -> Iterator[ContinuousVideo]:
        """The frames, a batch at a time."""
        return stream_continuous(
            self.ws, generator=self.generator, motion_z=self._motion, sound=self.sound, config=self.config,
            start_sec=self.start_sec, batches=batches, on_step=on_step,
        )  # fmt: skip

    def some(self, frames: Sequence[int]) -> Tensor:
        """The frames of these numbers, [n,3,H,W]; no others are rendered."""
        parts = [
            frames_at(
                self.ws, np.array([i / self.config.fps]), generator=self.generator, motion_z=self._motion,
                sound=self.sound, config=self.config, start_sec=self.start_sec,
            )
            for i in frames
        ]  # fmt: skip
        return torch.cat(parts)

    def curve(self) -> list[float] | None:
        """What moves it, at every frame."""
        seconds = np.arange(self.config.num_frames) / self.config.fps
        return None if self.sound is None else self.sound.at(seconds).tolist()


def listen(
    recording: Recording | None, seconds: float | None, default: float | None = None
) -> tuple[Recording | None, float]:
    """(the part of a recording that is heard, in memory as one channel; the length of the video).

    seconds: of the video; None for as long as the sound lasts, or `default` without one. No more of a recording is
    read than the video lasts, or HEARD_AT_LEAST_SEC.
    """
    if seconds is not None:
        check_number(seconds, "The length in seconds", low=0, high=1e6)
    if recording is None:
        seconds = default if seconds is None else seconds
        if seconds is None:
            raise InputError("The video has no length.", "Set the seconds, or connect a sound.")
        return None, seconds
    wave, sample_rate = recording.mono(None if seconds is None else max(seconds, HEARD_AT_LEAST_SEC))
    return Recording.of_wave(wave, sample_rate), len(wave) / sample_rate if seconds is None else seconds


def plan(
    generator: Generator,
    joint: JointEncoder | None,
    heard: Recording | None,
    config: ContinuousConfig,
    *,
    embeds: Tensor | None = None,
    curve: Sequence[float] | None = None,
    content: ContentConfig | None = None,
    motion: MotionConfig | None = None,
    clip: Clip | None = None,
    on_step=None,
) -> Plan:
    """Everything about a video that is decided before its first frame.

    Args:
        joint: chooses the content by its meaning, and lets moments that do not sound like the whole count less.
        heard: from listen. embeds [1,D]: the meaning of the content, if not the sound's; needs the joint.
        curve: values in 0..1, one for each frame, in place of the sound's.
        clip: whose content and motion are taken, found by project_clip, and gone on with.
        on_step: of the optimisation of content.edit, and of a clip.

    Raises:
        InputError: embeds without a joint, a joint with nothing to hear, a drive that the generator does not have.
    """
    content, motion = content or ContentConfig(), motion or MotionConfig()
    sound = motion_signal(generator, joint, heard, config, curve=curve, motion=motion)
    if clip is not None:
        found = clip.found_by(generator, content.seed, on_step)
        return Plan(generator, found.ws, sound, found.motion_seed, config, found.motion, found.start_sec)
    ws = content_latents(
        generator, joint, heard, embeds=embeds, content=content, motion_seed=motion.motion_seed, on_step=on_step
    )
    return Plan(generator, ws, sound, motion.motion_seed, config)


@dataclass(frozen=True)
class Clip:
    """frames [F,3,H,W] in -1..1 of any size at fps, of which the first CLIP_SEC are looked at, a few of each second."""

    frames: Tensor
    fps: float

    def found_by(self, generator: Generator, seed: int, on_step=None) -> ClipProjection:
        """The generator's video that is most like it."""
        frames = self.frames[: max(round(CLIP_SEC * self.fps), 2)]
        step = max(min(round(self.fps / CLIP_FPS), len(frames) - 1), 1)
        frames = frames[::step]
        if len(frames) < 2:
            raise InputError("A clip of one frame does not move.", "Give a longer clip.")
        size = (generator.resolution, generator.resolution)
        frames = torch.cat([resize(img, size, "cover") for img in frames.split(1)])
        return project_clip(frames, self.fps / step, generator=generator, seed=seed, on_step=on_step)


def motion_signal(
    generator: Generator,
    joint: JointEncoder | None,
    heard: Recording | None,
    config: ContinuousConfig,
    *,
    curve: Sequence[float] | None,
    motion: MotionConfig,
) -> SoundCurve | None:
    """What moves the video, with its drive and strength decided; None for nothing."""
    if motion.drive == OFF or (heard is None and curve is None):
        return None
    drive = None if motion.drive == AUTO else motion.drive
    if heard is None or curve is not None:
        sound = SoundCurve(np.atleast_1d(np.asarray(curve, np.float64)), config.fps, drive)
    else:
        sound = sound_curve(*heard.mono(), config.seconds, feature=motion.feature, joint=joint, modulate=drive)
    drive = modulation_of(sound, generator)
    strength = STRENGTH[drive] if motion.strength is None else motion.strength
    return SoundCurve(sound.curve, sound.rate, drive, motion.gain * strength)


def content_latents(
    generator: Generator,
    joint: JointEncoder | None,
    heard: Recording | None,
    *,
    embeds: Tensor | None,
    content: ContentConfig,
    motion_seed: int,
    on_step=None,
) -> Tensor:
    """ws [1,L,D]: the seed's scene, or the one that means most what is wanted; moved further with content.edit."""
    class_index = None if content.class_index == ANY_CLASS else content.class_index
    if joint is None:
        if embeds is not None:
            raise InputError("A meaning has arrived without the encoder that made it.", "Connect the encoder too.")
        return generator.sample_ws([content.seed], content.psi, class_index=class_index)
    if embeds is not None:
        wanted = embeds.to(joint.device)
    elif heard is not None:
        wanted = joint.encode_audio(*heard.mono())
    else:
        raise InputError("The encoder has nothing to hear.", "Give a sound or a meaning, or leave the encoder out.")
    if content.by_meaning:
        ws = choose_content(
            wanted, generator=generator, joint=joint, psi=content.psi, seed=content.seed, motion_z=motion_seed,
            class_index=class_index,
        )  # fmt: skip
    else:
        ws = generator.sample_ws([content.seed], content.psi, class_index=class_index)
    if content.edit is None:
        return ws
    return edit_continuous(
        ws, wanted, generator=generator, joint=joint, motion_z=motion_seed, config=content.edit, on_step=on_step
    ).latent
