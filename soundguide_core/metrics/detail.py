"""How much of a picture's detail an edit of it keeps, and what becomes of a mask's surroundings.

A relief is what remains of a picture whose fine contrast is kept and whose coarse contrast is lost: a gain near 1 in
the fine octaves and near 0 in the coarse ones. Axes: F frames, O octaves, H W picture.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from ..common.shapes import check_shape

COARSEST = 16  # pixels along the shorter side, of which the coarsest octave is measured
LUMA = (0.2126, 0.7152, 0.0722)  # ITU-R BT.709


def octave_gains(img: Tensor, img_src: Tensor, mask: Tensor | None = None) -> Tensor:
    """Contrast of the source in its edit, by octaves from coarse to fine: img, img_src [F,3,H,W] => [O].

    Of brightness in bands of a Laplacian pyramid (P. J. Burt and E. H. Adelson 1983), inside mask [F,1,H,W]:
    <band, band_src> / <band_src, band_src>. 1 keeps the source's contrast, 0 none of it, below 0 is its negative.
    """
    gains = []
    for bright, source, inside in _scales(img, img_src, mask):
        band, band_src = bright - _blurred(bright), source - _blurred(source)
        gains.append((inside * band * band_src).sum() / (inside * band_src * band_src).sum().clamp(min=1e-12))
    return torch.stack(gains)


def gradient_correlation(img: Tensor, img_src: Tensor, mask: Tensor | None = None) -> Tensor:
    """Correlation of the gradients of brightness inside the mask, by octaves from coarse to fine => [O] in
    -1..1; see octave_gains."""
    found = []
    for bright, source, inside in _scales(img, img_src, mask):
        total, lengths = bright.new_zeros(()), [bright.new_zeros(()), bright.new_zeros(())]
        for dim in (-1, -2):
            n = bright.shape[dim] - 1
            both = inside.narrow(dim, 0, n) * inside.narrow(dim, 1, n)
            g, g_src = bright.diff(dim=dim), source.diff(dim=dim)
            total = total + (both * g * g_src).sum()
            lengths = [a + (both * b * b).sum() for a, b in zip(lengths, (g, g_src))]
        found.append(total / (lengths[0] * lengths[1]).sqrt().clamp(min=1e-12))
    return torch.stack(found)


def relief(img: Tensor, img_src: Tensor, mask: Tensor | None = None) -> float:
    """Gain of the finest octave over that of the coarsest: 1 where all contrast is alike, far above 1 for a relief."""
    gains = octave_gains(img, img_src, mask)
    return float(gains[-1] / gains[0].clamp(min=1e-2))


def change_outside(img: Tensor, img_src: Tensor, mask: Tensor) -> float:
    """Largest difference of values in -1..1 where mask [F,1,H,W] is 0."""
    return float(((img - img_src).abs() * (mask == 0)).max())


def _scales(img: Tensor, img_src: Tensor, mask: Tensor | None) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """(brightness, the source's, mask) at COARSEST, twice it, and so on up to the picture's own size."""
    sizes = check_shape(img, "F 3 H W", name="the edited picture")
    check_shape(img_src, f"{sizes['F']} 3 {sizes['H']} {sizes['W']}", name="the picture")
    mask = torch.ones_like(img[:, :1]) if mask is None else mask.expand(len(img), -1, -1, -1)
    h, w = img.shape[2:]
    bright, source = (torch.einsum("bchw,c->bhw", x, x.new_tensor(LUMA))[:, None] for x in (img, img_src))
    short = min(COARSEST, h, w)
    while short <= min(h, w):
        size = round(h * short / min(h, w)), round(w * short / min(h, w))
        scaled = [F.interpolate(x, size, mode="bilinear", antialias=True) for x in (bright, source, mask)]
        yield scaled[0], scaled[1], (scaled[2] > 0.9).to(img)
        short *= 2


def _blurred(x: Tensor) -> Tensor:
    h, w = x.shape[2:]
    small = F.interpolate(x, (max(h // 2, 1), max(w // 2, 1)), mode="bilinear", antialias=True)
    return F.interpolate(small, (h, w), mode="bilinear")
