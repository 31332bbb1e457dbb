"""Closeness of meaning in the joint space. Axes: B batch, D dims."""

from __future__ import annotations

from torch import Tensor

from ..common.errors import InputError

RELEASED_SCALE = 1.0725081812542165  # exp(0.07): the released code multiplies by it where a temperature was meant


def cosine_distance(a: Tensor, b: Tensor, scale: float = 1.0) -> Tensor:
    """1 - scale <a,b> for unit a, b [B,D] (or [1,D]) => [B], in 0..2 at scale 1."""
    if a.shape[-1] != b.shape[-1]:
        raise InputError(
            f"Embeddings of {a.shape[-1]} and {b.shape[-1]} dims cannot be compared.",
            "Take both from the same joint encoder.",
        )
    return 1 - scale * (a * b).sum(dim=-1)
