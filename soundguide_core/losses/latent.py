"""Staying near the source in W+, layer by layer: adaptive layer masking of Lee et al. (CVPR 2022), section 3.

Axes: B batch, L layers, D dims.
"""

from __future__ import annotations

import torch
from torch import Tensor


def layer_distances(ws: Tensor, ws_src: Tensor) -> Tensor:
    """sum_d (w - w_src)^2 for ws, ws_src [B,L,D] => [B,L]. A sum: the published weights only make sense with it."""
    return (ws - ws_src).square().sum(dim=-1)


def layer_masked_distance(ws: Tensor, ws_src: Tensor, g: Tensor | None = None) -> Tensor:
    """|| g . (w - w_src) ||^2 for ws, ws_src [B,L,D], g [B,L] or None for all ones => [B]."""
    per_layer = layer_distances(ws, ws_src)
    return (per_layer if g is None else g.square() * per_layer).sum(dim=-1)


def learned_mask(m: Tensor) -> Tensor:
    """m [B,L] => g [B,L], positive with mean 1: g = L softmax(m).

    Left free, the minimum over g would be g = 0 and the source forgotten. With a fixed sum, descent takes the hold off
    layers that the sound must move and puts it on those that it need not.
    """
    return m.shape[-1] * torch.softmax(m, dim=-1)


def released_mask(m: Tensor) -> Tensor:
    """m [B,L] => the released layer weights sigmoid(m), which multiply squared distances."""
    return torch.sigmoid(m)


@torch.no_grad()
def released_mask_update(m: Tensor, ws: Tensor, ws_src: Tensor, lr: float = 0.1) -> Tensor:
    """The released hand-written rule m <- m - lr l (1 - l), l = sigmoid(m) sum_d (w - w_src)^2. [B,L] => [B,L]"""
    l = released_mask(m) * layer_distances(ws, ws_src)  # noqa: E741
    return m - lr * l * (1 - l)
