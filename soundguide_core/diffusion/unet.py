"""The pixel diffusion UNet of P. Dhariwal and A. Nichol, "Diffusion Models Beat GANs on Image Synthesis", NeurIPS 2021,
as diffusers' UNet2DModel. Axes: B batch, H W picture, K classes.

    x_t [B,3,H,W] in about -1..1, t [B] in 0..999 => [B,6,H,W]: eps, and v in -1..1 between log beta_tilde and log beta
"""

from __future__ import annotations

import os
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import UNet2DModel
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from diffusers.models.unets.unet_2d import UNet2DOutput
from torch import Tensor, nn

from ..common.errors import InputError
from ..common.files import read_json

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
            self.class_embedding = ClassEmbedding(*self.class_embedding.weight.shape)

    @property
    def learned_variance(self) -> bool:
        """Whether the second half of the output channels says how wide a step is."""
        return self.config.out_channels == 2 * self.config.in_channels

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
    from ..checkpoints.bounded_build import bounded_build
    from ..checkpoints.safetensors_io import fill

    if name_or_path is not None and Path(name_or_path).is_dir():
        return _from_folder(Path(name_or_path)).eval().requires_grad_(False).to(device)
    path = registry.find("unet", name_or_path).files["unet"]
    tensors, config = weights.load(path, "unet")
    with bounded_build(path, WHAT, tensors), torch.device("meta"):  # the file's tensors become the weights
        unet = UNet(**{**config["unet"], "schedule": config["schedule"]})
    fill(unet, tensors, path, assign=True)
    return unet.eval().requires_grad_(False).to(device)


def _from_folder(folder: Path) -> UNet:
    from ..checkpoints.bounded_build import bounded_build
    from ..checkpoints.safetensors_io import fill, tensors_of

    inside = folder / "unet" if (folder / "unet").is_dir() else folder
    weights, config_file = inside / "diffusion_pytorch_model.safetensors", inside / "config.json"
    if not weights.is_file() or not config_file.is_file():
        raise InputError(
            f"{folder} holds no config.json with diffusion_pytorch_model.safetensors.",
            "Give a diffusers folder that was saved with safetensors weights.",
        )
    config = read_json(config_file)
    if config.get("_class_name") != "UNet2DModel":
        raise InputError(f"{folder} holds a {config.get('_class_name')}.", "Only a UNet2DModel works on pixels alone.")
    schedules = (folder / "scheduler" / "scheduler_config.json", folder / "scheduler_config.json")
    schedule = next((read_json(file) for file in schedules if file.is_file()), {})
    tensors = {key: x.float() for key, x in tensors_of(weights).items()}
    with bounded_build(config_file, WHAT, tensors), torch.device("meta"):
        unet = UNet(**{**{k: v for k, v in config.items() if not k.startswith("_")}, "schedule": schedule})
    fill(unet, tensors, weights, assign=True)
    return unet
