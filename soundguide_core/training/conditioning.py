"""What a diffusion is told of the picture that it learns from: points of a joint space, as texts and pictures are
embedded in it, for classifier-free guidance (J. Ho and T. Salimans, "Classifier-Free Diffusion Guidance", 2022).

A picture's embedding with noise stands for what else may be near it in the joint space: another text, or a sound
(noise augmentation as in A. Ramesh et al., "Hierarchical Text-Conditional Image Generation with CLIP Latents", 2022).
Axes: B batch, D dims, H W picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..common.memory import to_device
from ..embedding.clip import ClipTowers
from .data.pictures import Pictures
from .engine.settings import from_table


@dataclass(frozen=True)
class ConditioningSettings:
    """How a diffusion is conditioned: the recipe's [conditioning]."""

    joint: str | None = None  # registry name or path of the joint encoder whose space it is; None: the default
    untold: float = 0.1  # share of pictures of which nothing is told
    seen: float = 0.3  # share of the others of which the picture itself is told; all that have no caption
    noise: float = 0.4  # largest length of the noise that is added to what is told, against its own

    @classmethod
    def from_dict(cls, table: dict) -> ConditioningSettings:
        return from_table(cls, table, "conditioning")


@runtime_checkable
class Captioned(Protocol):
    """Pictures that have captions."""

    def captions(self, indices: np.ndarray, rng: np.random.Generator) -> Sequence[str | None]:
        """One for each of indices [B]; None where a picture has none."""
        ...


def captions_of(pictures: Pictures, indices: np.ndarray, rng: np.random.Generator) -> list[str | None]:
    """A caption for each of indices [B], None where there is none."""
    return list(pictures.captions(indices, rng)) if isinstance(pictures, Captioned) else [None] * len(indices)


@dataclass(frozen=True)
class Told:
    """Of each picture of a batch: noise [B,D] beside what is told, whether anything is [B,1], whether the picture
    itself is [B,1], and the seed of the choice among its captions [B,1]."""

    noise: Tensor
    kept: Tensor
    seen: Tensor
    seeds: Tensor

    def of(self, rows: slice) -> Told:
        return Told(*(x[rows] for x in vars(self).values()))


class Conditioning:
    """Draws the context of each picture of a batch."""

    def __init__(self, settings: ConditioningSettings, clip: ClipTowers, pictures: Pictures) -> None:
        self.settings, self.clip, self.pictures = settings, clip, pictures

    def what(self, batch: int, rng: torch.Generator) -> Told:
        """Draws, for the pictures of a whole batch, of which what is told."""
        s = self.settings
        noise = torch.randn(batch, self.clip.dim, generator=rng) / self.clip.dim**0.5  # length about one
        amount = s.noise * torch.rand(batch, 1, generator=rng)
        kept = torch.rand(batch, 1, generator=rng) >= s.untold
        seen = torch.rand(batch, 1, generator=rng) < s.seen
        seeds = torch.randint(2**62, [batch, 1], generator=rng)
        return Told(amount * noise, kept, seen, seeds)

    @torch.no_grad()
    def tell(self, indices: np.ndarray, x0: Tensor, told: Told) -> Tensor:
        """indices [B] of the pictures x0 [B,3,H,W] => context [B,D]: unit norm, or zero where nothing is told."""
        texts: list[str | None] = []
        for index, seen, seed in zip(indices, told.seen, told.seeds, strict=True):
            (text,) = captions_of(self.pictures, np.array([index]), np.random.default_rng(int(seed)))
            texts.append(None if seen else text)
        context = self._embedded(texts, x0.float())
        noise, kept = (to_device(x, context.device, context.dtype) for x in (told.noise, told.kept))
        return F.normalize(context + noise, dim=-1) * kept

    def draw(self, indices: np.ndarray, x0: Tensor, rng: torch.Generator) -> Tensor:
        """tell() of a batch that is whole, drawn from rng."""
        return self.tell(indices, x0, self.what(len(indices), rng))

    @torch.no_grad()
    def told(self, pictures: Pictures) -> Tensor:
        """Context [N,D] of all of these, always the same: of their captions, else of the pictures themselves."""
        indices = np.arange(len(pictures))
        texts = captions_of(pictures, indices, np.random.default_rng(0))
        return self._embedded(texts, pictures.batch(indices, self.clip.device))

    def _embedded(self, texts: Sequence[str | None], x0: Tensor) -> Tensor:
        """[B,D]: of the texts, and of the pictures of those that have none."""
        context = x0.new_zeros(len(x0), self.clip.dim)
        said = [i for i, text in enumerate(texts) if text]
        seen = [i for i, text in enumerate(texts) if not text]
        if said:
            rows = to_device(torch.tensor(said), x0.device)
            context = context.index_copy(0, rows, self.clip.encode_text([text for text in texts if text]))
        if seen:
            rows = to_device(torch.tensor(seen), x0.device)
            context = context.index_copy(0, rows, self.clip.encode_image(x0[rows]))
        return context
