"""The transposed convolution of StyleGAN2's layers that double the size, of small maps, as one matrix product.

PyTorch's brings the weights into another order at every call, which takes most of the time where a map is small. Here
that order is kept; the product is with all nine taps, whose results are then summed in their places. Large maps are as
fast by PyTorch's as the processor multiplies.

For rendering: nothing here can be differentiated. Axes: B batch, H W, I channels in, O channels out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

SMALL = 2**10  # places of all maps together up to which it pays


@dataclass
class Taps:
    """One weight [O,I,3,3] as [I,9O], and which weight it was made of."""

    made: Tensor
    of: tuple[int, int]

    @classmethod
    def keep(cls, kept: Taps | None, weight: Tensor) -> Taps:
        """kept, if it is of this weight as it is now; or new ones."""
        of = (weight.data_ptr(), 0 if weight.is_inference() else weight._version)
        if kept is not None and kept.of == of:
            return kept
        with torch.inference_mode(False), torch.no_grad():  # they outlive the caller's mode
            return cls(weight.detach().permute(1, 2, 3, 0).flatten(1).contiguous(), of)


def pays(x: Tensor, weight: Tensor) -> bool:
    """Whether a layer's map [B,I,H,W] is small, and its kernels [O,I,3,3] stay as they are."""
    frozen = not weight.requires_grad and weight.dtype == torch.float32
    return frozen and tuple(weight.shape[2:]) == (3, 3) and len(x) * x.shape[2] * x.shape[3] <= SMALL


@torch.no_grad()
def conv_transpose(x: Tensor, taps: Taps) -> Tensor:
    """x [B,I,H,W] => [B,O,2H+1,2W+1], channels last: tap (r, c) of x[i, j] belongs to y[2i + r, 2j + c]."""
    batch, size_in, high, wide = x.shape
    made = torch.mm(x.permute(0, 2, 3, 1).reshape(-1, size_in), taps.made).view(batch, high, wide, 3, 3, -1)
    y = made.new_zeros(batch, 2 * high + 1, 2 * wide + 1, made.shape[-1])
    for row in range(3):
        for column in range(3):
            y[:, row : row + 2 * high - 1 : 2, column : column + 2 * wide - 1 : 2] += made[:, :, :, row, column]
    return y.permute(0, 3, 1, 2)
