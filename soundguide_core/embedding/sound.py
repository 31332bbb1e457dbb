"""Sound encoders: which there are, and the one that sees a log-mel as a picture through any timm backbone.

S. H. Lee et al., "Sound-Guided Semantic Image Manipulation", CVPR 2022, section 3.1; RELEASED is the published file.
SWIN is that of S. H. Lee et al., "Soundini", arXiv 2304.06818. Axes: B batch, M mels, T mel time, D dims.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from importlib import import_module

from torch import Tensor, nn

from ..audio.mel import MelSpec
from ..audio.wave_windows import WaveSpec
from ..checkpoints import safetensors_io, weights
from ..checkpoints.building import building
from ..errors import InputError

# config["encoder"]["architecture"] -> the module whose Encoder it is
NETWORKS = {"timm": ".sound", "wav2clip": ".wav2clip", "clap": ".clap"}


@dataclass(frozen=True)
class SoundEncoderConfig:
    """backbone: a timm model name and its keyword arguments; padding: of the first 3x3 convolution.

    convolution: whether there is one; if not, the backbone itself takes one channel.
    """

    dim: int
    backbone: str
    kwargs: dict = field(default_factory=dict)
    padding: int = 0
    convolution: bool = True


RELEASED = SoundEncoderConfig(dim=512, backbone="resnet18")
PAPER = SoundEncoderConfig(dim=512, backbone="resnet50")
SWIN = SoundEncoderConfig(512, "swin_tiny_patch4_window7_224", {"in_chans": 1}, convolution=False)


class SoundEncoder(nn.Module):
    """mel [B,1,M,T] in 0..1 => [B,D], not normalised. Keys conv.* and feature_extractor.* as in the release."""

    def __init__(self, config: SoundEncoderConfig):
        super().__init__()
        import timm

        if not timm.is_model(config.backbone):
            raise InputError(
                f"timm has no backbone called {config.backbone!r}.", "See timm.list_models() for the names."
            )
        self.config = config
        self.conv = nn.Conv2d(1, 3, kernel_size=3, padding=config.padding) if config.convolution else nn.Identity()
        # spelt out, so that a file's kwargs cannot fetch or open another file
        self.feature_extractor = timm.create_model(
            config.backbone, pretrained=False, checkpoint_path="", num_classes=config.dim, **config.kwargs
        )

    @classmethod
    def from_config(cls, values: dict) -> SoundEncoder:
        return cls(SoundEncoderConfig(**values))

    def to_config(self) -> dict:
        return asdict(self.config)

    @property
    def dim(self) -> int:
        return self.config.dim

    def forward(self, mel: Tensor) -> Tensor:
        return self.feature_extractor(self.conv(mel))


Encoder = SoundEncoder


def save_sound(
    path: str | os.PathLike, encoder: nn.Module, spec: MelSpec | WaveSpec, *, half: bool = True, **notes
) -> None:
    """One safetensors file: the weights, and in its metadata the encoder's config, its front end and free notes."""
    config = {"encoder": encoder.to_config(), spec.KEY: spec.to_dict(), **notes}
    safetensors_io.save(path, encoder.state_dict(), config, half=half)


def load_sound(path: str | os.PathLike) -> tuple[nn.Module, MelSpec | WaveSpec]:
    """An encoder from a file of any known format, frozen and in evaluation mode, and the front end that it takes."""
    tensors, config = weights.load(path, "sound")
    with building(path, "a sound encoder", tensors):
        values = dict(config["encoder"])
        spec = WaveSpec.from_dict(config["wave"]) if "wave" in config else MelSpec.from_dict(config["mel"])
        network = import_module(NETWORKS[values.pop("architecture", "timm")], __package__).Encoder
    if hasattr(network, "complete"):  # a file may hold a part whose rest lies beside it
        tensors, values = network.complete(path, tensors, values)
    with building(path, "a sound encoder", tensors):
        encoder = network.from_config(values)
    safetensors_io.fill(encoder, tensors, path)
    return encoder.eval().requires_grad_(False), spec
