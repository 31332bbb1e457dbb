"""Figures of a video, taken as its frames come: nearness to the sound, consistency and motion, what is seen.

Axes: F frames, D dims, H W.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..common.errors import InputError
from ..common.shapes import check_shape
from .reactivity import visual_intensity

THUMBNAIL = 8  # pixels a side


@dataclass(frozen=True)
class VideoFigures:
    """similarity [F]: cosine of each frame and its moment of sound, or None. adjacent [F-1]: cosine of neighbours'
    embeddings, or None. motion [F-1]: mean absolute difference of neighbours, pictures in 0..1: without it, a frozen
    video would be the most consistent. visual_intensity [F]: see metrics/reactivity. embeds [F,D] of the
    frames, or None."""

    similarity: np.ndarray | None
    adjacent: np.ndarray | None
    motion: np.ndarray
    visual_intensity: np.ndarray
    embeds: Tensor | None

    def summary(self) -> dict:
        """Means, and the largest step, as plain numbers."""
        report: dict[str, Any] = {"frames": len(self.visual_intensity)}
        if self.similarity is not None:
            report["similarity"] = {"mean": float(self.similarity.mean()), "least": float(self.similarity.min())}
        if len(self.motion):
            report["motion"] = {"mean": float(self.motion.mean()), "largest": float(self.motion.max())}
            if self.adjacent is not None:
                report["adjacent"] = {"mean": float(self.adjacent.mean()), "least": float(self.adjacent.min())}
        return report


class VideoMeter:
    """add() every chunk, then figures(). encode_image: img [F,3,H,W] => [F,D] unit norm; None does without."""

    def __init__(self, encode_image: Callable[[Tensor], Tensor] | None = None):
        self.encode_image = encode_image
        self.last: Tensor | None = None
        # four growing blocks, not thousands of small tensors between which the heap could not close
        self.embeds, self.similarity, self.motion, self.thumbnails = (array("f") for _ in range(4))
        self.dim = 0

    @torch.no_grad()
    def add(self, frames: Tensor, heard: Tensor | None = None) -> None:
        """frames [F,3,H,W] about -1..1; heard [F,D] or [1,D], unit norm, the meaning of each frame's sound."""
        check_shape(frames, "F 3 H W", name="the frames")
        frames = frames.clamp(-1, 1)
        _append(self.thumbnails, F.adaptive_avg_pool2d(frames, THUMBNAIL))
        row = frames if self.last is None else torch.cat([self.last, frames])
        _append(self.motion, (row[1:] - row[:-1]).abs().mean(dim=(1, 2, 3)) / 2)
        if self.last is None:
            self.last = torch.empty_like(frames[-1:])
        self.last.copy_(frames[-1:])
        if self.encode_image is not None:
            embeds = self.encode_image(frames).float().cpu()
            self.dim = embeds.shape[1]
            _append(self.embeds, embeds)
            if heard is not None:
                _append(self.similarity, (embeds * heard.float().cpu()).sum(dim=1))

    def figures(self) -> VideoFigures:
        if not self.thumbnails:
            raise InputError("There are no frames to measure.", "Give a video of one frame or more.")
        embeds = None if not self.dim else torch.tensor(self.embeds).view(-1, self.dim)
        return VideoFigures(
            similarity=np.array(self.similarity) if self.similarity else None,
            adjacent=None if embeds is None else (embeds[1:] * embeds[:-1]).sum(dim=1).numpy(),
            motion=np.array(self.motion),
            visual_intensity=visual_intensity(np.array(self.thumbnails).reshape(-1, 3 * THUMBNAIL**2)),
            embeds=embeds,
        )


def _append(block: array, x: Tensor) -> None:
    block.frombytes(x.detach().float().cpu().contiguous().numpy().tobytes())
