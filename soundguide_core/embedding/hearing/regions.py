"""Which words act where in the picture: several recordings, or several groups of words, each with a mask.

Axes: T times, K words, H W.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ...common.errors import InputError
from .words import HeardWords


def placed(words: HeardWords, area: Tensor | None) -> HeardWords:
    """Words that act where area [H,W] in 0..1 says; None: everywhere."""
    where = torch.ones(8, 8) if area is None else area.float()
    if where.ndim != 2 or not float(where.max()) > 0:
        raise InputError("A region marks nothing of the picture.", "Paint where its sound shall act, or leave it out.")
    return replace(words, areas=where.expand(len(words.words), -1, -1))


def together(parts: Sequence[HeardWords]) -> HeardWords:
    """Words of several recordings, side by side on one grid of times, each in its own area.

    The grid is the finest of theirs, over the longest; a word that was heard in two of them stands there twice.
    """
    if not parts:
        raise InputError("No words have arrived.", "Connect at least one Hear Words.")
    hop_sec = min(part.hop_sec for part in parts)
    seconds = max(part.seconds for part in parts)
    rows = max(round(seconds / hop_sec), 1)
    doubts = [torch.zeros(len(part.words)) if part.doubt is None else part.doubt for part in parts]
    placed_parts = [part if part.areas is not None else placed(part, None) for part in parts]
    height, width = (max(part.areas.shape[axis] for part in placed_parts) for axis in (1, 2))  # type: ignore[union-attr]
    areas = [F.interpolate(part.areas[:, None], (height, width), mode="area")[:, 0] for part in placed_parts]  # type: ignore[index]
    return HeardWords(
        tuple(word for part in parts for word in part.words),
        tuple(prompt for part in parts for prompt in part.prompts),
        torch.cat([part.at_frames(1 / hop_sec, rows) for part in parts], 1),
        hop_sec=hop_sec, seconds=seconds, first_sec=hop_sec / 2,
        groups=tuple(group for part in parts for group in part.groups),
        encoder=", ".join(dict.fromkeys(part.encoder for part in parts)),
        doubt=torch.cat(doubts), areas=torch.cat(areas),
    )  # fmt: skip
