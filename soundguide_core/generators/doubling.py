"""The transposed convolution of StyleGAN2's layers that double the size, where nothing is differentiated.

Small maps: PyTorch's brings the weights into another order at every call, which takes most of the time. Here that order
is kept; one matrix product is with all nine taps, whose results are then summed in their places.

Large maps: each phase of the result, its even or odd rows and columns, is a convolution of the map itself with four,
two, two and one of the taps. They stay apart, and a compiled loop filters and finishes them in one go.

Axes: B batch, H W, I channels in, O channels out.
"""

from __future__ import annotations

from types import ModuleType
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from . import compiled
from .winograd import Around

SMALL = 2**10  # places of all maps together up to which it pays


def taps_of(weight: Tensor) -> Tensor:
    """weight [O,I,3,3] as [I,9O]"""
    return weight.permute(1, 2, 3, 0).flatten(1).contiguous()


class Phases(NamedTuple):
    """One weight as the kernels of the phases, channels last."""

    even_even: Tensor  # [O,I,2,2]
    even_odd: Tensor  # [O,I,2,1]
    odd_even: Tensor  # [O,I,1,2]
    odd_odd: Tensor  # [I,O]


def phases_of(weight: Tensor) -> Phases:
    """y[2i] = w[0] x[i] + w[2] x[i - 1], y[2i + 1] = w[1] x[i], along both axes of weight [O,I,3,3]."""
    kernels = [weight[:, :, rows][:, :, :, columns] for rows in ([2, 0], [1]) for columns in ([2, 0], [1])]
    ee, eo, oe = (kernel.contiguous(memory_format=torch.channels_last) for kernel in kernels[:3])
    return Phases(ee, eo, oe, kernels[3][:, :, 0, 0].t().contiguous())


def small(x: Tensor) -> bool:
    """Whether a layer's map [B,I,H,W] is one that the product with all taps pays for."""
    return len(x) * x.shape[2] * x.shape[3] <= SMALL


@torch.no_grad()
def conv_transpose(x: Tensor, taps: Tensor) -> Tensor:
    """x [B,I,H,W], taps [I,9O] => y [B,O,2H+1,2W+1], channels last: tap (r, c) of x[i, j] is of y[2i + r, 2j + c]."""
    batch, size_in, high, wide = x.shape
    made = torch.mm(x.permute(0, 2, 3, 1).reshape(-1, size_in), taps).view(batch, high, wide, 3, 3, -1)
    y = made.new_zeros(batch, 2 * high + 1, 2 * wide + 1, made.shape[-1])
    for row in range(3):
        for column in range(3):
            y[:, row : row + 2 * high - 1 : 2, column : column + 2 * wide - 1 : 2] += made[:, :, :, row, column]
    return y.permute(0, 3, 1, 2)


@torch.no_grad()
def up_filtered(x: Tensor, phases: Phases, around: Around, loops: ModuleType) -> Tensor:
    """x [B,I,H,W], which has its style => [B,O,2H,2W], channels last: convolved, filtered by [1,3,3,1] and finished."""
    x = x.contiguous(memory_format=torch.channels_last)
    batch, _, high, wide = x.shape
    maps = [
        F.conv2d(x, phases.even_even, padding=1).permute(0, 2, 3, 1),
        F.conv2d(x, phases.even_odd, padding=(1, 0)).permute(0, 2, 3, 1),
        F.conv2d(x, phases.odd_even, padding=(0, 1)).permute(0, 2, 3, 1),
        x.permute(0, 2, 3, 1) @ phases.odd_odd,
    ]
    out = torch.empty(batch, 2 * high, 2 * wide, maps[0].shape[3])
    arrays, finishing, result = [compiled.array(y) for y in maps], around.arrays(2 * high, 2 * wide), out.numpy()
    compiled.share(
        batch * 2 * high, lambda first, last: loops.filter_phases(*arrays, *finishing, first, last, result)
    )  # fmt: skip
    return out.permute(0, 3, 1, 2)
