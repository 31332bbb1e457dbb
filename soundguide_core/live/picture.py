"""The picture that is shown: of a StyleGAN, moved towards what is heard, or of a StyleGAN-V, whose motion it is.

    still    w + strength * sum_k heard_k d_k + drift       d_k leads from the picture to word k, in W
    video    G(ws, v(t)), t faster or v louder with the sound (generators/sound_motion.py)

Axes: K words, L layers, D dims, H W.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ..common.types import JointSpace, OnStep, VideoGenerator
from ..generators.generator import StyleGenerator
from ..generators.latents import sampled_meanings
from ..generators.sound_motion import STRENGTH, SoundCurve, modulation_of, motion_at
from .config import LiveConfig

SAMPLES = 256  # that show where in W the words lie
CANDIDATES = 16  # counted from the seed, of which the calmest is shown: what is heard then shows
DRIFT_SEC = 24.0  # until the wandering comes round


class LivePicture(Protocol):
    """A picture at a time, for what is heard then."""

    def frame(self, seconds: float, heard: Tensor, loudness: float, config: LiveConfig) -> Tensor:
        """seconds since the beginning, heard [K] in 0..1 (already times the loudness), loudness in 0..1 => [3,H,W]."""
        ...


class StillPicture:
    """A StyleGAN's picture on its way towards the words that are heard."""

    def __init__(
        self, generator: StyleGenerator, joint: JointSpace, word_embeds: Tensor, on_step: OnStep | None = None
    ) -> None:
        self.generator, self.joint, self.word_embeds = generator, joint, word_embeds
        self.meanings = sampled_meanings(generator, joint, SAMPLES, on_step)
        self._of: tuple[int, float] | None = None

    @torch.no_grad()
    def _begin(self, seed: int, psi: float) -> None:
        ws = self.generator.sample_ws([(seed + i) % 2**32 for i in range(CANDIDATES)], psi)
        embeds = self.joint.encode_image(self.generator.synthesis(ws))  # [B,E]
        calm = (embeds @ self.word_embeds.T).amax(dim=1).argsort()  # first, what shows least of any word
        self.ws = ws[calm[:1]]
        self.ways = [ws[calm[i : i + 1]] - self.ws for i in (1, 2)]  # two directions of the drift, [1,L,D]
        self.directions = self.meanings.direction(embeds[calm[:1]], self.word_embeds)  # [K,1,D]
        self._of = (seed, psi)

    @torch.no_grad()
    def frame(self, seconds: float, heard: Tensor, loudness: float, config: LiveConfig) -> Tensor:
        if self._of != (config.seed, config.psi):
            self._begin(config.seed, config.psi)
        angle = 2 * math.pi * seconds / DRIFT_SEC
        drift = config.drift / 2 * ((1 - math.cos(angle)) * self.ways[0] + math.sin(angle) * self.ways[1])
        change = (heard.to(self.ws)[:, None, None] * self.directions).sum(dim=0)  # [1,D]
        return self.generator.synthesis(self.ws + drift + config.strength * change)[0]


class VideoPicture:
    """A StyleGAN-V whose motion the loudness drives: its own way of listening where it has learned one, else speed."""

    def __init__(self, generator: VideoGenerator) -> None:
        self.generator = generator
        self.modulation = modulation_of(SoundCurve(np.zeros(1), 1.0), generator)
        self._of: tuple[int, float] | None = None
        self._seconds = self._clock = 0.0

    @torch.no_grad()
    def frame(self, seconds: float, heard: Tensor, loudness: float, config: LiveConfig) -> Tensor:
        if self._of != (config.seed, config.psi):
            self.ws, self._of = self.generator.sample_ws([config.seed], config.psi), (config.seed, config.psi)
        passed, self._seconds = max(seconds - self._seconds, 0.0), seconds
        strength = config.strength * STRENGTH[self.modulation]
        if self.modulation == "speed":
            self._clock += passed * (1 + strength * loudness)
            sound = None
        else:
            self._clock += passed
            sound = SoundCurve(np.array([loudness]), 1.0, self.modulation, strength)
        motion_v = motion_at(self.generator, np.array([self._clock]), config.seed % 2**31, sound)
        return self.generator.render(self.ws, motion_v)[0, 0]
