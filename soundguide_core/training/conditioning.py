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


class Conditioning:
    """Draws the context of each picture of a batch."""

    def __init__(self, settings: ConditioningSettings, clip: ClipTowers, pictures: Pictures) -> None:
        self.settings, self.clip, self.pictures = settings, clip, pictures

    @torch.no_grad()
    def draw(self, indices: np.ndarray, x0: Tensor, rng: torch.Generator) -> Tensor:
        """indices [B] of the pictures x0 [B,3,H,W] => context [B,D]: unit norm, or zero where nothing is told."""
        s = self.settings
        numbers = np.random.default_rng(int(torch.randint(2**62, [1], generator=rng)))
        texts = [None if numbers.random() < s.seen else text for text in captions_of(self.pictures, indices, numbers)]
        context = self._embedded(texts, x0.float())
        noise = torch.randn(context.shape, generator=rng).to(context) / context.shape[1] ** 0.5  # length about one
        amount = s.noise * torch.rand(len(context), 1, generator=rng).to(context)
        told = torch.rand(len(context), 1, generator=rng).to(context) >= s.untold
        return F.normalize(context + amount * noise, dim=-1) * told

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
            context[said] = self.clip.encode_text([text for text in texts if text])
        if seen:
            context[seen] = self.clip.encode_image(x0[seen])
        return context
