"""Analyzing and Improving the Image Quality of StyleGAN (Karras et al. 2020), the operations: equalised layers, FIR
resampling and the modulated convolution of section 2.2, in plain torch, twice differentiable.

Every operation computes in the dtype of x; parameters stay float32 and are cast at use.
Axes: B batch, H W, I channels in, O channels out, K kernel, D dims.
"""

from __future__ import annotations

import math
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BINOMIAL = (1.0, 3.0, 3.0, 1.0)  # the published resample filter; a constant, so it is not part of any state
SQRT2 = math.sqrt(2.0)


def rms_norm(x: Tensor) -> Tensor:
    """x [B,D] scaled to mean square 1 (StyleGAN's pixel norm)."""
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


def act(x: Tensor, *, gain: float = 1.0, clamp: float | None = None) -> Tensor:
    """clamp(sqrt(2) * gain * lrelu(x, 0.2)), the bound times gain."""
    x = F.leaky_relu(x, 0.2) * (SQRT2 * gain)
    return x if clamp is None else x.clamp(-clamp * gain, clamp * gain)


# ---- FIR resampling


@cache
def fir(taps: tuple[float, ...], gain: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The outer product of taps [K], flipped, its sum gain: [K,K]. Sent to a device once."""
    with torch.inference_mode(False):  # it outlives the caller's mode
        kernel = torch.tensor(taps, dtype=torch.float64)
        kernel = torch.outer(kernel, kernel).flip(0, 1)
        return (kernel * (gain / kernel.sum())).to(device, dtype)


def upfirdn2d(
    x: Tensor,
    taps: tuple[float, ...] = BINOMIAL,
    *,
    up: int = 1,
    down: int = 1,
    pad: tuple[int, int] = (0, 0),
    gain: float = 1.0,
) -> Tensor:
    """Zero insertion, zero padding, convolution with the outer product of taps, decimation.

    x [B,C,H,W]; pad (before, after) on both axes, negative crops; the taps are scaled to sum 1, the result by gain.
    """
    channels = x.shape[1]
    kernel = fir(taps, gain, x.dtype, x.device)
    if up > 1:
        batch, _, height, width = x.shape
        x = F.pad(x.reshape(batch, channels, height, 1, width, 1), [0, up - 1, 0, 0, 0, up - 1])
        x = x.reshape(batch, channels, height * up, width * up)
    inside = pad[0] if pad[0] == pad[1] >= 0 else 0  # the convolution pads by itself where both sides are alike
    if not inside:
        x = F.pad(x, [pad[0], pad[1], pad[0], pad[1]])
    return F.conv2d(x, kernel.expand(channels, 1, -1, -1), stride=down, padding=inside, groups=channels)


def upsample2d(img: Tensor) -> Tensor:
    """img [B,C,H,W] => [B,C,2H,2W] through the published filter.

    [1,3,3,1] with zeros beyond the border is bilinear interpolation of the zero-padded image, cropped.
    """
    img = F.interpolate(F.pad(img, [1, 1, 1, 1]), scale_factor=2, mode="bilinear", align_corners=False)
    return img[:, :, 2:-2, 2:-2]


def conv2d_up(x: Tensor, weight: Tensor) -> Tensor:
    """Factor 2 up with a 3x3 kernel: x [B,I,H,W], weight [O,I,3,3] => [B,O,2H,2W].

    The kernel goes unflipped to the transposed convolution, as published checkpoints store it.
    """
    x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)  # [B,O,2H+1,2W+1]
    return upfirdn2d(x, pad=(1, 1), gain=4)


def conv2d_down(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Factor 2 down: x [B,I,H,W], weight [O,I,K,K] with K 1 or 3 => [B,O,H/2,W/2].

    The filter runs at full size and the convolution drops every other sample: a filter with a stride is slow.
    """
    before = 1 if weight.shape[-1] == 1 else 2
    return F.conv2d(upfirdn2d(x, pad=(before, before)), weight, bias, stride=2)


# ---- modulated convolution


def demodulation(weight: Tensor, style: Tensor) -> Tensor:
    """1 / L2 norm of the modulated kernels: weight [O,I,K,K], style [B,I] => [B,O], without building them.  # Eq. 3"""
    return demodulation_of(energy(weight), style)


def energy(weight: Tensor) -> Tensor:
    """weight [O,I,K,K] => [O,I], squares summed over the taps."""
    return weight.square().sum(dim=(2, 3))


def demodulation_of(energy: Tensor, style: Tensor) -> Tensor:
    """demodulation, of what energy(weight) gives."""
    return torch.rsqrt(style.square() @ energy.t() + 1e-8)


def modulated_conv2d(
    x: Tensor, weight: Tensor, style: Tensor, *, up: bool = False, demodulate: bool = True, grouped: bool = False
) -> Tensor:
    """x [B,I,H,W], weight [O,I,K,K], style [B,I] => [B,O,H,W], or [B,O,2H,2W] with up.

    Two equal forms. Unfused: scale the input by the style and the output by the demodulation. Grouped: one kernel per
    sample, the batch folded into groups. The first is faster for batches and the only one quick to differentiate twice.
    """
    if grouped:
        return _modulated_grouped(x, weight, style, up, demodulate)
    x = x * style.to(x.dtype)[:, :, None, None]
    kernel = weight.to(x.dtype)
    x = conv2d_up(x, kernel) if up else F.conv2d(x, kernel, padding=weight.shape[-1] // 2)
    return x * demodulation(weight, style).to(x.dtype)[:, :, None, None] if demodulate else x


def _modulated_grouped(x: Tensor, weight: Tensor, style: Tensor, up: bool, demodulate: bool) -> Tensor:
    batch, _, height, width = x.shape
    kernels = weight * style[:, None, :, None, None]  # [B,O,I,K,K]  # Eq. 1
    if demodulate:
        kernels = kernels * torch.rsqrt(kernels.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8)  # Eq. 3
    kernels = kernels.to(x.dtype)
    x = x.reshape(1, -1, height, width)  # [1,BI,H,W]
    if up:
        x = F.conv_transpose2d(x, kernels.transpose(1, 2).flatten(0, 1), stride=2, groups=batch)
        x = upfirdn2d(x, pad=(1, 1), gain=4)
    else:
        x = F.conv2d(x, kernels.flatten(0, 1), padding=weight.shape[-1] // 2, groups=batch)
    return x.reshape(batch, -1, *x.shape[2:])


# ---- equalised layers


class FullyConnected(nn.Module):
    """Equalised linear layer [B,I] => [B,O]; weights are stored divided by lr_mul, which slows their learning by it.

    bias: its start, or None for a layer [...,I] => [...,O] without one.
    """

    def __init__(
        self, size_in: int, size_out: int, *, lr_mul: float = 1.0, bias: float | None = 0.0, act: bool = False
    ):
        super().__init__()
        weight = torch.randn(size_out, size_in)
        self.weight = nn.Parameter(weight if lr_mul == 1 else weight / lr_mul)
        self.bias = None if bias is None else nn.Parameter(torch.full([size_out], float(bias)))
        self.lr_mul, self.act = lr_mul, act

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * (self.lr_mul / math.sqrt(self.weight.shape[1]))
        x = x @ weight.t() if self.bias is None else torch.addmm(self.bias * self.lr_mul, x, weight.t())
        return act(x) if self.act else x


class Conv2d(nn.Module):
    """Equalised convolution [B,I,H,W] => [B,O,H,W], or half that size with down; lrelu and bias unless linear."""

    def __init__(
        self,
        size_in: int,
        size_out: int,
        kernel: int,
        *,
        down: bool = False,
        linear: bool = False,
        gain: float = 1.0,
        clamp: float | None = None,
    ):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(size_out, size_in, kernel, kernel))
        self.bias = None if linear else nn.Parameter(torch.zeros(size_out))
        self.down, self.gain, self.clamp = down, gain, clamp

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * (1 / math.sqrt(self.weight[0].numel()))
        if self.bias is None:
            weight = weight * self.gain
        weight = weight.to(x.dtype)
        bias = None if self.bias is None else self.bias.to(x.dtype)
        x = conv2d_down(x, weight, bias) if self.down else F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)
        return x if bias is None else act(x, gain=self.gain, clamp=self.clamp)
