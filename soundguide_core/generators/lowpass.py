"""Alias-Free Generative Adversarial Networks (Karras et al. 2021), appendices C.1 and C.2: low-pass filters, and the
leaky ReLU that they keep within its band. Plain torch, differentiable; filtered_lrelu for rendering on the processor.

Axes: B batch, C channels, H W, N taps, S samples at the higher rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from . import compiled

BLOCK = 64  # channels that go through the compiled loop together: their rows stay in the processor's cache


def lowpass_filter(taps: int, cutoff: float, width: float, rate: float, *, radial: bool = False) -> Tensor:
    """Kaiser-windowed low-pass filter [N] to run along each axis, or [N,N] with a radial (jinc) response. Sums to 1.

    cutoff and the transition band's width are in cycles per image width, rate in samples per image width.
    """
    position = torch.arange(taps, dtype=torch.float64) - (taps - 1) / 2
    window = torch.kaiser_window(taps, periodic=False, beta=kaiser_beta(taps, width / (rate / 2)), dtype=torch.float64)
    if radial:
        r = torch.hypot(*torch.meshgrid(position, position, indexing="ij")) / rate
        response = torch.special.bessel_j1(2 * math.pi * cutoff * r) / (math.pi * r) * torch.outer(window, window)
    else:
        response = torch.sinc(2 * cutoff / rate * position) * window
    return (response / response.sum()).float()


def kaiser_beta(taps: int, width: float) -> float:
    """The window's shape for a transition band of the given width, a share of the Nyquist frequency (Kaiser 1974)."""
    attenuation_db = 2.285 * (taps - 1) * math.pi * width + 7.95
    if attenuation_db > 50:
        return 0.1102 * (attenuation_db - 8.7)
    if attenuation_db > 21:
        return 0.5842 * (attenuation_db - 21) ** 0.4 + 0.07886 * (attenuation_db - 21)
    return 0.0


def upsample(x: Tensor, kernel: Tensor, factor: int, before: int, size: int) -> Tensor:
    """x [B,C,H,W] with factor - 1 zeros after each sample and `before` zeros before the first, filtered along both axes
    by kernel [N] times factor => [B,C,size,size]. before is at most N - 1."""
    weight = (kernel * factor).to(x).expand(x.shape[1], 1, -1)
    crop = len(kernel) - 1 - before
    along_h = {"stride": (factor, 1), "padding": (crop, 0), "groups": x.shape[1]}
    along_w = {"stride": (1, factor), "padding": (0, crop), "groups": x.shape[1]}
    x = F.conv_transpose2d(x, weight[..., None], **along_h)[:, :, :size]
    return F.conv_transpose2d(x, weight[:, :, None], **along_w)[:, :, :, :size]


def downsample(x: Tensor, kernel: Tensor, factor: int) -> Tensor:
    """x [B,C,H,W] filtered by kernel, [N] along both axes or [N,N], without padding; every factor-th sample kept."""
    channels = x.shape[1]
    kernel = kernel.to(x)
    if kernel.ndim == 2:
        return F.conv2d(x, kernel.flip(0, 1).expand(channels, 1, -1, -1), stride=factor, groups=channels)
    kernel = kernel.flip(0).expand(channels, 1, -1)
    x = F.conv2d(x, kernel[..., None], stride=(factor, 1), groups=channels)
    return F.conv2d(x, kernel[:, :, None], stride=(1, factor), groups=channels)


@dataclass(frozen=True)
class Filter:
    """Taps [N], for both axes alike, or [N,N], and the factor between the two rates."""

    taps: Tensor
    factor: int

    def suits(self, count: int) -> bool:
        """Whether the compiled loop takes it: so many taps for each sample of the lower rate, and for [N,N] the same
        rows from both ends."""
        even = self.taps.ndim == 1 or torch.allclose(self.taps, self.taps.flip(0), rtol=0, atol=1e-7)
        return even and len(self.taps) == count * self.factor


def filtered_lrelu(
    x: Tensor, up: Filter, down: Filter, before: int, size: int, clamp: float | None, loops: ModuleType
) -> Tensor:
    """downsample(clamp(lrelu(upsample(x, up, before, size), 0.2)), down) in one go: x [B,C,H,W] => [B,C,h,w], channels
    last. loops: those of compiled.loops_for, whose number of taps both filters have."""
    maps, channels, taps = compiled.array(x.permute(0, 2, 3, 1)), x.shape[1], len(down.taps)
    starts, weights = _samples(up, before, size)
    small = (size - taps) // down.factor + 1
    turned = down.taps.flip(0, 1)[: taps // 2] if down.taps.ndim == 2 else down.taps.flip(0)[None]
    out = torch.empty(len(x), small, small, channels)
    result, turned, blocks = out.numpy(), compiled.array(turned), -(-channels // BLOCK)
    bound = np.float32(math.inf if clamp is None else clamp)

    def filter_blocks(first: int, last: int) -> None:
        for i in range(first, last):
            b, c = i // blocks, i % blocks * BLOCK
            loops.filtered_lrelu(maps[b], up.factor, starts, weights, turned, down.factor, np.float32(0.2), bound,
                                 c, min(c + BLOCK, channels), result[b])  # fmt: skip

    compiled.share(len(x) * blocks, filter_blocks)
    return out.permute(0, 3, 1, 2)


def _samples(up: Filter, before: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each sample at the higher rate: the first sample of the lower one that it is made of [S], and the weights of
    it and those after it [S,N/factor]."""
    taps = compiled.array(up.taps) * up.factor
    at = np.arange(size) + len(taps) - 1 - before  # y[at] = sum of x[i] taps[at - i factor]
    starts = -(-(at - len(taps) + 1) // up.factor)
    places = at[:, None] - (starts[:, None] + np.arange(len(taps) // up.factor)) * up.factor
    return starts, taps[places]
