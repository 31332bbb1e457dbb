"""3x3 convolutions on the processor with a quarter of the multiplications: Winograd's F(4x4, 3x3).

A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016: a tile of 4x4 outputs is
Y = A^T [(G g G^T) * (B^T d B)] A, whose products over all channels are 36 matrix products instead of 144. The kernels
G g G^T are kept, for a frozen network has the same ones at every call. A layer runs in strips of rows that stay in the
processor's cache, and what a layer does beside the convolution (style, demodulation, noise, bias, activation) is done
to a strip while it is there.

For rendering: nothing here can be differentiated. Rounding is about four times that of a direct convolution.
Axes: B batch, H W, I channels in, O channels out, T tiles.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

B_T = (
    (4.0, 0.0, -5.0, 0.0, 1.0, 0.0),
    (0.0, -4.0, -4.0, 1.0, 1.0, 0.0),
    (0.0, 4.0, -4.0, -1.0, 1.0, 0.0),
    (0.0, -2.0, -1.0, 2.0, 1.0, 0.0),
    (0.0, 2.0, -1.0, -2.0, 1.0, 0.0),
    (0.0, 4.0, 0.0, -5.0, 0.0, 1.0),
)
G = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
A_T = (
    (1.0, 1.0, 1.0, 1.0, 1.0, 0.0),
    (0.0, 1.0, -1.0, 2.0, -2.0, 0.0),
    (0.0, 1.0, 1.0, 4.0, 4.0, 0.0),
    (0.0, 1.0, -1.0, 8.0, -8.0, 1.0),
)
TILE, SEEN = 4, 6  # outputs along a side of a tile, inputs that they are made of
SMALLEST = 16  # H and W from which it pays
STRIP = 2**20  # numbers of a strip's transformed inputs or products, about
FEW = 128  # tiles of a strip at least, so that the kernels are not read from memory for a few products


@dataclass
class Kernels:
    """G g G^T [36,I,O] of one weight, and which weight they were made of."""

    made: Tensor
    of: tuple[int, int]

    @classmethod
    def keep(cls, kept: Kernels | None, weight: Tensor) -> Kernels:
        """kept, if it is of this weight [O,I,3,3] as it is now, or new ones."""
        of = (weight.data_ptr(), 0 if weight.is_inference() else weight._version)
        if kept is not None and kept.of == of:
            return kept
        with torch.inference_mode(False), torch.no_grad():  # they outlive the caller's mode
            g = torch.tensor(G, dtype=torch.float64)
            taps = weight.detach().permute(3, 2, 1, 0).flatten(2).flatten(0, 1).double()  # [9,I*O], columns first
            made = torch.mm(torch.kron(g, g), taps).float()
            return cls(made.unflatten(1, (weight.shape[1], weight.shape[0])), of)


@dataclass(frozen=True)
class Around:
    """What happens to the maps [B,H,W,C] before and after the convolution.

    y = clamp(lrelu(conv(x * style) * scale + offset, slope)), with style [B,1,1,I], scale [B,1,1,O] and offset
    [B or 1, H or 1, W or 1, O]. slope 1: linear.
    """

    style: Tensor
    scale: Tensor
    offset: Tensor
    clamp: float | None
    slope: float = 0.2


def only_renders(x: Tensor, *others: Tensor) -> bool:
    """Whether a layer's float32 map is on the processor and nothing is differentiated, compiled or cast."""
    if x.device.type != "cpu" or x.dtype != torch.float32 or torch.is_autocast_enabled("cpu"):
        return False
    differentiates = torch.is_grad_enabled() and any(y.requires_grad for y in (x, *others))
    return not differentiates and not torch.compiler.is_compiling()


def pays(x: Tensor, weight: Tensor) -> bool:
    """Whether a layer of 3x3 kernels has a map [B,I,H,W] that is large enough, and kernels that stay as they are."""
    frozen = not weight.requires_grad and weight.dtype == torch.float32
    return frozen and tuple(weight.shape[2:]) == (3, 3) and min(x.shape[2:]) >= SMALLEST


@torch.no_grad()
def conv3x3(x: Tensor, kernels: Tensor, around: Around, *, padding: int = 1) -> Tensor:
    """x [B,I,H,W], kernels [36,I,O] => [B,O,H',W'] with H' = H + 2 padding - 2, channels last.

    Where H' or W' is no multiple of 4, the last tiles reach beyond the map and are cut; offset is then the same at all
    places.
    """
    nhwc = x.permute(0, 2, 3, 1).contiguous()
    batch, height, width, size_in = nhwc.shape
    height, width, size = height + 2 * padding - 2, width + 2 * padding - 2, kernels.shape[2]
    tiled_height, tiled_width = (-(-side // TILE) * TILE for side in (height, width))
    out = torch.empty(batch, tiled_height, tiled_width, size)
    rows = _rows_of_a_strip(tiled_height, tiled_width, max(size_in, size))
    space = _Space(rows, tiled_width, size_in, size)
    offset = around.offset.expand(batch, tiled_height, tiled_width, size)
    for b in range(batch):
        for top in range(0, tiled_height, rows):
            strip = out[b, top : top + rows]
            space.take(nhwc[b], top, padding, around.style[b])
            tiles, scale = space.convolve(kernels), around.scale[b, :, None, None]
            torch.addcmul(_tiled(offset[b, top : top + rows]), tiles, scale, out=_tiled(strip))
            if around.slope != 1:
                F.leaky_relu_(strip, around.slope)
            if around.clamp is not None:
                strip.clamp_(-around.clamp, around.clamp)
    return out[:, :height, :width].permute(0, 3, 1, 2)


def finish(x: Tensor, offset: Tensor, scale: Tensor, clamp: float | None) -> Tensor:
    """clamp(lrelu(x * scale + offset, 0.2)) in x's own memory"""
    F.leaky_relu_(torch.addcmul(offset, x, scale, out=x), 0.2)
    return x if clamp is None else x.clamp_(-clamp, clamp)


def _tiled(x: Tensor) -> Tensor:
    """[H,W,O] => [H/4,4,W/4,4,O], the same memory"""
    return x.unflatten(1, (-1, TILE)).unflatten(0, (-1, TILE))


def _rows_of_a_strip(height: int, width: int, size: int) -> int:
    """A divisor of height that is a multiple of TILE."""
    rows = height
    while rows % (2 * TILE) == 0:
        tiles = rows * width // TILE**2
        if SEEN**2 * tiles * size <= STRIP or tiles <= FEW:
            break
        rows //= 2
    return rows


class _Space:
    """Memory for one strip, used again for the next."""

    def __init__(self, rows: int, width: int, size_in: int, size: int):
        self.h, self.w = h, w = rows // TILE, width // TILE
        self.b_t, self.a_t = torch.tensor(B_T), torch.tensor(A_T)
        self.padded = torch.zeros(rows + 2, width + 2, size_in)
        line = self.padded[0].numel()
        self.lines = self.padded.as_strided((h, SEEN, line), (TILE * line, line, 1))  # neighbours have two in common
        self.halved = torch.empty(h, SEEN, line)
        self.patches = torch.empty(SEEN, SEEN, h, w, size_in)
        self.inputs = torch.empty_like(self.patches)
        self.products = torch.empty(SEEN**2, h * w, size)
        self.halved_back = torch.empty(TILE, SEEN * h * w * size)
        self.tiles = torch.empty(TILE, TILE, h * w * size)

    def take(self, x: Tensor, top: int, padding: int, style: Tensor) -> None:
        """x [H,W,I] times style: the rows that the outputs from top on are made of, zeros beyond the map."""
        first = top - padding  # row of x that is the first here
        used = slice(max(first, 0), min(first + len(self.padded), len(x)))
        above, below = used.start - first, used.stop - first
        self.padded[:above].zero_()
        self.padded[below:].zero_()
        columns = slice(padding, min(padding + x.shape[1], self.padded.shape[1]))
        shown = x[used, : columns.stop - padding]
        torch.mul(shown, style, out=self.padded[above:below, columns])

    def convolve(self, kernels: Tensor) -> Tensor:
        """The convolution in tiles, [H/4,4,W/4,4,O]"""
        h, w = self.h, self.w
        torch.bmm(self.b_t.expand(h, -1, -1), self.lines, out=self.halved)  # B^T d
        halved = self.halved.view(h, SEEN, TILE * w + 2, -1).transpose(0, 1)
        for j in range(SEEN):
            self.patches[j] = halved[:, :, j : j + TILE * w - 3 : TILE]
        torch.mm(self.b_t, self.patches.flatten(1), out=self.inputs.flatten(1))  # (B^T d) B, [6 columns, 6 rows, ...]
        torch.bmm(self.inputs.view(SEEN**2, h * w, -1), kernels, out=self.products)
        torch.mm(self.a_t, self.products.view(SEEN, -1), out=self.halved_back)
        torch.matmul(self.a_t, self.halved_back.view(TILE, SEEN, -1), out=self.tiles)  # [4 columns, 4 rows, ...]
        return self.tiles.view(TILE, TILE, h, w, -1).permute(2, 1, 3, 0, 4)
