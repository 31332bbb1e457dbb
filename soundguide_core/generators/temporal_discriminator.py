"""The discriminators of sound-guided video generation (Lee et al., ECCV 2022): one that sees single frames, one that
sees several at once through kernels that reach over time. Residual blocks as in StyleGAN2's discriminator.

Axes: B batch, F frames, C channels, H W.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..common.errors import InputError
from ..common.shapes import check_shape
from .ops import FullyConnected, act


@dataclass(frozen=True)
class TemporalDiscriminatorConfig:
    """size: pixels a side that frames are brought to. channels: of each block, which halves the picture. reach: frames
    that a kernel sees, 3 for video; 1 judges every frame by itself. clamp: bound of activations."""

    size: int
    channels: tuple[int, ...]
    reach: int = 3
    clamp: float | None = 256.0

    def __post_init__(self) -> None:
        if self.reach % 2 == 0 or self.size % 2 ** len(self.channels):
            raise InputError(
                f"A discriminator of {self.size} pixels, {len(self.channels)} halvings and kernels over {self.reach} "
                "frames cannot be.",
                "Use an odd reach, and a size that can be halved so often.",
            )


class Conv3d(nn.Module):
    """Equalised convolution [B,I,F,H,W] => [B,O,F,H,W]; bias and lrelu unless linear."""

    def __init__(self, size_in: int, size_out: int, kernel: tuple[int, int, int], *, linear: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(size_out, size_in, *kernel))
        self.bias = None if linear else nn.Parameter(torch.zeros(size_out))

    def forward(self, x: Tensor, gain: float = 1.0, clamp: float | None = None) -> Tensor:
        weight = self.weight * (1 / math.sqrt(self.weight[0].numel()))
        if self.bias is None:
            return F.conv3d(x, weight * gain)
        padding = tuple(k // 2 for k in self.weight.shape[2:])
        return act(F.conv3d(x, weight, self.bias, padding=padding), gain=gain, clamp=clamp)


class Block(nn.Module):
    """Half the picture, as many frames: two convolutions beside a 1x1x1 skip."""

    def __init__(self, size_in: int, size_out: int, config: TemporalDiscriminatorConfig):
        super().__init__()
        kernel = (config.reach, 3, 3)
        self.conv0 = Conv3d(size_in, size_in, kernel)
        self.conv1 = Conv3d(size_in, size_out, kernel)
        self.skip = Conv3d(size_in, size_out, (1, 1, 1), linear=True)
        self.clamp = config.clamp

    def forward(self, x: Tensor) -> Tensor:
        gain = math.sqrt(0.5)  # keeps the variance of the sum
        skip = self.skip(_half(x), gain)
        return skip + self.conv1(_half(self.conv0(x, clamp=self.clamp)), gain, self.clamp)


class TemporalDiscriminator(nn.Module):
    """frames [B,F,3,H,W] in -1..1 => scores [B,1], positive for real: the mean over frames of what its kernels see."""

    def __init__(self, config: TemporalDiscriminatorConfig):
        super().__init__()
        self.config = config
        first, last = config.channels[0], config.channels[-1]
        self.fromrgb = Conv3d(3, first, (1, 1, 1))
        sizes = [first, *config.channels]
        self.blocks = nn.ModuleList([Block(before, after, config) for before, after in zip(sizes, config.channels)])
        side = config.size // 2 ** len(config.channels)
        self.fc = FullyConnected(last * side * side, last, act=True)
        self.out = FullyConnected(last, 1)

    def forward(self, frames: Tensor) -> Tensor:
        sizes = check_shape(frames, "B F 3 H W", name="the frames")
        x = brought_to(frames, self.config.size).transpose(1, 2)  # [B,3,F,H,W]
        x = self.fromrgb(x, clamp=self.config.clamp)
        for block in self.blocks:
            x = block(x)
        each = self.fc(x.transpose(1, 2).flatten(0, 1).flatten(1))  # [BF,C]
        return self.out(each.view(sizes["B"], sizes["F"], -1).mean(dim=1))


def brought_to(frames: Tensor, size: int) -> Tensor:
    """frames [B,F,3,H,W] => the same, size x size."""
    if frames.shape[-2:] == (size, size):
        return frames
    small = F.interpolate(frames.flatten(0, 1), (size, size), mode="bilinear", antialias=True)
    return small.unflatten(0, frames.shape[:2])


def _half(x: Tensor) -> Tensor:
    return F.avg_pool3d(x, (1, 2, 2))
