"""Sound encoders: which there are, and the one that sees a log-mel as a picture through any timm backbone.

S. H. Lee et al., "Sound-Guided Semantic Image Manipulation", CVPR 2022, section 3.1; RELEASED is the published file.
SWIN is that of S. H. Lee et al., "Soundini", arXiv 2304.06818. Axes: B batch, M mels, T mel time, D dims.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field, replace
from importlib import import_module
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..audio.mel import MelSpec, arrange
from ..audio.wave_windows import WaveSpec
from ..checkpoints import safetensors_io, weights
from ..checkpoints.bounded_build import bounded_build
from ..checkpoints.loading import build_network
from ..common.errors import check_number, check_whole
from ..common.typed import check_types, fits
from .resnets import backbone

# config["encoder"]["architecture"] -> the module whose Encoder it is
NETWORKS = {"timm": ".sound", "wav2clip": ".wav2clip", "clap": ".clap", "bridge": ".bridge"}


@dataclass(frozen=True)
class SoundEncoderConfig:
    """backbone: a timm model name and its keyword arguments; padding: of the first 3x3 convolution.

    convolution: whether there is one; if not, the backbone itself takes one channel. prototypes, sharpness: see
    Prototypes; 0 for none, as published. familiar: whether it says if it knows a sound.
    """

    dim: int
    backbone: str
    kwargs: dict = field(default_factory=dict)
    padding: int = 0
    convolution: bool = True
    prototypes: int = 0
    sharpness: float = 10.0
    familiar: bool = False

    def __post_init__(self) -> None:
        for name, low, high in (("dim", 1, 2**14), ("padding", 0, 16), ("prototypes", 0, 2**14)):
            check_whole(getattr(self, name), f"A sound encoder's {name}", low=low, high=high)
        check_number(self.sharpness, "A sound encoder's sharpness", low=0, high=1e4)


RELEASED = SoundEncoderConfig(dim=512, backbone="resnet18")
PAPER = SoundEncoderConfig(dim=512, backbone="resnet50")
SWIN = SoundEncoderConfig(512, "swin_tiny_patch4_window7_224", {"in_chans": 1}, convolution=False)


class Prototypes(nn.Module):
    """What a sound may mean: q => sum_k softmax_k(sharpness <q, p_k>) p_k, q [B,D] of any length, p [K,D] unit norm.

    An encoder that doubts between rain and surf says something between the two, which no picture shows; a picture drawn
    to that goes astray. Here what is likeliest speaks loudest, and a sound ends where the pictures of it are: the part
    that a prior has between texts and pictures in A. Ramesh et al., "Hierarchical Text-Conditional Image Generation
    with CLIP Latents", 2022. For encoders that know a closed world of K things.
    """

    means: Tensor

    def __init__(self, count: int, dim: int, sharpness: float):
        super().__init__()
        self.sharpness = sharpness
        self.register_buffer("means", torch.zeros(count, dim))

    def forward(self, q: Tensor) -> Tensor:
        """[B,D] => [B,D]"""
        return (self.sharpness * F.normalize(q.float(), dim=-1) @ self.means.T).softmax(dim=-1) @ self.means


class SoundEncoder(nn.Module):
    """mel [B,1,M,T] in 0..1 => [B,D], not normalised. Keys conv.* and feature_extractor.* as in the release."""

    feature_extractor: Any  # timm's families of models share no type

    def __init__(self, config: SoundEncoderConfig):
        super().__init__()
        self.config = config
        self.conv = nn.Conv2d(1, 3, kernel_size=3, padding=config.padding) if config.convolution else nn.Identity()
        self.feature_extractor = backbone(config.backbone, config.dim, **config.kwargs)
        self.prototypes = (
            Prototypes(config.prototypes, config.dim, config.sharpness) if config.prototypes else nn.Identity()
        )
        if config.familiar:
            self.familiar = nn.Linear(2 * self.feature_extractor.num_features, 1)

    @classmethod
    def from_config(cls, values: dict) -> SoundEncoder:
        return cls(SoundEncoderConfig(**check_types(SoundEncoderConfig, values, "The encoder's config")))

    def to_config(self) -> dict:
        return asdict(self.config)

    @property
    def dim(self) -> int:
        return self.config.dim

    def forward(self, mel: Tensor) -> Tensor:
        return self.prototypes(self.feature_extractor(self.conv(mel)))

    def seen(self, mel: Tensor) -> Tensor:
        """Mean and maximum of the last map [B,2C], of a convolutional backbone."""
        x = self.feature_extractor.forward_features(self.conv(mel))
        return torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1)

    def familiarity(self, mel: Tensor) -> Tensor | None:
        """How likely these are sounds like those that it has learned, [B] in 0..1; None where it cannot say."""
        return self.familiar(self.seen(mel)).sigmoid()[:, 0] if self.config.familiar else None

    def learn_familiarity(self, weight: Tensor, bias: Tensor) -> None:
        """weight [2C], bias []: of the logit of familiarity."""
        self.config = replace(self.config, familiar=True)
        self.familiar = nn.Linear(len(weight), 1).to(weight.device).requires_grad_(False)
        self.familiar.weight.copy_(weight[None])
        self.familiar.bias.copy_(bias)


Encoder = SoundEncoder


def save_sound(
    path: str | os.PathLike, encoder: nn.Module, spec: MelSpec | WaveSpec, *, half: bool = True, **notes
) -> None:
    """One safetensors file: the weights, and in its metadata the encoder's config, its front end and free notes."""
    config = {"encoder": cast(Any, encoder).to_config(), spec.KEY: spec.to_dict(), **notes}
    if getattr(encoder, "space", ""):
        config["space"] = encoder.space
    safetensors_io.save(path, encoder.state_dict(), config, half=half)


def load_sound(path: str | os.PathLike) -> tuple[nn.Module, MelSpec | WaveSpec]:
    """An encoder from a file of any known format, frozen and in evaluation mode, and the front end that it takes.

    Its attribute `space` says in which CLIP's space it hears, as ClipTowers.size has it; "" where the file does not.
    """
    tensors, config = weights.load(path, "sound")
    with bounded_build(path, "a sound encoder", tensors):
        values = dict(config["encoder"])
        spec = WaveSpec.from_dict(config["wave"]) if "wave" in config else MelSpec.from_dict(config["mel"])
        network = import_module(NETWORKS[values.pop("architecture", "timm")], __package__).Encoder
    if hasattr(network, "complete"):  # a file may hold a part whose rest lies beside it
        tensors, values = network.complete(path, tensors, values)
    encoder: Any = build_network(path, "a sound encoder", tensors, values, network.from_config)
    encoder.space = config["space"] if fits(config.get("space"), str) else ""
    if isinstance(spec, MelSpec):  # sizes that do not meet are found now, not at the first sound
        with bounded_build(path, "a sound encoder", tensors), torch.no_grad():
            for columns in {spec.columns, spec.frame_columns or spec.columns}:
                encoder(arrange(torch.zeros(1, 1, spec.n_mels, columns), spec))
    return encoder, spec
