"""Sound encoder: a log-mel as a one-channel picture, through a convolution to three channels and any timm backbone.

S. H. Lee et al., "Sound-Guided Semantic Image Manipulation", CVPR 2022, section 3.1; RELEASED is the published file.
Axes: B batch, M mels, T mel time, D dims.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field

from torch import Tensor, nn

from ..audio.mel import MelSpec
from ..checkpoints import safetensors_io, weights
from ..errors import InputError


@dataclass(frozen=True)
class SoundEncoderConfig:
    """backbone: a timm model name and its keyword arguments; padding: of the first 3x3 convolution."""

    dim: int
    backbone: str
    kwargs: dict = field(default_factory=dict)
    padding: int = 0


RELEASED = SoundEncoderConfig(dim=512, backbone="resnet18")
PAPER = SoundEncoderConfig(dim=512, backbone="resnet50")


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
        self.conv = nn.Conv2d(1, 3, kernel_size=3, padding=config.padding)
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


def save_sound(path: str | os.PathLike, encoder: SoundEncoder, spec: MelSpec, *, half: bool = True, **notes) -> None:
    """One safetensors file: the weights, and in its metadata the encoder's config, its mel spec and free notes."""
    config = {"encoder": encoder.to_config(), "mel": spec.to_dict(), **notes}
    safetensors_io.save(path, encoder.state_dict(), config, half=half)


def load_sound(path: str | os.PathLike) -> tuple[SoundEncoder, MelSpec]:
    """The encoder of such a file, frozen and in evaluation mode, and the spec of the mels that it takes."""
    tensors, config = weights.load(path, "sound")
    try:
        encoder, spec = SoundEncoder.from_config(config["encoder"]), MelSpec.from_dict(config["mel"])
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{path} is not a sound encoder ({error}).", "Choose a file written by `train sound-encoder`."
        ) from error
    safetensors_io.fill(encoder, tensors, path)
    return encoder.eval().requires_grad_(False), spec
