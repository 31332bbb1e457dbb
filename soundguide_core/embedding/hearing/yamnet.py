"""YAMNet: M. Plakal and D. Ellis, 2019, research/audioset/yamnet of tensorflow/models at 0928d5f (Apache-2.0).

MobileNet v1 (A. Howard et al., "MobileNets", arXiv 1704.04861) on log-mels of 0.96 s, which names 521 kinds of sound of
AudioSet, each by itself. Axes: W windows, N samples, C channels, T mel time, M mels, K words.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...common.errors import check_whole
from .listening import ClassifyingEars
from .vocabulary import read_vocabulary

SAMPLE_RATE = 16000
STFT, STFT_HOP, N_FFT = 400, 160, 512  # 25 ms, 10 ms
FRAMES, HOP_FRAMES = 96, 48  # of a window: 0.96 s, 0.48 s
MELS, MEL_HZ = 64, (125.0, 7500.0)
LOG_OFFSET = 1e-3
WINDOW = STFT + STFT_HOP * (FRAMES - 1)  # samples, 0.975 s
HOP = STFT_HOP * HOP_FRAMES
LAYERS = (  # (channels, stride) of the separable convolutions, layer2 to layer14 of the original
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1),
    (1024, 2), (1024, 1),
)  # fmt: skip


# classes of AudioSet that YAMNet does not tell apart, or leaves out
WITHOUT = (
    "Male speech, man speaking", "Female speech, woman speaking", "Battle cry", "Male singing", "Female singing",
    "Funny music",
)  # fmt: skip


@dataclass(frozen=True)
class YAMNetConfig:
    """words: its classes; () for the 521 published ones. width: channels of the first convolution, others follow."""

    words: tuple[str, ...] = ()
    width: int = 32

    def __post_init__(self) -> None:
        check_whole(self.width, "A YAMNet's width", low=1, high=1024)
        object.__setattr__(self, "words", tuple(map(str, self.words)))


class _Convolution(nn.Module):
    """A convolution padded as TensorFlow's "same" and rectified; its normalisation is in its weights."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups)
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        sides = []
        for size in (x.shape[3], x.shape[2]):  # the last axis comes first in F.pad
            spare = max((-(-size // self.stride) - 1) * self.stride + self.kernel - size, 0)
            sides += [spare // 2, spare - spare // 2]
        return F.relu(self.conv(F.pad(x, sides)))


class YAMNet(ClassifyingEars):
    """Windows of samples [W,N] in -1..1 => scores [W,K] in 0..1, each word by itself."""

    sample_rate, window, hop = SAMPLE_RATE, WINDOW, HOP
    bank: Tensor
    hann: Tensor

    def __init__(self, config: YAMNetConfig) -> None:
        super().__init__()
        self.config = config
        self.classes = config.words or published_classes()
        self.register_buffer("bank", mel_bank(), persistent=False)  # [M,bins]
        self.register_buffer("hann", torch.hann_window(STFT), persistent=False)
        width = config.width
        layers = [_Convolution(1, width, 3, stride=2)]
        for channels, stride in LAYERS:
            outputs = channels * config.width // 32
            layers += [_Convolution(width, width, 3, stride, groups=width), _Convolution(width, outputs, 1)]
            width = outputs
        self.layers = nn.Sequential(*layers)
        self.fc = nn.Linear(width, len(self.classes))

    @classmethod
    def from_config(cls, values: dict) -> YAMNet:
        return cls(YAMNetConfig(**values))

    def to_config(self) -> dict:
        return {"architecture": "yamnet", **asdict(self.config)}

    def log_mel(self, wave: Tensor) -> Tensor:
        """[W,N] => [W,T,M], the natural logarithm of magnitudes, columns of 25 ms without any padding."""
        aside = (N_FFT - STFT) // 2  # torch puts a short window into the middle of its transform
        spectrum = torch.stft(
            F.pad(wave, (aside, N_FFT - STFT - aside)), N_FFT, STFT_HOP, STFT, self.hann, center=False,
            return_complex=True,
        )  # fmt: skip
        return torch.log(self.bank @ spectrum.abs() + LOG_OFFSET).transpose(1, 2)

    def embed(self, mel: Tensor) -> Tensor:
        """[W,T,M] => [W,C], what the layers have found, averaged over the window."""
        return self.layers(mel[:, None]).mean(dim=(2, 3))

    def forward(self, windows: Tensor) -> Tensor:
        return self.fc(self.embed(self.log_mel(windows))).sigmoid()


def published_classes() -> tuple[str, ...]:
    """The 521 in the order of its scores, that of the shipped table."""
    return tuple(entry.word for entry in read_vocabulary().entries if entry.word not in WITHOUT)


def mel_bank() -> Tensor:
    """[M,bins]: triangles that are even on the mel scale 1127 ln(1 + f / 700), as TensorFlow makes them.

    They reach 1 at their tips and are not divided by their areas; the bin of 0 Hz counts nowhere.
    """
    low, high = (1127 * torch.log1p(torch.tensor(hz, dtype=torch.float64) / 700) for hz in MEL_HZ)
    edges = torch.linspace(float(low), float(high), MELS + 2, dtype=torch.float64)
    hz = torch.arange(N_FFT // 2 + 1, dtype=torch.float64) * SAMPLE_RATE / N_FFT
    mel = 1127 * torch.log1p(hz / 700)
    lower, centre, upper = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bank = torch.minimum((mel - lower) / (centre - lower), (upper - mel) / (upper - centre)).clamp(min=0)
    bank[:, 0] = 0
    return bank.float()
