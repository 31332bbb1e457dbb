"""Analyzing and Improving the Image Quality of StyleGAN (Karras et al. 2020): the generator, skip architecture.

Equal to the published network at any width and any power-of-two resolution; state keys are those of NVIDIA's PyTorch
releases, so that a foreign checkpoint only needs its names mapped.
Axes: B batch, C channels, H W, L layers (num_ws), D dims.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import InputError, check_number
from .latents import truncate
from .ops import FullyConnected, act, modulated_conv2d, rms_norm, upsample2d


@dataclass(frozen=True)
class StyleGAN2Config:
    """Sizes of a generator and of the discriminator trained against it.

    channel_base, channel_max: min(channel_base // r, channel_max) channels at resolution r. conv_clamp bounds
    activations, None for no bound. grouped evaluates modulated convolutions per sample (the same numbers).
    """

    resolution: int
    z_dim: int = 512
    w_dim: int = 512
    mapping_layers: int = 8
    channel_base: int = 32768
    channel_max: int = 512
    conv_clamp: float | None = None
    grouped: bool = False

    def __post_init__(self):
        if self.resolution < 8 or self.resolution & (self.resolution - 1):
            raise InputError(
                f"A StyleGAN2 resolution of {self.resolution} is not a power of two from 8 up.",
                "Use 64, 128, 256, 512 or 1024.",
            )

    def channels(self, resolution: int) -> int:
        return min(self.channel_base // resolution, self.channel_max)

    @property
    def resolutions(self) -> list[int]:
        """[4, 8, ..., resolution]"""
        return [2**i for i in range(2, int(math.log2(self.resolution)) + 1)]

    @property
    def num_ws(self) -> int:
        return 2 * len(self.resolutions)

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> StyleGAN2Config:
        known = {name: values[name] for name in cls.__dataclass_fields__ if name in values}
        if "resolution" not in known:
            raise InputError("The generator's config names no resolution.", "Export the checkpoint again.")
        return cls(**known)


class Mapping(nn.Module):
    """z [B,D] standard normal => w [B,D]; keeps w's mean, tracked in training, and its standard deviation per dim."""

    def __init__(self, config: StyleGAN2Config):
        super().__init__()
        self.num_layers = config.mapping_layers
        for i in range(config.mapping_layers):
            size_in = config.z_dim if i == 0 else config.w_dim
            setattr(self, f"fc{i}", FullyConnected(size_in, config.w_dim, lr_mul=0.01, act=True))
        self.register_buffer("w_avg", torch.zeros(config.w_dim))
        self.register_buffer("w_std", torch.zeros(config.w_dim))  # 0: not measured yet

    def forward(self, z: Tensor) -> Tensor:
        x = rms_norm(z)
        for i in range(self.num_layers):
            x = getattr(self, f"fc{i}")(x)
        return x

    @torch.no_grad()
    def track(self, mean: Tensor, beta: float = 0.998) -> None:
        """w_avg <- lerp(mean w of a batch [D], w_avg, beta)"""
        self.w_avg.copy_(torch.lerp(mean, self.w_avg, beta))


class SynthesisLayer(nn.Module):
    """Style, 3x3 modulated convolution, noise, bias, leaky ReLU."""

    def __init__(self, size_in: int, size_out: int, resolution: int, config: StyleGAN2Config, *, up: bool):
        super().__init__()
        self.affine = FullyConnected(config.w_dim, size_in, bias=1)
        self.weight = nn.Parameter(torch.randn(size_out, size_in, 3, 3))
        self.bias = nn.Parameter(torch.zeros(size_out))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self.up, self.grouped, self.clamp = up, config.grouped, config.conv_clamp

    def forward(self, x: Tensor, w: Tensor, noise_mode: str, rng: torch.Generator | None) -> Tensor:
        x = modulated_conv2d(x, self.weight, self.affine(w), up=self.up, grouped=self.grouped)
        offset = self.bias[None, None]  # [H,W,C] or [B,H,W,C]
        if noise_mode == "random":
            shape = [len(x), *self.noise_const.shape]
            noise = torch.randn(shape, generator=rng, device=x.device) * self.noise_strength  # [B,H,W]
            offset = noise[..., None] + self.bias
        elif noise_mode == "const":
            offset = (self.noise_const * self.noise_strength)[..., None] + self.bias
        # noise and bias become one tensor, channels last, before they meet x: fewer passes over memory
        return act(x + offset.to(x.dtype).movedim(-1, -3), clamp=self.clamp)


class ToRGB(nn.Module):
    """1x1 modulated convolution to 3 channels, not demodulated."""

    def __init__(self, size_in: int, config: StyleGAN2Config):
        super().__init__()
        self.affine = FullyConnected(config.w_dim, size_in, bias=1)
        self.weight = nn.Parameter(torch.randn(3, size_in, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))
        self.grouped, self.clamp = config.grouped, config.conv_clamp

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        style = self.affine(w) * (1 / math.sqrt(self.weight.shape[1]))
        img = modulated_conv2d(x, self.weight, style, demodulate=False, grouped=self.grouped)
        img = img.float() + self.bias[:, None, None]
        return img if self.clamp is None else img.clamp(-self.clamp, self.clamp)


class SynthesisBlock(nn.Module):
    """One resolution. ws [B,2,D] for 4x4 (conv1, torgb), [B,3,D] above (conv0, conv1, torgb)."""

    def __init__(self, resolution: int, config: StyleGAN2Config):
        super().__init__()
        size = config.channels(resolution)
        if resolution == 4:
            self.const = nn.Parameter(torch.randn(size, 4, 4))
        else:
            self.conv0 = SynthesisLayer(config.channels(resolution // 2), size, resolution, config, up=True)
        self.conv1 = SynthesisLayer(size, size, resolution, config, up=False)
        self.torgb = ToRGB(size, config)

    def forward(self, x: Tensor, img: Tensor | None, ws: Tensor, noise_mode: str, rng) -> tuple[Tensor, Tensor]:
        if img is not None:
            x = self.conv0(x, ws[:, 0], noise_mode, rng)
        x = self.conv1(x, ws[:, -2], noise_mode, rng)
        rgb = self.torgb(x, ws[:, -1])
        return x, rgb if img is None else upsample2d(img) + rgb


class Synthesis(nn.Module):
    """ws [B,L,D] => img [B,3,H,W], about -1..1."""

    def __init__(self, config: StyleGAN2Config):
        super().__init__()
        self.config = config
        for resolution in config.resolutions:
            setattr(self, f"b{resolution}", SynthesisBlock(resolution, config))

    def forward(
        self,
        ws: Tensor,
        noise_mode: str = "const",
        rng: torch.Generator | None = None,
        dtype: torch.dtype = torch.float32,
        resolution: int | None = None,
    ) -> Tensor:
        """noise_mode: "const" (the stored noise), "random" (drawn from rng), "none". dtype of the features; the image
        is summed in float32. resolution: stop at this one and return the smaller image summed so far."""
        if noise_mode not in ("const", "random", "none"):
            raise InputError(f"There is no noise mode '{noise_mode}'.", "Use const, random or none.")
        if ws.ndim != 3 or ws.shape[1:] != (self.config.num_ws, self.config.w_dim):
            raise InputError(
                f"ws must be [B,{self.config.num_ws},{self.config.w_dim}] for this generator, not {list(ws.shape)}.",
                "Take latents from this generator's own sample_ws.",
            )
        x, img = self.b4.const.to(dtype).expand(len(ws), -1, -1, -1), None
        for i, size in enumerate(self.config.resolutions):
            first = max(2 * i - 1, 0)  # torgb shares its w with the next block's conv0
            x, img = getattr(self, f"b{size}")(x, img, ws[:, first : 2 * i + 2], noise_mode, rng)
            if size == resolution:
                break
        return img


class Generator(nn.Module):
    """z [B,D] -> mapping -> w [B,D] -> ws [B,L,D] -> synthesis -> img [B,3,H,W]."""

    def __init__(self, config: StyleGAN2Config):
        super().__init__()
        self.config = config
        self.z_dim, self.w_dim, self.num_ws = config.z_dim, config.w_dim, config.num_ws
        self.resolution = config.resolution
        self.mapping = Mapping(config)
        self.synthesis = Synthesis(config)

    @property
    def w_avg(self) -> Tensor:
        """[D] mean of w"""
        return self.mapping.w_avg

    @property
    def w_std(self) -> Tensor:
        """[D] standard deviation of each dim of w; measured at first use where the checkpoint stores none."""
        if not self.mapping.w_std.any():
            self.measure_w()
        return self.mapping.w_std

    @torch.no_grad()
    def measure_w(self, samples: int = 10000, seed: int = 123, *, keep_avg: bool = True) -> None:
        """Measures w_std, and w_avg too unless keep_avg, over mapped samples."""
        z = torch.from_numpy(np.random.RandomState(seed).randn(samples, self.z_dim)).to(self.w_avg)
        w = self.mapping(z)
        self.mapping.w_std.copy_(w.std(dim=0))
        if not keep_avg:
            self.mapping.w_avg.copy_(w.mean(dim=0))

    def broadcast(self, w: Tensor) -> Tensor:
        """w [B,D] => ws [B,L,D]"""
        return w[:, None].expand(-1, self.num_ws, -1)

    @torch.no_grad()
    def sample_ws(self, seeds: Iterable[int], psi: float = 0.7, cutoff: int | None = None) -> Tensor:
        """ws [B,L,D], one per seed, pulled towards w_avg by 1 - psi; the same latents as NVIDIA's tools give a seed."""
        seeds = list(seeds)
        if not seeds:
            raise InputError("No seed is given.", "Give one seed for each latent.")
        for seed in seeds:
            check_number(seed, "A seed", low=0, high=2**32 - 1)
        check_number(psi, "psi")
        z = np.concatenate([np.random.RandomState(seed).randn(1, self.z_dim) for seed in seeds])
        ws = self.broadcast(self.mapping(torch.from_numpy(z).to(self.w_avg)))
        return truncate(ws, self.w_avg, psi, cutoff)

    def forward(self, z: Tensor, psi: float = 1.0, noise_mode: str = "const") -> Tensor:
        """z [B,D] => img [B,3,H,W]"""
        ws = truncate(self.broadcast(self.mapping(z)), self.w_avg, psi)
        return self.synthesis(ws, noise_mode)


def load_generator(name_or_path: str | Path = "miniature", device: str | torch.device = "cpu") -> Generator:
    """A generator for use: evaluation mode, parameters frozen. A registry name, or a .safetensors file."""
    from ..checkpoints import registry, safetensors_io

    path = registry.find("generator", name_or_path).files["generator"]
    tensors, config = safetensors_io.load(path)
    generator = Generator(StyleGAN2Config.from_dict(config))
    tensors.setdefault("mapping.w_std", generator.mapping.w_std)  # foreign checkpoints have none
    safetensors_io.fill(generator, tensors, path)
    generator.w_std  # noqa: B018  measured now if absent, not within somebody's inference mode
    return generator.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)
