"""Keeping a person's face, by a recognition network R that arrives as an argument. Axes: B batch, D dims."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from .semantic import cosine_distance


def identity_distance(recognise: Callable[[Tensor], Tensor], img: Tensor, img_src: Tensor) -> Tensor:
    """L_ID = 1 - <R(img_src), R(img)> for img, img_src [B,3,H,W] in -1..1 => [B]; the source carries no gradient."""
    with torch.no_grad():
        source = F.normalize(recognise(img_src), dim=-1)
    return cosine_distance(F.normalize(recognise(img), dim=-1), source)
