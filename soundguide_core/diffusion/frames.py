"""How the latents of a model hold the frames of a video: along the batch, along time, or packed with other things.

Axes: N latent frames, B batch, C channels, T latent time, ... height and width or none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..common.errors import InputError


@dataclass(frozen=True)
class Layout:
    """Where in a latent its frames are.

    Without shapes: [N,C,h,w] has one in each row; [B,C,T,...] one at each time, B videos after one another.
    shapes: of the parts of a packed latent [B,1,sum], each a tensor [B,...] laid flat; part: which of them has frames.
    """

    shapes: Sequence[Sequence[int]] = ()
    part: int = 0

    def frames_of(self, z: Tensor) -> Tensor:
        """[N,C,...] for the latent z."""
        z = self._part(z)
        return z if z.ndim <= 4 else z.transpose(1, 2).flatten(0, 1)

    def latent_of(self, frames: Tensor, like: Tensor) -> Tensor:
        """The latent `like` with these frames [N,C,...] in place of its own; what else it holds stays."""
        z = self._part(like)
        inside = frames if z.ndim <= 4 else frames.unflatten(0, (len(z), z.shape[2])).transpose(1, 2)
        if len(self.shapes) < 2:
            return inside.reshape(like.shape).to(like.dtype)
        start, stop = self._span()
        flat = inside.reshape(len(like), 1, -1).to(like.dtype)
        return torch.cat([like[:, :, :start], flat, like[:, :, stop:]], dim=2)

    def _part(self, z: Tensor) -> Tensor:
        if len(self.shapes) < 2:
            return z
        start, stop = self._span()
        if z.ndim != 3 or z.shape[2] < stop:
            raise InputError("A packed latent is smaller than its parts.", "Give the shapes that it was packed from.")
        return z[:, :, start:stop].reshape(len(z), *self.shapes[self.part][1:])

    def _span(self) -> tuple[int, int]:
        sizes = [math.prod(shape[1:]) for shape in self.shapes]
        start = sum(sizes[: self.part])
        return start, start + sizes[self.part]
