"""Likeness of pictures. Axes: B batch, H W."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def pyramid_distance(img: Tensor, target: Tensor, levels: int = 4, square: float = 0.0) -> Tensor:
    """Mean absolute difference, averaged over scales 1, 1/2, ..., 1/2^(levels-1): [B,3,H,W], [B,3,H,W] => [B].

    square: weight of the mean squared difference at scale 1, added; it minds what is small and far off.
    """
    total = levels * square * (img - target).square().mean(dim=(1, 2, 3)) if square else 0
    for level in range(levels):
        if level:
            img, target = F.avg_pool2d(img, 2), F.avg_pool2d(target, 2)
        total = total + (img - target).abs().mean(dim=(1, 2, 3))
    return total / levels
