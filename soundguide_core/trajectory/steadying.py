"""Which kinds of sound are heard at each frame of a recording, steadied: p(k | x, t) along time, in chunks of frames.

    p <- p times its mean over the seconds around, normalised    a recording holds few kinds of sound
    p <- p^sharpness, normalised                                 a mean of two kinds that sound alike looks like neither
    p <- the kind decided on, for hold_sec at least              no decision flickers (audio/smoothing.held)
    p <- its mean over smooth_sec                                no frame jumps

Axes: F frames, K kinds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from ..audio.smoothing import held, moving_average, recording_prior, sharpen
from ..audio.track import MelTrack
from .sound_events import SoundEvents, event_posteriors


class Steadying(Protocol):
    """What of a VideoConfig says how kinds are steadied."""

    @property
    def fps(self) -> float: ...

    @property
    def context_sec(self) -> float: ...

    @property
    def sharpness(self) -> float: ...

    @property
    def hold_sec(self) -> float: ...

    @property
    def smooth_sec(self) -> float: ...


def chunks_of(num_frames: int, chunk: int) -> list[tuple[int, int]]:
    """(first frame, how many) of each chunk."""
    return [(first, min(chunk, num_frames - first)) for first in range(0, num_frames, chunk)]


def heard_kinds(
    events: SoundEvents,
    track: MelTrack,
    chunks: Sequence[tuple[int, int]],
    config: Steadying,
    device: torch.device | str = "cpu",
) -> Iterator[Tensor]:
    """p(k | x, t) of each chunk of frames: [F,K], each row with the sum 1."""

    def raw() -> Iterator[Tensor]:
        for first, count in chunks:
            with torch.no_grad():  # left before each yield: the consumer keeps its own mode
                p = event_posteriors(events, track, first, count, config.fps, device)
            yield p

    likely = recording_prior(raw(), round(config.context_sec * config.fps)) if config.context_sec else raw()
    sharp = (sharpen(p, config.sharpness) for p in likely)
    decided = held(sharp, round(config.hold_sec * config.fps)) if config.hold_sec else sharp
    return moving_average(decided, round(config.smooth_sec * config.fps))
