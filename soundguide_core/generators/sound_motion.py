"""Modulation of StyleGAN-V's motion codes by a sound (ours): its curve s(t) in 0..1 acts on them in one of three ways.

    codes       v(t) + S [1, s(t)]                       where the generator has learned S
    amplitude   the waves of v times 1 + strength * s(t)
    speed       v(t + strength * integral of s)

Without a sound the codes are StyleGAN-V's to the bit; with amplitude or speed, also in silence. Axes: F frames, V code.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..common.errors import InputError, check_number
from ..common.settings import config
from ..common.types import VideoGenerator
from .motion import Noise

MODULATIONS = ("codes", "amplitude", "speed")
STRENGTH = {"codes": 1.0, "amplitude": 2.0, "speed": 2.0}  # of each modulation, where none is given
LOOP_FADE = 0.15  # the share of a loop at whose end the sound's curve returns to its beginning


@config(renamed={"drive": "modulate"})
@dataclass(frozen=True)
class SoundCurve:
    """A feature of a sound over time: curve [K] in 0..1, `rate` values a second, its last value held.

    modulate: what it modulates, one of MODULATIONS, or None for the first that the generator has. strength: None for
    the usual one of that modulation.
    """

    curve: np.ndarray
    rate: float
    modulate: str | None = None
    strength: float | None = None

    def __post_init__(self) -> None:
        if np.ndim(self.curve) != 1 or not len(self.curve) or not np.isfinite(self.curve).all():
            raise InputError("The sound's curve is not a row of numbers.", "Give one value for each moment.")
        check_number(self.rate, "The rate of the sound's curve", low=1e-6)
        if self.modulate is not None and self.modulate not in MODULATIONS:
            raise InputError(f"A sound cannot modulate {self.modulate!r}.", f"Use one of {', '.join(MODULATIONS)}.")
        if self.strength is not None:
            check_number(self.strength, "The strength of the sound", low=0, high=100)

    def at(self, seconds: np.ndarray) -> np.ndarray:
        """The curve at any times, linear between its values."""
        return np.interp(seconds * self.rate, np.arange(len(self.curve)), np.clip(self.curve, 0, 1))

    def integral(self, seconds: np.ndarray) -> np.ndarray:
        """The integral of the curve from 0 to these times, in seconds: exact for the piecewise linear curve."""
        curve = np.clip(np.asarray(self.curve, np.float64), 0, 1)
        position = np.asarray(seconds, np.float64) * self.rate
        sums = np.concatenate([[0.0], np.cumsum((curve[1:] + curve[:-1]) / 2)])
        index = np.clip(position.astype(np.int64), 0, len(curve) - 1)
        share = position - index
        after = curve[np.minimum(index + 1, len(curve) - 1)]
        beyond = index == len(curve) - 1
        part = np.where(beyond, curve[-1] * share, share * (curve[index] + share / 2 * (after - curve[index])))
        return (sums[index] + part) / self.rate

    def looped(self, seconds: float) -> SoundCurve:
        """The curve for a loop of that length: its last 15 % fade to its first value."""
        count = max(round(seconds * self.rate), 2)
        at = np.arange(count + 1) * (seconds / count)
        curve = self.at(at)
        fade = np.clip((at / seconds - (1 - LOOP_FADE)) / LOOP_FADE, 0, 1)
        return SoundCurve((1 - fade) * curve + fade * curve[0], count / seconds, self.modulate, self.strength)


def motion_at(
    generator: VideoGenerator,
    seconds: np.ndarray,
    motion_z: Noise | int,
    sound: SoundCurve | None = None,
    period_sec: float | None = None,
    start_sec: float = 0.0,
) -> Tensor:
    """Motion codes [1,F,V] at any times [F] in seconds, in any order, of a motion that began start_sec before."""
    noise = generator.motion_noise([motion_z]) if isinstance(motion_z, int) else motion_z
    loop = None if period_sec is None else period_sec * generator.fps
    start = start_sec * generator.fps
    if sound is None:
        return generator.motion_codes(torch.from_numpy(seconds * generator.fps + start)[None], noise, loop=loop)
    modulation = modulation_of(sound, generator)
    strength = STRENGTH[modulation] if sound.strength is None else sound.strength
    if period_sec is not None:
        seconds = np.remainder(seconds, period_sec)
    level = torch.from_numpy(sound.at(seconds)).float()[None].to(generator.w_avg)  # [1,F]
    how: dict[str, Tensor] = {}
    if modulation == "codes":
        level = (strength * level).clamp(max=1)
        how["sound"] = torch.stack([torch.ones_like(level), level], dim=-1)
    elif modulation == "amplitude":
        how["amplitude"] = 1 + strength * level
    else:
        seconds = seconds + strength * sound.integral(seconds)
        if period_sec is not None and loop is not None:
            loop += strength * float(sound.integral(np.array([period_sec]))[0]) * generator.fps
    return generator.motion_codes(torch.from_numpy(seconds * generator.fps + start)[None], noise, loop=loop, **how)


def modulation_of(sound: SoundCurve, generator: VideoGenerator) -> str:
    """The modulation that is asked for, or the best that the generator has.

    Raises:
        InputError: the generator's codes have not learned to listen.
    """
    learned = generator.sound_dim == 2
    if sound.modulate == "codes" and not learned:
        raise InputError(
            "This generator's codes have not learned to listen.", "Let the sound drive amplitude or speed instead."
        )
    return sound.modulate or ("codes" if learned else "speed")
