"""Masks [F,1,H,W] in 0..1: 1 where a picture is changed, 0 where it stays."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..common.errors import InputError
from ..common.shapes import check_shape


def check_marked(mask: Tensor, invert: bool = False) -> None:
    """Refuse masks [F,1,H,W] in 0..1 of which no frame has anything to edit; invert: what is 0 is edited.

    Raises:
        InputError: they are 0 everywhere, or with invert 1 everywhere.
    """
    if not (1 - mask if invert else mask).any():
        if invert:
            raise InputError("The inverted mask marks nothing to edit.", "Leave the part to edit black.")
        raise InputError("The mask marks nothing to edit.", "Make the part to edit white, or invert the mask.")


def fitted(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """A mask [F,1,h,w] in the size (H, W) of the pictures that it is for; it must have their shape.

    Raises:
        InputError: its proportions differ from theirs by more than 2 %, or it holds values outside 0..1.
    """
    sizes = check_shape(mask, "F 1 H W", name="the mask")
    (h, w), (height, width) = (sizes["H"], sizes["W"]), size
    if not bool(((mask >= 0) & (mask <= 1)).all()):
        raise InputError("The mask holds values outside 0..1.", "Use 1 where to edit and 0 elsewhere.")
    if abs(h * width - w * height) > max(h * width, w * height) / 50:
        raise InputError(
            f"A mask of {w} x {h} does not have the shape of pictures of {width} x {height}.",
            "Give a mask of the same size as the pictures, or the same at another scale.",
        )
    mask = mask.float()
    return mask if (h, w) == size else F.interpolate(mask, size, mode="bilinear", antialias=True).clamp(0, 1)


def feathered(mask: Tensor, pixels: int) -> Tensor:
    """A mask [F,1,H,W] that rises from its border to itself over so many pixels further in; what was 0 stays 0."""
    if not pixels:
        return mask
    from scipy.ndimage import distance_transform_edt

    inwards = [
        np.inf if shown.all() else cast(np.ndarray, distance_transform_edt(shown))
        for shown in (mask[:, 0] > 0).cpu().numpy()
    ]
    ramp = [torch.as_tensor(distance / (pixels + 1)).clamp(max=1).expand(mask.shape[2:]) for distance in inwards]
    return mask * torch.stack(ramp)[:, None].to(mask)


def composite(img_src: Tensor, img: Tensor, mask: Tensor) -> Tensor:
    """img where the mask is 1, img_src to the bit where it is 0: [F,3,H,W] twice, [F,1,H,W] => [F,3,H,W]."""
    return torch.where(mask > 0, mask * img + (1 - mask) * img_src, img_src)
