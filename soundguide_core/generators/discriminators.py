"""Analyzing and Improving the Image Quality of StyleGAN (Karras et al. 2020): the discriminator, residual architecture.

Axes: B batch, C channels, H W; G images per group of the minibatch statistic.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .ops import Conv2d, FullyConnected
from .stylegan2 import StyleGAN2Config


class DiscriminatorBlock(nn.Module):
    """Half the resolution: two 3x3 convolutions beside a 1x1 skip. The first block also reads the image.

    size_in, size_out: channels, where they are not the resolution's own.
    """

    def __init__(
        self, resolution: int, config: StyleGAN2Config, size_in: int | None = None, size_out: int | None = None
    ):
        super().__init__()
        size = config.channels(resolution)
        size_in = size_in or size
        size_out = size_out or config.channels(resolution // 2)
        gain, clamp = math.sqrt(0.5), config.conv_clamp  # keeps the variance of the sum
        if resolution == config.resolution:
            self.fromrgb = Conv2d(3, size, 1, clamp=clamp)
        self.conv0 = Conv2d(size_in, size, 3, clamp=clamp)
        self.conv1 = Conv2d(size, size_out, 3, down=True, gain=gain, clamp=clamp)
        self.skip = Conv2d(size_in, size_out, 1, down=True, linear=True, gain=gain)

    def forward(self, x: Tensor) -> Tensor:
        if hasattr(self, "fromrgb"):
            x = self.fromrgb(x)
        return self.skip(x) + self.conv1(self.conv0(x))


def minibatch_std(x: Tensor, group: int = 4) -> Tensor:
    """x [B,C,H,W] => [B,C+1,H,W]: the mean deviation within groups of G images, as one more channel.

    A group takes images B/G apart, as published; B must be a multiple of min(G, B).
    """
    group = min(group, len(x))
    y = x.reshape(group, -1, *x.shape[1:])  # [G,B/G,C,H,W]
    std = (y.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))  # [B/G]
    std = std.repeat(group).reshape(-1, 1, 1, 1).expand(-1, 1, *x.shape[2:])
    return torch.cat([x, std], dim=1)


class DiscriminatorEpilogue(nn.Module):
    """4x4 features => one score, or several numbers."""

    def __init__(self, config: StyleGAN2Config, outputs: int = 1):
        super().__init__()
        size = config.channels(4)
        self.conv = Conv2d(size + 1, size, 3, clamp=config.conv_clamp)
        self.fc = FullyConnected(size * 16, size, act=True)
        self.out = FullyConnected(size, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(minibatch_std(x))
        return self.out(self.fc(x.flatten(1)))


class Discriminator(nn.Module):
    """img [B,3,H,W] in -1..1 => score [B,1], positive for real."""

    def __init__(self, config: StyleGAN2Config):
        super().__init__()
        self.config = config
        for resolution in config.resolutions[:0:-1]:
            setattr(self, f"b{resolution}", DiscriminatorBlock(resolution, config))
        self.b4 = DiscriminatorEpilogue(config)

    def forward(self, img: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """dtype of the features down to 4x4, which are judged in float32."""
        x = img.to(dtype)
        for resolution in self.config.resolutions[:0:-1]:
            x = getattr(self, f"b{resolution}")(x)
        return self.b4(x.float())
