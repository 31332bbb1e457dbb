"""Analyzing and Improving the Image Quality of StyleGAN (Karras et al. 2020): the generator, skip architecture.

Equal to the published network at any width and any power-of-two resolution; state keys are those of NVIDIA's PyTorch
releases, so that a foreign checkpoint only needs its names mapped.
Axes: B batch, C channels, H W, L layers (num_ws), D dims.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import ClassVar, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..common.errors import InputError, check_number, check_whole
from ..common.settings import from_mapping
from . import compiled, doubling, winograd
from .generator import Mapping, StyleGenerator, check_synthesis
from .kept import Kept
from .ops import (
    SQRT2,
    FullyConnected,
    act,
    conv2d_up,
    demodulation_of,
    energy,
    modulated_conv2d,
    upfirdn2d,
    upsample2d,
)

Config = TypeVar("Config", bound="StyleGAN2Config")


@dataclass(frozen=True)
class StyleGAN2Config:
    """Sizes of a generator and of the discriminator trained against it.

    channel_base, channel_max: min(channel_base // r, channel_max) channels at resolution r. conv_clamp bounds
    activations, None for no bound. grouped evaluates modulated convolutions per sample (the same numbers). noise:
    whether layers add it. c_dim: classes that the generator was trained with, 0 for none.
    """

    OLD_NAMES: ClassVar[dict[str, str]] = {}  # name of a field in files of earlier versions => name

    resolution: int
    z_dim: int = 512
    w_dim: int = 512
    mapping_layers: int = 8
    channel_base: int = 32768
    channel_max: int = 512
    conv_clamp: float | None = None
    grouped: bool = False
    noise: bool = True
    c_dim: int = 0

    def __post_init__(self):
        check_sizes(self, "StyleGAN2", smallest=8)

    def channels(self, resolution: int) -> int:
        return min(self.channel_base // resolution, self.channel_max)

    @property
    def resolutions(self) -> list[int]:
        """[4, 8, ..., resolution]"""
        return [2**i for i in range(2, int(math.log2(self.resolution)) + 1)]

    @property
    def style_dim(self) -> int:
        """Numbers from which each layer's style is computed."""
        return self.w_dim

    @property
    def num_ws(self) -> int:
        return 2 * len(self.resolutions)

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls: type[Config], values: dict) -> Config:
        """values may hold more than the fields, and fields by the names that OLD_NAMES gives."""
        return from_mapping(
            cls, values, "The generator's config", remedy="Export the checkpoint again.", renamed=cls.OLD_NAMES,
            skip_unknown=True,
        )  # fmt: skip


def check_sizes(config, name: str, smallest: int) -> None:
    """Refuse sizes that no generator has: a file may name any. smallest: of its resolutions."""
    check_whole(config.resolution, f"A {name}'s resolution", low=smallest, high=4096)
    if config.resolution & (config.resolution - 1):
        raise InputError(
            f"A {name} resolution of {config.resolution} is not a power of two.", "Use 64, 128, 256, 512 or 1024."
        )
    for field, most in (("z_dim", 2**14), ("w_dim", 2**14), ("mapping_layers", 64), ("channel_max", 2**14)):
        check_whole(getattr(config, field), f"A {name}'s {field}", low=1, high=most)
    check_whole(config.c_dim, f"A {name}'s c_dim", low=0, high=2**17)
    check_whole(config.channel_base, f"A {name}'s channel_base", low=config.resolution, high=2**20)
    if config.conv_clamp is not None:
        check_number(config.conv_clamp, f"A {name}'s conv_clamp", low=0, high=1e9)


@dataclass(frozen=True)
class NoiseRows:
    """Draws the layers' noise of some rows of a whole batch, so that a batch in parts has the noise of the whole."""

    generator: torch.Generator
    batch: int
    rows: slice


Rng = torch.Generator | NoiseRows | None


def _normal(shape: list[int], rng: Rng, device: torch.device) -> Tensor:
    if isinstance(rng, NoiseRows):
        return torch.randn([rng.batch, *shape[1:]], generator=rng.generator, device=device)[rng.rows]
    return torch.randn(shape, generator=rng, device=device)


class SynthesisLayer(nn.Module):
    """Style, 3x3 modulated convolution, noise, bias, leaky ReLU."""

    noise_const: Tensor

    def __init__(self, size_in: int, size_out: int, resolution: int, config: StyleGAN2Config, *, up: bool):
        super().__init__()
        self.affine = FullyConnected(config.style_dim, size_in, bias=1)
        self.weight = nn.Parameter(torch.randn(size_out, size_in, 3, 3))
        self.bias = nn.Parameter(torch.zeros(size_out))
        if config.noise:
            self.noise_strength = nn.Parameter(torch.zeros([]))
            self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self.up, self.grouped, self.clamp, self.noise = up, config.grouped, config.conv_clamp, config.noise
        self.energy, self.kernels = Kept(energy), Kept(winograd.kernels_of)
        self.taps, self.phases = Kept(doubling.taps_of), Kept(doubling.phases_of)

    def forward(self, x: Tensor, w: Tensor, noise_mode: str, rng: Rng) -> Tensor:
        style, noise = self.affine(w), self._noise(len(x), noise_mode, rng)
        others = (style, self.bias, self.weight) if noise is None else (style, self.bias, self.weight, noise)
        if not self.grouped and winograd.only_renders(x, *others):
            return self._rendered(x, style, noise)
        x = modulated_conv2d(x, self.weight, style, up=self.up, grouped=self.grouped)
        # noise and bias as one tensor, channels last, which is one pass over the maps
        offset = self.bias[None, None, None] if noise is None else noise[..., None] + self.bias
        return act(x + offset.to(x.dtype).movedim(-1, -3), clamp=self.clamp)

    def _noise(self, batch: int, noise_mode: str, rng: Rng) -> Tensor | None:
        """[1,H,W] or [B,H,W], times its strength"""
        if not self.noise or noise_mode == "none":
            return None
        if noise_mode == "random":
            return _normal([batch, *self.noise_const.shape], rng, self.bias.device) * self.noise_strength
        return self.noise_const[None] * self.noise_strength

    def _rendered(self, x: Tensor, style: Tensor, noise: Tensor | None) -> Tensor:
        """The same where nothing is differentiated: in place, and with fewer multiplications where that pays.

        sqrt(2) lrelu(y) = lrelu(sqrt(2) y), so the gain goes into what is multiplied and added anyway.
        """
        scale = demodulation_of(self.energy(self.weight), style) * SQRT2
        noise = None if noise is None else noise * SQRT2
        around = winograd.Around(style, scale, self.bias * SQRT2, noise, self.clamp)
        loops = compiled.loops_for(x, self.weight)
        if not self.up and winograd.pays(x, self.weight):
            return winograd.conv3x3(x, self.kernels(self.weight, winograd.tile_of(x)), around, loops=loops)
        x = x * style[:, :, None, None]
        frozen = self.up and winograd.frozen3x3(self.weight)
        if frozen and loops is not None and not doubling.small(x):
            return doubling.up_filtered(x, self.phases(self.weight), around, loops)
        if frozen and doubling.small(x):
            x = upfirdn2d(doubling.conv_transpose(x, self.taps(self.weight)), pad=(1, 1), gain=4)
        else:
            x = conv2d_up(x, self.weight) if self.up else F.conv2d(x, self.weight, padding=1)
        around.finish_maps(x)
        return x


class ToRGB(nn.Module):
    """1x1 modulated convolution to 3 channels, not demodulated."""

    def __init__(self, size_in: int, config: StyleGAN2Config):
        super().__init__()
        self.affine = FullyConnected(config.style_dim, size_in, bias=1)
        self.weight = nn.Parameter(torch.randn(3, size_in, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))
        self.grouped, self.clamp = config.grouped, config.conv_clamp

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        style = self.affine(w) * (1 / math.sqrt(self.weight.shape[1]))
        if not self.grouped and winograd.only_renders(x, style, self.weight, self.bias):
            kernel = self.weight[:, :, 0, 0] * style[:, None]  # [B,3,I]: smaller than x to multiply
            img = (x.permute(0, 2, 3, 1).flatten(1, 2) @ kernel.transpose(1, 2)).transpose(1, 2) + self.bias[:, None]
            img = img.unflatten(2, x.shape[2:])
            return img if self.clamp is None else img.clamp(-self.clamp, self.clamp)
        img = modulated_conv2d(x, self.weight, style, demodulate=False, grouped=self.grouped)
        img = img.float() + self.bias[:, None, None]
        return img if self.clamp is None else img.clamp(-self.clamp, self.clamp)


class SynthesisBlock(nn.Module):
    """One resolution. ws [B,2,D] for 4x4 (conv1, torgb), [B,3,D] above (conv0, conv1, torgb).

    extra_channels: of the input at 4x4 beside those of the constant.
    """

    def __init__(self, resolution: int, config: StyleGAN2Config, extra_channels: int = 0):
        super().__init__()
        size = config.channels(resolution)
        if resolution == 4:
            self.const = nn.Parameter(torch.randn(size, 4, 4))
        else:
            self.conv0 = SynthesisLayer(config.channels(resolution // 2), size, resolution, config, up=True)
        self.conv1 = SynthesisLayer(size + extra_channels, size, resolution, config, up=False)
        self.torgb = ToRGB(size, config)

    def forward(self, x: Tensor, img: Tensor | None, ws: Tensor, noise_mode: str, rng) -> tuple[Tensor, Tensor]:
        if img is not None:
            x = self.conv0(x, ws[:, 0], noise_mode, rng)
        x = self.conv1(x, ws[:, -2], noise_mode, rng)
        rgb = self.torgb(x, ws[:, -1])
        return x, rgb if img is None else upsample2d(img) + rgb


class Synthesis(nn.Module):
    """ws [B,L,D] => img [B,3,H,W], about -1..1."""

    b4: SynthesisBlock

    def __init__(self, config: StyleGAN2Config, extra_channels: int = 0):
        super().__init__()
        self.config = config
        for resolution in config.resolutions:
            setattr(
                self, f"b{resolution}", SynthesisBlock(resolution, config, extra_channels if resolution == 4 else 0)
            )

    def forward(
        self,
        ws: Tensor,
        noise_mode: str = "const",
        rng: Rng = None,
        dtype: torch.dtype = torch.float32,
        resolution: int | None = None,
    ) -> Tensor:
        """noise_mode: "const" (the stored noise), "random" (drawn from rng), "none". dtype of the features; the image
        is summed in float32. resolution: stop at this one and return the smaller image summed so far."""
        check_synthesis(ws, noise_mode, self.config)
        x = self.b4.const.to(dtype).expand(len(ws), -1, -1, -1)
        return self.run_blocks(x, ws, noise_mode, rng, resolution)

    def run_blocks(self, x: Tensor, ws: Tensor, noise_mode: str, rng: Rng, resolution: int | None) -> Tensor:
        """From what stands at 4x4 [B,C,4,4] and the styles' ws [B,L,style_dim] to the image."""
        img: Tensor | None = None
        for i, size in enumerate(self.config.resolutions):
            first = max(2 * i - 1, 0)  # torgb shares its w with the next block's conv0
            x, img = getattr(self, f"b{size}")(x, img, ws[:, first : 2 * i + 2], noise_mode, rng)
            if size == resolution:
                break
        assert img is not None  # there is always a 4x4
        return img


class Generator(StyleGenerator):
    """StyleGAN2 as a whole."""

    config_type = StyleGAN2Config

    def __init__(self, config: StyleGAN2Config):
        super().__init__(config, Mapping(config), Synthesis(config))
