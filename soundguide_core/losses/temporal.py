"""How frames follow one another. Axes: B batch, F frames, L layers, D dims, H W."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from .perceptual import pyramid_distance


def change(frames: Tensor) -> Tensor:
    """Mean absolute difference between neighbouring frames: [B,F,3,H,W] => [B,F-1]."""
    return (frames[:, 1:] - frames[:, :-1]).abs().mean(dim=(2, 3, 4))


def change_distance(frames: Tensor, target: Tensor) -> Tensor:
    """How differently two videos move: the distance between their frame differences, [B,F,3,H,W] twice => [B].

    Neighbours are compared over 1/4 of the size: what moves there is light and weather, not single drops.
    """
    moved = (x[:, 1:] - x[:, :-1] for x in (frames, target))
    ours, theirs = (F.avg_pool2d(m.flatten(0, 1), min(4, *m.shape[-2:])) for m in moved)
    distance = pyramid_distance(ours, theirs, levels=1)  # [B(F-1)]
    return distance.view(len(frames), -1).mean(dim=1)


def code_distance(ws: Tensor, mean: Tensor) -> Tensor:
    """||w_hat - w_bar||^2, the mean over layers and dims: [B,L,D], w_bar [L,D] or [B,L,D] => [B]."""
    return (ws - mean).square().mean(dim=(1, 2))
