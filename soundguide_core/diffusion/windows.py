"""A video in windows of frames, and what belongs to each. Axes: F frames, H W picture."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from ..common.errors import InputError
from ..common.shapes import check_shape
from ..media.masks import fitted


def windows(frames: Iterable[Tensor], count: int) -> Iterator[Tensor]:
    """Frames as they come, each [n,3,H,W] => windows [F,3,H,W] of `count` of them, the last of what is left."""
    singles = (img for part in frames for img in part.split(1))
    while batch := list(itertools.islice(singles, count)):
        if len({img.shape for img in batch}) > 1:
            raise InputError("The frames differ in size.", "Give the frames of one video.")
        check_shape(batch[0], "F 3 H W", name="the frames")
        yield torch.cat(batch)


def next_masks(masks: Iterator[Tensor | None], img: Tensor, invert: bool = False) -> Tensor:
    """The next masks, each [1,1,h,w] or None for all of a frame => [F,1,H,W], one for each of img [F,3,H,W]."""
    given = list(itertools.islice(masks, len(img)))
    if len(given) < len(img):
        raise InputError("The video is longer than its masks.", "Give one mask for each frame, or one for all.")
    if given[0] is None:
        return img.new_ones(len(img), 1, *img.shape[2:])
    mask = torch.cat([fitted(mask, img.shape[2:]) for mask in given]).to(img)
    return 1 - mask if invert else mask


def working_size(size: tuple[int, int], short: int | None, multiple: int) -> tuple[int, int]:
    """Height and width for a network: in the shape of (H, W), about `short` along the shorter side (None: as it is).

    Both are multiples of `multiple`.
    """
    scale = 1 if short is None else short / min(size)
    h, w = (max(round(side * scale / multiple), 1) * multiple for side in size)
    return h, w


def rows_for(x: Tensor, frames: range, what: str, one: bool = True) -> Tensor:
    """The rows of x [F,...] that belong to these frames. one: a single row stands for all frames."""
    if one and len(x) == 1:
        return x.expand(len(frames), *x.shape[1:])
    if len(x) < frames.stop:
        raise InputError(f"The video is longer than its {len(x)} {what}.", "Give one for each frame.")
    return x[frames.start : frames.stop]
