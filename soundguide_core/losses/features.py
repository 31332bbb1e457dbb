"""How different two pictures look to a picture tower: LPIPS without learned weights, on the tower at hand.

R. Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018, equation 1 with
w_l = 1: features of several depths, each of unit length along its channels,

    d(x, y) = 1/S sum_l 1/(H_l W_l) sum_hw || f_l(x)_hw - f_l(y)_hw ||^2

The article finds that features of any trained network serve. Axes: B batch, C channels, H W, S stages, N tokens.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..common.errors import InputError
from ..embedding.clip import ClipTowers

LEAST = 1e-6  # of a feature's length


class TowerDistance(nn.Module):
    """img, target [B,3,H,W] in -1..1 => [B], 0 where both look alike. towers: open_clip's of any kind."""

    def __init__(self, towers: ClipTowers) -> None:
        super().__init__()
        self.towers = towers
        self.stages = stages_of(towers.model.visual)

    def forward(self, img: Tensor, target: Tensor) -> Tensor:
        both = [feature_distance(a, b) for a, b in zip(self.features(img), self.features(target), strict=True)]
        return torch.stack(both).mean(0)

    def features(self, img: Tensor) -> list[Tensor]:
        """One [B,C,h,w] or [B,N,C] for each stage."""
        kept: list[Tensor] = []
        hooks = [stage.register_forward_hook(lambda _, __, out: kept.append(out.float())) for stage in self.stages]
        try:
            self.towers.encode_image(img)
        finally:
            for hook in hooks:
                hook.remove()
        return kept


def feature_distance(a: Tensor, b: Tensor) -> Tensor:
    """[B,C,h,w] or [B,N,C] twice => [B], the mean squared distance of the features, each of unit length."""
    dim = 1 if a.ndim == 4 else -1
    a, b = (F.normalize(x, dim=dim, eps=LEAST) for x in (a, b))
    return (a - b).square().sum(dim=dim).flatten(1).mean(dim=1)


def stages_of(visual: nn.Module) -> list[nn.Module]:
    """Up to four depths of a picture tower: the stages of a convolutional one, quarters of a transformer's blocks."""
    network: Any = getattr(visual, "trunk", visual)  # timm's
    for names in (("layer1", "layer2", "layer3", "layer4"), ("stages",), ("transformer.resblocks",), ("blocks",)):
        found = [_within(network, name) for name in names]
        if None in found:
            continue
        parts = list(found[0]) if len(names) == 1 and isinstance(found[0], Iterable) else found
        every = max(len(parts) // 4, 1)
        return [part for part in parts[every - 1 :: every][:4] if part is not None]
    raise InputError(
        f"{type(visual).__name__} has no stages to compare pictures by.", "Use LPIPS (vgg16), or another joint encoder."
    )


def _within(module: Any, path: str) -> Any:
    for name in path.split("."):
        module = getattr(module, name, None)
    return module
