"""Windows of samples, for encoders that make their own spectrogram. Axes: N samples, W windows, F video frames."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..common.errors import check_whole
from ..common.typed import check_types, known
from .mel import MelSpec
from .waveform import check_frames, check_wave, resample


@dataclass(frozen=True)
class WaveSpec:
    """How one encoder wants its sound.

    Args:
        samples: of a window at most; a shorter recording is one window as it is. stride: from one window to the next.
        frame_samples: of the window around a video frame; where it reaches out of the recording, that is mirrored.
    """

    KEY: ClassVar[str] = "wave"  # where a file's config has it

    sample_rate: int
    samples: int
    stride: int
    frame_samples: int

    def __post_init__(self) -> None:
        for name, most in (("sample_rate", 2**18), ("samples", 2**26), ("stride", 2**26), ("frame_samples", 2**26)):
            check_whole(getattr(self, name), f"A wave window's {name}", low=1, high=most)

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict | str) -> WaveSpec:
        """values: the fields, or the name of a published front end, a key of SPECS."""
        if isinstance(values, str):
            return known(SPECS, values, "front end")
        return cls(**check_types(cls, values, "The front end of the file"))

    @property
    def drawn(self) -> MelSpec:
        """The log-mel to show a person."""
        top = self.sample_rate / 2
        return MelSpec(self.sample_rate, 1024, 256, 128, 0.0, top, 80.0, 256, 256, "plain", "silence", 0.0)

    def windows(self, wave: Tensor, sample_rate: float) -> tuple[Tensor, Tensor]:
        """A whole recording, wave [N] at any rate => windows that cover it evenly [W,samples], equal weights [W]."""
        check_wave(wave, sample_rate)
        wave = resample(wave.float()[None], sample_rate, self.sample_rate)[0]
        spare = wave.shape[-1] - self.samples
        if spare <= 0:
            return wave[None], torch.ones(1)
        starts = torch.linspace(0, spare, math.ceil(spare / self.stride) + 1).round().long().tolist()
        return torch.stack([wave[i : i + self.samples] for i in starts]), torch.full([len(starts)], 1 / len(starts))

    def frame_windows(self, wave: Tensor, sample_rate: float, *, fps: float, num_frames: int) -> Tensor:
        """One window centred on each video frame: wave [N] at any rate => [F,frame_samples]."""
        check_frames(fps, num_frames)
        check_wave(wave, sample_rate)
        wave = resample(wave.float()[None], sample_rate, self.sample_rate)[0]
        middle = (torch.arange(num_frames, dtype=torch.float64) + 0.5) / fps * self.sample_rate
        index = (middle.round().long() - self.frame_samples // 2)[:, None] + torch.arange(self.frame_samples)
        last = wave.shape[-1] - 1
        turned = index.remainder(2 * last) if last else index * 0
        return wave[torch.minimum(turned, 2 * last - turned).to(wave.device)]


WAV2CLIP = WaveSpec(16000, 160_000, 80_000, 16_000)
CLAP = WaveSpec(48000, 480_000, 240_000, 96_000)
SPECS = {"wav2clip": WAV2CLIP, "clap": CLAP}
