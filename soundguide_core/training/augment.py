"""Random changes of pictures, as another camera or another hour would make them.

Axes: B batch, H W picture.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..common.memory import to_device


def augment(img: Tensor, generator: torch.Generator, *, strength: float = 1.0, far: float = 0.0) -> Tensor:
    """Another camera's picture of the same scene: warped, recoloured, blurred or grainy.

    img [B,3,H,W] in -1..1 => the same shape, in -1..1. generator: a CPU generator. far: share of pictures that are
    softened as much as a young generator's.
    """
    img = _warp(img, generator, strength)
    img = _recolour(img, generator, strength)
    return _degrade(img, generator, strength, far).clamp(-1, 1)


def _uniform(shape: tuple[int, ...], generator: torch.Generator, low: float = -1.0, high: float = 1.0) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator)


def _warp(img: Tensor, generator: torch.Generator, strength: float) -> Tensor:
    """Crop, mirror, turn, and bend as rubber, in one resampling."""
    count = img.shape[0]
    zoom = 1 - 0.35 * strength * torch.rand(count, generator=generator)
    angle = math.radians(8) * strength * _uniform((count,), generator)
    mirror = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    shift = (1 - zoom)[:, None] * _uniform((count, 2), generator)
    stretch = 1 + 0.12 * strength * _uniform((count,), generator)
    cos, sin = zoom * angle.cos(), zoom * angle.sin()
    theta = torch.stack(
        [
            torch.stack([mirror * cos, -sin * stretch, shift[:, 0]], 1),
            torch.stack([mirror * sin, cos * stretch, shift[:, 1]], 1),
        ],
        1,
    )
    grid = F.affine_grid(theta, list(img.shape), align_corners=False)
    rubber = F.interpolate(
        0.035 * strength * torch.randn(count, 2, 7, 7, generator=generator),
        img.shape[2:],
        mode="bicubic",
        align_corners=False,
    )
    grid = grid + rubber.permute(0, 2, 3, 1)  # [B,2,H,W] => [B,H,W,2]
    grid = to_device(grid, img.device, img.dtype)
    return F.grid_sample(img, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _recolour(img: Tensor, generator: torch.Generator, strength: float) -> Tensor:
    """Saturation, a colour cast, contrast, brightness; one picture in ten loses its colour."""
    count = img.shape[0]
    saturation = 1 + 0.5 * strength * _uniform((count, 1, 1), generator)
    saturation = torch.where(torch.rand(count, 1, 1, generator=generator) < 0.1 * strength, torch.zeros(()), saturation)
    luma = torch.tensor([0.299, 0.587, 0.114]).expand(3, 3)
    matrix = luma + saturation * (torch.eye(3) - luma)
    matrix = matrix + 0.12 * strength * _uniform((count, 3, 3), generator)
    matrix = matrix * (1 + 0.25 * strength * _uniform((count, 1, 1), generator))
    offset = 0.15 * strength * _uniform((count, 1, 1, 1), generator) + 0.06 * strength * _uniform(
        (count, 3, 1, 1), generator
    )
    matrix, offset = (to_device(x, img.device, img.dtype) for x in (matrix, offset))
    return torch.einsum("bij,bjhw->bihw", matrix, img) + offset


def _degrade(img: Tensor, generator: torch.Generator, strength: float, far: float) -> Tensor:
    """Soften or sharpen, add fine and coarse grain."""
    count, _, h, w = img.shape
    is_far = torch.rand(count, 1, 1, 1, generator=generator) < far
    soft = torch.where(to_device(is_far, img.device), coarse(img, 6), coarse(img, 2))
    amount = _uniform((count, 1, 1, 1), generator, -0.3 * strength, 0.9 * strength).clamp(max=1.0)
    img = torch.lerp(img, soft, to_device(amount, img.device, img.dtype))
    level = 0.12 * strength * torch.rand(count, 1, 1, 1, generator=generator).square()
    fine = torch.randn(img.shape, generator=generator)
    broad = F.interpolate(torch.randn(count, 3, h // 4, w // 4, generator=generator), (h, w), mode="bilinear")
    return img + to_device(level * (fine + broad), img.device, img.dtype)


def coarse(img: Tensor, factor: int) -> Tensor:
    """The picture as one `factor` times smaller shows it."""
    h, w = img.shape[2:]
    small = F.interpolate(img, (h // factor, w // factor), mode="bilinear", antialias=True)
    return F.interpolate(small, (h, w), mode="bilinear", align_corners=False)
