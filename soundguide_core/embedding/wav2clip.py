"""H.-H. Wu et al., "Wav2CLIP", ICASSP 2022: a ResNet-18 on the spectrogram of a wave, and a small perceptron into CLIP.

Axes: B batch, N samples, D dims.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..common.typed import check_types
from .resnets import backbone

N_FFT, HOP = 512, 353  # at 16 kHz


class Encoder(nn.Module):
    """wave [B,N] at 16 kHz => [B,D], not normalised. Any length above half a window.

    Every sound is normalised by its own mean and deviation; the released code takes those of the whole batch, which is
    the same for one sound.
    """

    def __init__(self, dim: int = 512, hidden: int = 512) -> None:
        super().__init__()
        self.dim, self.hidden = dim, hidden
        self.audio_encoder = backbone("resnet18", 0, in_chans=1)
        layers = nn.Linear(self.audio_encoder.num_features, hidden), nn.ReLU(), nn.Dropout(0.1), nn.Linear(hidden, dim)
        self.audio_transform = nn.Sequential(*layers)

    @classmethod
    def from_config(cls, values: dict) -> Encoder:
        return cls(**check_types(cls, values, "The encoder's config"))

    def to_config(self) -> dict:
        return {"architecture": "wav2clip", "dim": self.dim, "hidden": self.hidden}

    def forward(self, wave: Tensor) -> Tensor:
        window = torch.hann_window(N_FFT, device=wave.device, dtype=wave.dtype)
        wave = nn.functional.pad(wave, (0, max(N_FFT - wave.shape[-1], 0)))
        power = torch.stft(wave, N_FFT, HOP, window=window, pad_mode="reflect", return_complex=True).abs().square()
        x = torch.log(power + 1e-7)[:, None]  # [B,1,257,T]
        x = (x - x.mean((1, 2, 3), keepdim=True)) / (x.std((1, 2, 3), keepdim=True) + 1e-9)
        return self.audio_transform(self.audio_encoder(x))
