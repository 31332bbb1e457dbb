"""How many frames a video needs for so many seconds or beats, in the lengths that a model can make.

    frames >= seconds * fps, frames = 1 + k n        n pictures in a latent frame; the first picture stands alone

Wan and Hunyuan make 1 + 4 k pictures, LTX 1 + 8 k; a model of pictures makes any number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..common.errors import InputError, check_number, check_whole

MOST_FRAMES = 1_000_000


@dataclass(frozen=True)
class VideoLength:
    """frames: of the video, of which latent_frames are sampled. wanted: seconds that were asked for."""

    frames: int
    latent_frames: int
    fps: float
    wanted: float

    @property
    def seconds(self) -> float:
        """How long they last."""
        return self.frames / self.fps

    def in_words(self, frames_per_latent: int = 1) -> str:
        """Why it is so many, in a sentence or two."""
        said = f"{self.wanted:.3g} s at {self.fps:.4g} frames a second are {self.wanted * self.fps:.5g} frames"
        if frames_per_latent > 1:
            said += f"; this model makes 1 + {frames_per_latent} k of them"
        said += f": {self.frames} frames, {self.seconds:.4g} s"
        return said + (f", {self.latent_frames} latent frames." if frames_per_latent > 1 else ".")


def beats_in_seconds(beats: float, bpm: float) -> float:
    """beats 60 / bpm"""
    check_number(bpm, "The beats a minute", low=1, high=1000)
    check_number(beats, "The number of beats", low=0, high=1e6)
    return beats * 60 / bpm


def video_length(seconds: float, fps: float, frames_per_latent: int = 1) -> VideoLength:
    """The shortest length that a model can make and that is no shorter than asked for.

    Raises:
        InputError: no length, or more frames than anything can hold.
    """
    check_number(fps, "The frame rate", low=0.01, high=1000)
    check_number(seconds, "The length in seconds", low=0, high=1e6)
    check_whole(frames_per_latent, "The number of pictures in a latent frame", low=1, high=64)
    if not seconds:
        raise InputError("The video has no length.", "Give seconds, beats or a sound.")
    wanted = max(math.ceil(round(seconds * fps, 6)), 1)  # a hair more than a frame is that frame
    latents = 1 + math.ceil((wanted - 1) / frames_per_latent)
    frames = 1 + (latents - 1) * frames_per_latent
    if frames > MOST_FRAMES:
        raise InputError(f"The video has {frames} frames.", f"Give a length of {MOST_FRAMES} at most.")
    return VideoLength(frames, latents, fps, seconds)
