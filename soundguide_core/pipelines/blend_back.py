"""An edit of a generator's picture of a photograph, carried to the photograph itself, at its own resolution.

    change = after - before;   y = transfer_detail(photo, copy, copy + change)      (media/detail_transfer.py)

with copy the photograph as small as the generator's pictures. What the edit left alone stays the photograph's to the
bit. Where the generator saw its middle alone, the light of the edit goes on beyond the border and fades.
Axes: B batch, H W the photograph, R the generator's resolution.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..common.errors import InputError, check_number
from ..common.shapes import check_shape
from ..media.detail_transfer import transfer_detail
from ..media.images import resize
from ..systems.configs.projection import FITS

BORDER = 1 / 32  # of the generator's side, which is not like the rest
FADE = 0.25  # of the generator's side, over which an edit fades beyond it


@torch.no_grad()
def blend_back(photo: Tensor, before: Tensor, after: Tensor, *, fit: str = "crop", keep: float = 1.0) -> Tensor:
    """photo [B,3,H,W] or [1,3,H,W], the generator's picture of it before and after an edit [B,3,R,R] => [B,3,H,W].

    All in -1..1, beyond which nothing counts. fit: how the picture was found, ProjectionConfig.fit. keep: 0..1, how
    much of the photograph's own contrast comes back where the edit painted over it.

    Raises:
        InputError: shapes disagree, or there is no such fit.
    """
    sizes = check_shape(after, "B 3 R R", name="the edited picture")
    check_shape(photo, "B 3 H W", name="the photograph")
    check_number(keep, "The share of contrast that is kept", low=0, high=1)
    if fit not in FITS:
        raise InputError(f"There is no fit {fit!r}.", f"Use one of: {', '.join(FITS)}.")
    if before.shape[1:] != after.shape[1:] or not {len(photo), len(before), len(after)} <= {1, sizes["B"]}:
        raise InputError(
            f"A photograph {list(photo.shape)} meets pictures {list(before.shape)} and {list(after.shape)}.",
            "Take both pictures from one edit of that photograph.",
        )
    photo = photo.expand(len(after), -1, -1, -1).to(after)
    change = _inner(after.clamp(-1, 1) - before.clamp(-1, 1))  # as they are shown: a generator paints beyond white
    if fit == "whole":
        copy = resize(photo, (sizes["R"], sizes["R"]), "stretch")
        return transfer_detail(photo, copy, (copy + change).clamp(-1, 1), keep=keep)
    height, width = photo.shape[2:]
    scale = sizes["R"] / min(height, width)
    small = (max(round(height * scale), sizes["R"]), max(round(width * scale), sizes["R"]))
    copy = resize(photo, small, "stretch")
    around = _around(small, sizes["R"])
    seen = F.pad(torch.ones_like(after[:, :1]), around)
    made = transfer_detail(photo, copy, (copy + F.pad(change, around)).clamp(-1, 1), seen, keep=keep)
    share = F.interpolate(_fading(small, around, sizes["R"]).to(photo), (height, width), mode="bilinear")
    return photo + share * (made - photo)


def _inner(change: Tensor) -> Tensor:
    """The change without what a generator paints along its border, where convolutions see zeros: the inner part goes
    on to there."""
    border = max(round(BORDER * change.shape[-1]), 1)
    return F.pad(change[..., border:-border, border:-border], [border] * 4, mode="replicate")


def _around(small: tuple[int, int], side: int) -> tuple[int, int, int, int]:
    """(left, right, top, bottom), what of the small copy lies around the generator's square in its middle."""
    top, left = (small[0] - side) // 2, (small[1] - side) // 2
    return left, small[1] - side - left, top, small[0] - side - top


def _fading(small: tuple[int, int], around: tuple[int, int, int, int], side: int) -> Tensor:
    """[1,1,h,w]: 1 in the square, falling to 0 over FADE of its side."""
    left, _, top, _ = around

    def distance(count: int, first: int) -> Tensor:
        at = torch.arange(count)
        return torch.maximum(first - at, at - (first + side - 1)).clamp(min=0)

    beyond = torch.maximum(distance(small[0], top)[:, None], distance(small[1], left)[None])
    return (1 - beyond / (FADE * side)).clamp(min=0)[None, None]
