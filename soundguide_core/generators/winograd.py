"""3x3 convolutions on the processor with a fraction of the multiplications: Winograd's F(4x4,3x3) and F(6x6,3x3).

A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016: a tile of outputs is
Y = A^T [(G g G^T) * (B^T d B)] A, whose products over all channels are one matrix product for each of its points. The
kernels G g G^T are kept, for a frozen network has the same ones at every call. A layer runs in strips of rows, or in
several small maps at once, and what a layer does beside the convolution (style, demodulation, noise, bias, activation)
is done to a row of tiles while it is in the processor's cache.

For rendering: nothing here can be differentiated. Rounding is some five times that of a direct convolution.
Axes: B batch, H W, I channels in, O channels out, T tiles, P points along a side of a tile.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual

from . import compiled
from .kept import ALIGNED, aligned
from .toom_cook import Matrix, toom_cook

SMALLEST = 16  # H and W from which it pays
LARGE_FROM = 48  # from here on the larger tile; smaller maps are no multiples of it
STRIP = 2**23  # numbers of a strip's transformed inputs or products, about: the kernels are read once a strip
SLOPE = 0.2


class Form(NamedTuple):
    """What is computed along each axis: tile outputs from seen inputs by way of so many points."""

    b_t: Matrix  # [P,seen]
    g: Matrix  # [P,3]
    a_t: Matrix  # [tile,P]

    @property
    def tile(self) -> int:
        return len(self.a_t)

    @property
    def seen(self) -> int:
        return len(self.b_t[0])

    @property
    def points(self) -> int:
        return len(self.b_t)


@cache
def same_size(tile: int) -> Form:
    """F(tile, 3): 36 products for 16 outputs, 64 for 36."""
    a_t, g, b_t = toom_cook(tile, 3, (0, 1, -1, 2, -2, 0.5, -0.5)[: tile + 1])
    return Form(b_t, g, a_t)


class Kernels(NamedTuple):
    """G g G^T [P^2,I',O'] of one weight in one form: I and O channels, and zeros up to sizes that multiply fast."""

    made: Tensor
    form: Form
    size_in: int
    size: int


def kernels_of(weight: Tensor, tile: int) -> Kernels:
    """weight [O,I,3,3], for tiles of that size"""
    form, (size, size_in) = same_size(tile), weight.shape[:2]
    padded = torch.zeros(3, 3, aligned(size_in), aligned(size), device=weight.device)
    padded[:, :, :size_in, :size] = weight.permute(3, 2, 1, 0)  # columns first
    g = torch.tensor(form.g, dtype=torch.float64)
    made = torch.mm(torch.kron(g, g).float(), padded.flatten(2).flatten(0, 1))
    return Kernels(made.unflatten(1, padded.shape[2:]), form, size_in, size)


def tile_of(x: Tensor) -> int:
    """The tile that pays most for maps [B,I,H,W]."""
    return 6 if min(x.shape[2:]) >= LARGE_FROM else 4


@dataclass(frozen=True)
class Around:
    """What happens to the maps before and after the convolution.

    y = clamp(lrelu(conv(x * style) * scale + noise + bias, slope)), with style [B,I], scale [B,O], bias [O] and noise
    [B,H,W] or [1,H,W]. slope 1: linear.
    """

    style: Tensor
    scale: Tensor
    bias: Tensor
    noise: Tensor | None = None
    clamp: float | None = None
    slope: float = SLOPE

    def offset(self) -> Tensor:
        """noise + bias: [B,H,W,O], [1,H,W,O] where the images' noise is the same, [1,1,1,O] where there is none"""
        return self.bias[None, None, None] if self.noise is None else self.noise[..., None] + self.bias

    def finish(self, x: Tensor, b: int, offset: Tensor, out: Tensor) -> None:
        """Rows x [h,W,O] of the convolution of image b => out, with their part of the offset."""
        self._activate(torch.addcmul(offset, x, self.scale[b], out=out))

    def finish_maps(self, x: Tensor) -> None:
        """x [B,O,H,W] of the convolution, channels last, in its own memory."""
        x = x.permute(0, 2, 3, 1)
        self._activate(torch.addcmul(self.offset(), x, self.scale[:, None, None], out=x))

    def _activate(self, x: Tensor) -> None:
        if self.slope != 1:
            F.leaky_relu_(x, self.slope)
        if self.clamp is not None:
            x.clamp_(-self.clamp, self.clamp)

    def arrays(self, height: int, width: int) -> tuple:
        """(scale, noise, bias, slope, clamp) as the compiled loops take them, for maps of that size."""
        noise = self.noise if self.noise is not None else torch.zeros(1, height, width)
        clamp = float("inf") if self.clamp is None else self.clamp
        return (*(compiled.array(x) for x in (self.scale, noise, self.bias)), np.float32(self.slope), np.float32(clamp))


def only_renders(x: Tensor, *others: Tensor) -> bool:
    """Whether there are float32 maps [B,...] on the processor, and nothing is differentiated, compiled or cast."""
    if x.device.type != "cpu" or not len(x) or x.dtype != torch.float32 or torch.is_autocast_enabled("cpu"):
        return False
    differentiates = torch.is_grad_enabled() and any(y.requires_grad for y in (x, *others))
    if differentiates or torch.compiler.is_compiling():
        return False
    return all(unpack_dual(y).tangent is None for y in (x, *others))  # of differentiation in forward mode


def frozen3x3(weight: Tensor) -> bool:
    """Whether kernels are [O,I,3,3] and stay as they are."""
    return not weight.requires_grad and weight.dtype == torch.float32 and tuple(weight.shape[2:]) == (3, 3)


def pays(x: Tensor, weight: Tensor) -> bool:
    """Whether a layer of frozen 3x3 kernels has a map [B,I,H,W] that is large enough."""
    return frozen3x3(weight) and min(x.shape[2:]) >= SMALLEST


@torch.no_grad()
def conv3x3(
    x: Tensor, kernels: Kernels, around: Around, *, padding: int = 1, loops: ModuleType | None = None
) -> Tensor:
    """x [B,I,H,W] => [B,O,H',W'] with H' = H + 2 padding - 2, channels last. loops: those of compiled.loops_for."""
    batch, height, width = len(x), x.shape[2] + 2 * padding - 2, x.shape[3] + 2 * padding - 2
    out = torch.empty(batch, height, width, kernels.size)
    if loops is not None and kernels.form.tile == loops.TILE:
        _convolve_compiled(loops, x, kernels, around, padding, out)
        return out.permute(0, 3, 1, 2)
    offset = around.offset()
    for b, top, row in _tile_rows(x, kernels, around.style, padding, height, width):
        rows, added = slice(top, min(top + len(row), height)), offset[b % len(offset)]
        added = added[rows] if len(added) > 1 else added
        around.finish(row[: rows.stop - top, :width], b, added, out[b, rows])
    return out.permute(0, 3, 1, 2)


def _convolve_compiled(
    loops: ModuleType, x: Tensor, kernels: Kernels, around: Around, padding: int, out: Tensor
) -> None:
    """conv3x3 into out [B,H',W',O], in strips of tiles that are counted over all images."""
    points, wide_in, wide_out = kernels.made.shape
    wide = -(-out.shape[2] // loops.TILE)
    tiles = len(out) * -(-out.shape[1] // loops.TILE) * wide
    strip = -(-tiles // -(-tiles * points * max(wide_in, wide_out) // STRIP))
    # some numbers between the points: what is a power of two apart would share a few places of the cache
    inputs = torch.zeros(points, strip * wide_in + ALIGNED)
    products = torch.empty(points, strip * wide_out + ALIGNED)
    maps, style = compiled.array(x.permute(0, 2, 3, 1)), compiled.array(around.style)
    finishing, result = around.arrays(*out.shape[1:3]), out.numpy()
    for start in range(0, tiles, strip):
        count = min(strip, tiles - start)

        def take(first: int, last: int, start: int = start) -> None:
            loops.to_points(maps, style, padding, wide, start + first, start + last, start, wide_in, inputs.numpy())

        def give(first: int, last: int, start: int = start) -> None:
            given = (start + first, start + last, start, wide_out)
            loops.from_points(products.numpy(), *finishing, wide, *given, result)

        compiled.share(count, take)
        torch.bmm(
            inputs[:, : count * wide_in].unflatten(1, (count, wide_in)),
            kernels.made,
            out=products[:, : count * wide_out].unflatten(1, (count, wide_out)),
        )
        compiled.share(count, give)


def _tile_rows(
    x: Tensor, kernels: Kernels, style: Tensor, padding: int, height: int, width: int
) -> Iterator[tuple[int, int, Tensor]]:
    """(image, first row, outputs [tile, W' >= width, O]) of x * style, a row of tiles at a time, image after image.

    The outputs' memory is used again for the next row.
    """
    form, nhwc = kernels.form, x.permute(0, 2, 3, 1)
    nhwc = nhwc if nhwc.stride(3) == 1 else nhwc.contiguous()
    high, wide = -(-height // form.tile), -(-width // form.tile)
    numbers = form.points**2 * wide * max(kernels.size_in, kernels.size)
    rows = max(1, min(high, STRIP // numbers))
    rows = -(-high // -(-high // rows))  # strips of about one size
    images = max(1, min(len(x), STRIP // (numbers * high))) if rows == high else 1
    spaces: dict[tuple[int, int], _Space] = {}
    for first in range(0, len(x), images):
        for top in range(0, high, rows):
            size = (min(images, len(x) - first), min(rows, high - top))
            if size not in spaces:
                spaces[size] = _Space(form, *size, wide, kernels.size_in, kernels.size)
            space = spaces[size]
            for i in range(size[0]):
                space.take(i, nhwc[first + i], top * form.tile - padding, padding, style[first + i])
            tiles = space.convolve(kernels.made[:, : kernels.size_in, : kernels.size])
            for i in range(size[0]):
                for row in range(size[1]):
                    space.row.view(form.tile, wide, form.tile, -1).copy_(tiles[i, row])
                    yield first + i, (top + row) * form.tile, space.row


class _Space:
    """Memory for one strip: h rows of w tiles in each of n images. Used again for the next.

    The images stand under each other, a tile's rows further apart than they need, so that all their rows of tiles lie
    evenly; between two images there is then one row of tiles of no use.
    """

    def __init__(self, form: Form, n: int, h: int, w: int, size_in: int, size: int):
        self.form, self.n, self.h, self.w = form, n, h, w
        tile, seen, points = form.tile, form.seen, form.points
        self.b_t, self.a_t = torch.tensor(form.b_t), torch.tensor(form.a_t)
        self.padded = torch.zeros(n, (h + 1) * tile, w * tile + seen - tile, size_in)
        line = self.padded[0, 0].numel()
        self.lines = self.padded.as_strided((n * (h + 1) - 1, seen, line), (tile * line, line, 1))
        self.halved = torch.empty(n * (h + 1), points, line)
        self.patches = torch.empty(seen, points, n, h, w, size_in)
        self.inputs = torch.empty(points**2, n * h * w, size_in)
        self.products = torch.empty(points**2, n * h * w, size)
        self.halved_back = torch.empty(tile, points * n * h * w * size)
        self.tiles = torch.empty(tile, tile, n * h * w * size)
        self.row = torch.empty(tile, w * tile, size)

    def take(self, i: int, x: Tensor, first: int, left: int, style: Tensor) -> None:
        """x [H,W,I] times style as the i-th image, from its row `first` on, with so many zeros at its left."""
        padded = self.padded[i, : self.h * self.form.tile + self.form.seen - self.form.tile]
        used = slice(max(first, 0), min(first + len(padded), len(x)))
        above, below = used.start - first, used.stop - first
        padded[:above].zero_()
        padded[below:].zero_()
        columns = slice(left, min(left + x.shape[1], padded.shape[1]))
        torch.mul(x[used, : columns.stop - left], style, out=padded[above:below, columns])

    def convolve(self, kernels: Tensor) -> Tensor:
        """The convolution in tiles, [n,h,tile,w,tile,O]"""
        n, h, w, tile, points = self.n, self.h, self.w, self.form.tile, self.form.points
        torch.bmm(self.b_t.expand(len(self.lines), -1, -1), self.lines, out=self.halved[:-1])  # B^T d
        halved = self.halved.view(n, h + 1, points, self.padded.shape[2], -1)[:, :h].permute(2, 0, 1, 3, 4)
        for j in range(self.form.seen):
            self.patches[j] = halved[:, :, :, j : j + tile * (w - 1) + 1 : tile]
        torch.mm(self.b_t, self.patches.flatten(1), out=self.inputs.view(points, -1))  # (B^T d) B, columns first
        torch.bmm(self.inputs, kernels, out=self.products)
        torch.mm(self.a_t, self.products.view(points, -1), out=self.halved_back)
        torch.matmul(self.a_t, self.halved_back.view(self.form.tile, points, -1), out=self.tiles)
        return self.tiles.view(*self.tiles.shape[:2], n, h, w, -1).permute(2, 3, 1, 4, 0, 5)
