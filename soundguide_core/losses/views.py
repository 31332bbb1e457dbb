"""What an encoder of pictures is shown of an edited frame. Axes: F frames, D dims, H W picture."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..common.types import JointSpace
from ..embedding.clip import augmented_crops
from ..media.images import resize


def encode_views(
    joint: JointSpace,
    x: Tensor,
    x_src: Tensor,
    mask: Tensor,
    *,
    around: str,
    chunk: int,
    views: int = 0,
    seed: int = 0,
    t: int = 0,
) -> Tensor:
    """f_v(x . m), x and x_src [F,3,H,W], mask [F,1,H,W] => [1 + views,F,D]: of the whole, and of augmented views.

    around: what is shown around the mask, "source" or "grey". The views are the same ones for all frames, drawn by seed
    and level t. Of a chunk of frames the encoder computes again what it needs when their part of the gradient comes.
    """

    def encode_chunk(x: Tensor, x_src: Tensor, m: Tensor) -> Tensor:
        img = m * x + (1 - m) * x_src if around == "source" else m * x
        if img.shape[2] != img.shape[3]:  # an encoder that crops the centre would miss the sides
            side = min(img.shape[2:])
            img = resize(img, (side, side), "stretch")
        rng = torch.Generator().manual_seed((seed << 20) + t)
        imgs = [img, augmented_crops(img, views, rng, alike=True)] if views else [img]
        return joint.encode_image(torch.cat(imgs)).unflatten(0, (1 + views, -1))

    parts = zip(*(part.split(chunk) for part in (x, x_src, mask)))
    return torch.cat([checkpoint(encode_chunk, *part, use_reentrant=False) for part in parts], dim=1)
