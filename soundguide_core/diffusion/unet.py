"""The pixel diffusion UNet of P. Dhariwal and A. Nichol, "Diffusion Models Beat GANs on Image Synthesis", NeurIPS 2021,
as diffusers' UNet2DModel. Axes: B batch, C channels, D dims, H W picture, K classes, L points of a joint space.

    x_t [B,3,H,W] in about -1..1, t [B] in 0..999 => [B,6,H,W]: eps, and v in -1..1 between log beta_tilde and log beta

With context_dim it is told what to paint by points of a joint space: what texts, pictures and sounds are embedded as.
"""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..common.errors import InputError, check_number
from ..common.files import check_name
from ..common.memory import usable_device
from ..common.shapes import check_shape
from ..common.typed import check_types
from .attention import attend_quickly
from .diffusers_folder import check_schedule, read_folder
from .with_diffusers import TimestepEmbedding, Timesteps, UNet2DModel, UNet2DOutput

NO_CLASS = -1
WHAT = "a diffusion UNet"
BOUNDS = {  # of what no weights show
    "patch": (1, 64), "time_channels": (2, 2**14), "norm_eps": (0, 1), "freq_shift": (0, 1), "dropout": (0, 1),
    "mid_block_scale_factor": (1e-3, 1e3), "downsample_padding": (0, 1), "attention_head_dim": (1, 2**14),
    "norm_num_groups": (1, 2**14), "attn_norm_num_groups": (1, 2**14), "layers_per_block": (1, 64),
    "context_dim": (1, 2**14), "detail_channels": (0, 2**12),
}  # fmt: skip


class ClassEmbedding(nn.Embedding):
    """labels [B] => [B,D]; NO_CLASS is the zero vector, which makes a class-conditional model paint anything."""

    def forward(self, labels: Tensor) -> Tensor:
        return super().forward(labels.clamp(min=0)) * (labels != NO_CLASS)[:, None]


class ContextEmbedding(nn.Module):
    """Points of a joint space [B,L,D] => [B,E], to be added to the embedding of t: mean over L of W2 silu(W1 point).

    No biases: the zero vector, which says nothing, adds nothing, and so does no context at all. W2 begins at zero.
    """

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(dim, width, bias=False)
        self.linear_2 = nn.Linear(width, width, bias=False)
        nn.init.zeros_(self.linear_2.weight)
        self.gain = dim**0.5  # unit norm => variance one in each dimension

    def forward(self, context: Tensor) -> Tensor:
        return self.linear_2(F.silu(self.linear_1(context * self.gain)).mean(1))


class DetailPath(nn.Module):
    """What a UNet in patches hardly sees, at full resolution: (x_t, its output, its features) => what is added to its
    output, W2 (a silu(b)) where (a, b) = W1 h and h = W0 (x_t, output, features).

    Three convolutions on `channels` channels; the features know t and the context, and so open and close the gates.
    The last one begins at zero.
    """

    def __init__(self, pictures: int, channels: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(pictures + channels, channels, 3, padding=1)
        self.conv_gate = nn.Conv2d(channels, 2 * channels, 3, padding=1)
        self.conv_out = nn.Conv2d(channels, pictures - 3, 3, padding=1)
        nn.init.zeros_(self.conv_out.weight)
        nn.init.zeros_(cast(Tensor, self.conv_out.bias))

    def forward(self, x_t: Tensor, out: Tensor, features: Tensor) -> Tensor:
        a, b = self.conv_gate(self.conv_in(torch.cat([x_t, out, features], 1))).chunk(2, dim=1)
        return self.conv_out(a * F.silu(b))


class UNet(UNet2DModel):
    """UNet2DModel and what two published networks and ours need beyond it.

    Args:
        patch: squares of patch x patch pixels are one pixel of patch ** 2 times the channels inside: sample_size,
            in_channels and out_channels say what is inside.
        time_channels: width of the sinusoids of t, where it is not that of the first block: 256 against 128 at 512 px.
        context_dim: D of the joint space whose points condition it; None for a network that nothing conditions.
        detail_channels: channels of a path at full resolution beside it, 0 for none.
        schedule: the diffusion that it was trained for, as keyword arguments of diffusers.DDPMScheduler.
        config: keyword arguments of UNet2DModel. With num_class_embeds, class_labels None is NO_CLASS.
    """

    def __init__(
        self,
        *,
        patch: int = 1,
        time_channels: int | None = None,
        context_dim: int | None = None,
        detail_channels: int = 0,
        schedule: dict | None = None,
        **config,
    ) -> None:
        super().__init__(**config)
        attend_quickly(self)
        self.patch, self.context_dim, self.detail_channels = patch, context_dim, detail_channels
        self.schedule = schedule or {}
        if time_channels is not None:
            self.time_proj = Timesteps(time_channels, flip_sin_to_cos=True, downscale_freq_shift=0)
            self.time_embedding = TimestepEmbedding(time_channels, self.time_embedding.linear_2.out_features)
        if config.get("num_class_embeds") is not None:
            classes, width = cast(nn.Embedding, self.class_embedding).weight.shape
            self.class_embedding = ClassEmbedding(classes, width)
        if context_dim is not None:  # in the place of a class
            if config.get("num_class_embeds") is not None:
                raise InputError("A network is conditioned on classes and on a joint space.", "Use one of them.")
            self.class_embedding = ContextEmbedding(context_dim, self.time_embedding.linear_2.out_features)
        if detail_channels:
            self.conv_out = nn.Conv2d(
                self.conv_out.in_channels, self.conv_out.out_channels + detail_channels * patch**2, 3, padding=1
            )
            self.detail = DetailPath(3 + config["out_channels"] // patch**2, detail_channels)

    @property
    def learned_variance(self) -> bool:
        """Whether the second half of the output channels says how wide a step is."""
        return self.config["out_channels"] == 2 * self.config["in_channels"]

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float,
        class_labels: Tensor | None = None,
        context: Tensor | None = None,
    ) -> UNet2DOutput:
        """context [B,L,D], or [B,D] for one point each: zeros, or none at all, for a picture of anything."""
        if self.context_dim is not None:
            class_labels = self._context(sample, context, self.context_dim)
        elif context is not None:
            raise InputError("This diffusion model is not conditioned.", "Use one that was trained with context_dim.")
        elif class_labels is None and self.class_embedding is not None:
            class_labels = torch.full([len(sample)], NO_CLASS, device=sample.device)
        inside = super().forward(F.pixel_unshuffle(sample, self.patch), timestep, class_labels, return_dict=False)[0]
        out = F.pixel_shuffle(inside, self.patch)
        if self.detail_channels:
            out, features = out.split([out.shape[1] - self.detail_channels, self.detail_channels], dim=1)
            out = out + self.detail(sample, out, features)
        return UNet2DOutput(out)

    @staticmethod
    def _context(sample: Tensor, context: Tensor | None, dim: int) -> Tensor:
        """[B,L,D], zeros where there is none."""
        if context is None:
            return sample.new_zeros(len(sample), 1, dim)
        context = context[:, None] if context.ndim == 2 else context
        check_shape(context, f"{len(sample)} L {dim}", name="the context")
        return context


def load_unet(name_or_path: str | os.PathLike | None = None, device: str | torch.device = "cpu") -> UNet:
    """A frozen UNet: a registry name (None: its default), a file of any known format, or a diffusers folder with
    safetensors weights.

    A folder may be a whole pipeline (unet/, scheduler/) or a UNet2DModel alone.
    """
    from ..checkpoints import registry, weights
    from ..checkpoints.loading import build_network

    device = usable_device(device)
    if name_or_path is not None and (path := check_name(name_or_path)).is_dir():
        tensors, config = read_folder(path)
    else:
        path = registry.find("unet", name_or_path).files["unet"]
        tensors, config = weights.load(path, "unet")

    def build(config: dict) -> UNet:
        check_schedule(path, config["schedule"])
        unet = UNet(**{**_checked(config["unet"]), "schedule": config["schedule"]})
        _check_kind(path, unet)
        return unet

    return build_network(path, WHAT, tensors, config, build, meta=True, device=device)


def _checked(config: dict) -> dict:
    """Keyword arguments of UNet out of a file, held against UNet2DModel's types and against BOUNDS."""
    what = "The UNet's config"
    own = check_types(UNet.__init__, config, what)
    given = {name: own[name] for name in own.keys() & inspect.signature(UNet2DModel.__init__).parameters.keys()}
    check_types(UNet2DModel.__init__, given, what)
    for name, (low, high) in BOUNDS.items():
        if config.get(name) is not None:
            check_number(config[name], f"The UNet's {name}", low=low, high=high)
    return config


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
