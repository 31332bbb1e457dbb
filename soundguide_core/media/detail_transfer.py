"""An edit of a small copy of a picture, carried to the picture itself: its light and colour, and what it adds, over the
texture that the picture has.

Between the copy x and its edit p stands, around every pixel and in each channel, an affine map (K. He, J. Sun and X.
Tang, "Guided Image Filtering", TPAMI 2013), which leaves a residual r that does not follow the picture:

    p = mean p + a (x - mean x) + r,     a = 1 + cov(x, p - x) / (var x + EPS),  within 0..1

What the edit kept of the picture is a; where it painted over it, the picture's own contrast comes back, as far as the
new light leaves room for it, so that nothing is clipped (light that falls on what is there, or a veil in front of it):

    room = min((1 + dark) / (1 + mean x), (1 - light) / (1 - mean x), 1)
    kept = s max(keep room - a, 0),      s = 1 - h w / (H W), the share of pixels that the edit did not see
    y = mean p + a (Y - mean x) + kept (T(Y) - T(mean x)) + r

with Y the picture and T what takes away half of its colour. Where the edit changes nothing, y is Y to the bit; where
picture and copy are of one size, y is p. A difference of low resolution added to the picture, y = Y + (p - x), would
keep its fine contrast and lose the coarse, which looks like a relief.

A pixel of the copy that holds both what a mask lets through and what it does not has the colour of neither. It is left
out of the means, and r goes on into it from around; else a border in the picture would wear a halo of the other side.

Axes: F frames, H W the picture; h w its copy.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..common.shapes import check_shape
from ..common.stop import check_stop

EPS = 1e-3  # variance of values in -1..1 below which a neighbourhood has no texture that an edit could have kept
REACH = 0.25  # standard deviation of a neighbourhood, as a share of the shorter side
COLOUR = 0.5  # of the colour in what is kept of a picture against its edit: the rest is the edit's
LUMA = (0.2126, 0.7152, 0.0722)  # ITU-R BT.709
SEEN = 1e-3  # least share of a mask at which what it let through is known
MIXED = 0.01  # variance of a mask within a pixel of the copy, from which on that pixel is of two kinds
LEFT_OUT = 1e-4  # weight of such a pixel, which counts where there is no other
SIGMA = 8.0  # pixels: wider neighbourhoods are averaged on a smaller grid (He and Sun, "Fast Guided Filter", 2015)


@torch.no_grad()
def transfer_detail(
    img_src: Tensor,
    x_src: Tensor,
    x0: Tensor,
    mask: Tensor | None = None,
    *,
    mixed: Tensor | None = None,
    keep: float = 1.0,
) -> Tensor:
    """The edit of x_src carried to img_src, [F,3,H,W] in -1..1; a frame at a time, on img_src's device.

    Args:
        img_src: [F,3,H,W] in -1..1. x_src: the same at a smaller scale, [F,3,h,w]. x0: its edit, [F,3,h,w].
        mask: [F,1,h,w] in 0..1, how much of the edit is in x0: x0 = x_src + mask * change. The change is found anew
            and goes on beyond the mask's border, so that the result is to be laid on img_src by the mask at full size.
        mixed: [F,1,h,w], mixed_pixels of the mask at full size: which pixels of the copy are of two kinds.
        keep: 0..1, how much of the picture's contrast comes back where the edit painted over it.

    Raises:
        InputError: the shapes disagree.
    """
    sizes = check_shape(img_src, "F 3 H W", name="the picture")
    small = check_shape(x_src, f"{sizes['F']} 3 H W", name="its smaller copy")
    shape = f"{sizes['F']} 3 {small['H']} {small['W']}"
    check_shape(x0, shape, name="the edited copy")
    mask = torch.ones_like(x_src[:, :1]) if mask is None else mask
    check_shape(mask, shape.replace(" 3 ", " 1 "), name="the mask")
    mixed = torch.zeros_like(mask) if mixed is None else mixed
    check_shape(mixed, shape.replace(" 3 ", " 1 "), name="the mixed pixels")
    x_src, x0, mask, mixed = (x.to(img_src) for x in (x_src, x0, mask, mixed))
    rows = zip(img_src.split(1), x_src.split(1), x0.split(1), mask.split(1), mixed.split(1))
    return torch.cat([_carried(img, x, p, m, of_two, keep) for img, x, p, m, of_two in rows])


@torch.no_grad()
def mixed_pixels(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """mask [F,1,H,W] in 0..1 at full size => [F,1,h,w], 1 at each pixel of a copy of this size in which it varies."""
    mean, square = (F.interpolate(m, size, mode="bilinear", antialias=True) for m in (mask, mask.square()))
    return (square - mean.square() > MIXED).to(mask)


def _carried(img: Tensor, x: Tensor, p: Tensor, mask: Tensor, mixed: Tensor, keep: float) -> Tensor:
    check_stop()
    (height, width), sigma = img.shape[2:], REACH * min(x.shape[2:])
    size = height, width
    change = unmasked(p - x, mask)
    p = x + change
    counted = torch.where(mixed > 0, LEFT_OUT * mask, mask)
    weight = local_mean(counted, sigma).clamp(min=1e-9)

    def mean(values: Tensor) -> Tensor:
        return local_mean(counted * values, sigma) / weight

    mean_x, mean_change = mean(x), mean(change)
    variance = (mean(x * x) - mean_x * mean_x).clamp(min=0)
    covariance = mean(x * change) - mean_x * mean_change
    lost = (-covariance / (variance + EPS)).clamp(0, 1)  # 1 - a
    residual = change - mean_change + lost * (x - mean_x)  # r, as a change
    if mixed.any():
        clean = (mixed == 0) & (mask > SEEN)
        residual = extended(residual, counted * clean, clean)
        p = torch.where(clean, p, mean_x + mean_change + residual)

    dark, light = (mean_x + mean_change + p) / 2, p  # shadows of the edit let the picture through, its lights do not
    room = torch.minimum((1 + dark) / (1 + mean_x).clamp(min=EPS), (1 - light) / (1 - mean_x).clamp(min=EPS))
    seen = x[0, 0].numel() / (height * width)
    kept = max(1 - seen, 0.0) * (keep * room.clamp(0, 1) - (1 - lost)).clamp(min=0)

    mean_x, mean_change, lost, kept = (_enlarged(v, size, "bilinear") for v in (mean_x, mean_change, lost, kept))
    own = img - mean_x
    added = mean_change + _enlarged(residual, size, "bicubic")
    return (img + (added - lost * own + kept * _paler(own))).clamp(-1, 1)


def unmasked(change: Tensor, mask: Tensor) -> Tensor:
    """What a mask let through of a change, mask * change [F,3,h,w] => the change; where nothing got through, what is
    around."""
    seen = mask > SEEN
    return extended(torch.where(seen, change / mask.clamp(min=SEEN), 0), mask * seen, seen)


def extended(known: Tensor, weight: Tensor, seen: Tensor) -> Tensor:
    """Values [F,3,h,w] where they are seen, elsewhere what is around by weight [F,1,h,w]; what is far from all that is
    seen stays as it is."""
    if seen.all():
        return known
    for sigma in (1.0, 4.0, 16.0):  # from what is near; further out from what is further away
        near_weight = local_mean(weight * seen, sigma)
        near = local_mean(weight * seen * known, sigma) / near_weight.clamp(min=1e-12)
        known, seen = torch.where(seen | (near_weight < SEEN), known, near), seen | (near_weight >= SEEN)
        weight = torch.where(seen, weight.clamp(min=SEEN), 0)
    return known


def local_mean(x: Tensor, sigma: float) -> Tensor:
    """x [F,C,h,w] averaged with Gaussian weights, 0 beyond the border."""
    from kornia.filters import gaussian_blur2d

    h, w = x.shape[2:]
    factor = max(int(sigma / SIGMA), 1)
    coarse = x if factor == 1 else F.interpolate(x, (max(h // factor, 1), max(w // factor, 1)), mode="area")
    taps = 2 * int(3 * sigma / factor + 0.5) + 1
    means = gaussian_blur2d(coarse, (taps, taps), x.new_full((1, 2), sigma / factor), border_type="constant")
    return means if factor == 1 else _enlarged(means, (h, w), "bilinear")


def _enlarged(x: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    return x if x.shape[2:] == size else F.interpolate(x, size, mode=mode, antialias=True)


def _paler(x: Tensor) -> Tensor:
    """T: x [F,3,H,W] with a share COLOUR of its colour."""
    grey = (x * x.new_tensor(LUMA).view(3, 1, 1)).sum(dim=1, keepdim=True)
    return grey + COLOUR * (x - grey)
