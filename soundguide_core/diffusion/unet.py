"""The pixel diffusion UNet of P. Dhariwal and A. Nichol, "Diffusion Models Beat GANs on Image Synthesis", NeurIPS 2021,
as diffusers' UNet2DModel. Axes: B batch, H W picture, K classes.

    x_t [B,3,H,W] in about -1..1, t [B] in 0..999 => [B,6,H,W]: eps, and v in -1..1 between log beta_tilde and log beta
"""

from __future__ import annotations

import os
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from diffusers.models.unets.unet_2d import UNet2DModel, UNet2DOutput
from torch import Tensor, nn

from ..common.errors import InputError
from .diffusers_folder import check_schedule, read_folder

NO_CLASS = -1
WHAT = "a diffusion UNet"


class ClassEmbedding(nn.Embedding):
    """labels [B] => [B,D]; NO_CLASS is the zero vector, which makes a class-conditional model paint anything."""

    def forward(self, labels: Tensor) -> Tensor:
        return super().forward(labels.clamp(min=0)) * (labels != NO_CLASS)[:, None]


class UNet(UNet2DModel):
    """UNet2DModel and what two published networks and ours need beyond it.

    Args:
        patch: squares of patch x patch pixels are one pixel of patch ** 2 times the channels inside: sample_size,
            in_channels and out_channels say what is inside.
        time_channels: width of the sinusoids of t, where it is not that of the first block: 256 against 128 at 512 px.
        schedule: the diffusion that it was trained for, as keyword arguments of diffusers.DDPMScheduler.
        config: keyword arguments of UNet2DModel. With num_class_embeds, class_labels None is NO_CLASS.
    """

    def __init__(
        self, *, patch: int = 1, time_channels: int | None = None, schedule: dict | None = None, **config
    ) -> None:
        super().__init__(**config)
        self.patch = patch
        self.schedule = schedule or {}
        if time_channels is not None:
            self.time_proj = Timesteps(time_channels, flip_sin_to_cos=True, downscale_freq_shift=0)
            self.time_embedding = TimestepEmbedding(time_channels, self.time_embedding.linear_2.out_features)
        if config.get("num_class_embeds") is not None:
            classes, width = self.class_embedding.weight.shape
            self.class_embedding = ClassEmbedding(classes, width)

    @property
    def learned_variance(self) -> bool:
        """Whether the second half of the output channels says how wide a step is."""
        return self.config["out_channels"] == 2 * self.config["in_channels"]

    def forward(self, sample: Tensor, timestep: Tensor | float, class_labels: Tensor | None = None) -> UNet2DOutput:
        if class_labels is None and self.class_embedding is not None:
            class_labels = torch.full([len(sample)], NO_CLASS, device=sample.device)
        out = super().forward(F.pixel_unshuffle(sample, self.patch), timestep, class_labels, return_dict=False)[0]
        return UNet2DOutput(F.pixel_shuffle(out, self.patch))


def load_unet(name_or_path: str | os.PathLike | None = None, device: str | torch.device = "cpu") -> UNet:
    """A frozen UNet: a registry name (None: its default), a file of any known format, or a diffusers folder with
    safetensors weights.

    A folder may be a whole pipeline (unet/, scheduler/) or a UNet2DModel alone.
    """
    from ..checkpoints import registry, weights
    from ..checkpoints.loading import build_network

    if name_or_path is not None and Path(name_or_path).is_dir():
        path = Path(name_or_path)
        tensors, config = read_folder(path)
    else:
        path = registry.find("unet", name_or_path).files["unet"]
        tensors, config = weights.load(path, "unet")

    def build(config: dict) -> UNet:
        check_schedule(path, config["schedule"])
        unet = UNet(**{**config["unet"], "schedule": config["schedule"]})
        _check_kind(path, unet)
        return unet

    return build_network(path, WHAT, tensors, config, build, meta=True, device=device)


def _check_kind(path: Path, unet: UNet) -> None:
    """InputError for a network that does not paint colour pictures, or is told the noise in another way."""
    channels = unet.config["in_channels"] // unet.patch**2
    if channels == 4:
        raise InputError(
            f"{path} is a latent diffusion UNet: it takes 4 channels and needs a decoder.",
            "It works in ComfyUI behind its own loaders and samplers; give one of RGB pictures here.",
        )
    if channels != 3 or unet.config["out_channels"] not in (unet.config["in_channels"], 2 * unet.config["in_channels"]):
        raise InputError(
            f"{path} paints pictures of {channels} channel{'s' * (channels != 1)}.", "Use a UNet of colour pictures."
        )
    if unet.config["time_embedding_type"] == "fourier" or unet.config["class_embed_type"] is not None:
        raise InputError(
            f"{path} is told the noise or the class by other means than their number.",
            "Use a UNet with positional time embedding and without class_embed_type.",
        )
