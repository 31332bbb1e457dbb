"""Finding a picture in one pass: an encoder that says under which latents a generator would paint it.

Networks as in embedding/style_pyramid.py; published ones are those of pixel2style2pixel and encoder4editing, and
`train inversion-encoder` makes one for any generator. Axes: B batch, L layers, D dims, H W picture.
"""

from __future__ import annotations

import os

import torch
from torch import Tensor

from ..checkpoints import registry, safetensors_io
from ..checkpoints.loading import load_network
from ..common.errors import InputError, check_whole
from ..common.memory import usable_device
from ..common.typed import check_types
from ..common.types import ImageGenerator
from ..embedding.style_pyramid import InversionConfig, StylePyramid
from ..media.images import resize

KIND = "inversion-encoder"


class InversionEncoder(StylePyramid):
    """img [B,3,H,W] in -1..1, any size => ws [B,L,D]. size: (height, width) of what its network sees."""

    def __init__(self, config: InversionConfig, size: tuple[int, int] = (256, 256)) -> None:
        super().__init__(config)
        for side in size:
            check_whole(side, "The side of what an inversion encoder sees", low=16, high=4096)
        self.size = size

    @classmethod
    def from_config(cls, config: dict) -> InversionEncoder:
        values = check_types(cls._of_file, config["encoder"], "The config of the inversion encoder")
        return cls(InversionConfig.from_dict(values["network"]), tuple(values["size"]))

    @staticmethod
    def _of_file(network: dict, size: tuple[int, int]) -> None:
        """What a file's config["encoder"] says."""

    def to_config(self) -> dict:
        return {"encoder": {"network": self.config.to_dict(), "size": list(self.size)}}

    def forward(self, x: Tensor, deltas: int | None = None) -> Tensor:
        return super().forward(self.view(x), deltas)

    def view(self, img: Tensor) -> Tensor:
        """What the network sees of a picture: the middle of it, in the network's size."""
        return resize(img, self.size, "cover")

    def check(self, generator: ImageGenerator) -> None:
        """InputError where the latents are of another size than the generator's."""
        wanted, found = (generator.num_ws, generator.w_dim), (self.config.num_ws, self.config.w_dim)
        if wanted != found:
            raise InputError(
                f"The inversion encoder finds {found[0]} latents of {found[1]} dims, the generator takes {wanted[0]} "
                f"of {wanted[1]}.",
                "Use the encoder that was trained for this generator.",
            )


def load_inversion_encoder(
    name_or_path: str | os.PathLike | None = None, device: str | torch.device = "cpu"
) -> InversionEncoder:
    """A frozen encoder: a registry name (None: its default), or a file, ours or one of pixel2style2pixel or
    encoder4editing."""
    device = usable_device(device)
    path = registry.find(KIND, name_or_path).files["encoder"]
    return load_network(path, KIND, "an inversion encoder", InversionEncoder.from_config, device=device)[0]


def save_inversion_encoder(path: str | os.PathLike, encoder: InversionEncoder, *, half: bool = True) -> None:
    """A file for load_inversion_encoder; half: as fp16."""
    safetensors_io.save(path, encoder.state_dict(), encoder.to_config(), half=half)
