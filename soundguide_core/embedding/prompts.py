"""Prompts whose words weigh more or less, as points of a joint space. Axes: S sections, L tokens, D dims.

A word that weighs w moves the point along the difference that it makes: e + (w - 1) (e - e without it). At 0 it is the
prompt without the word, at 1 the prompt as it stands. A prompt without words is the zero vector: it says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..common.errors import InputError
from .clip import ClipTowers

Words = Sequence[tuple[int, float]]  # (token, weight)


def sections(tokens: Words, longest: int) -> list[Words]:
    """Parts of at most `longest` tokens, which is what a text tower takes; one empty part for no tokens."""
    return [tokens[i : i + longest] for i in range(0, len(tokens), longest)] or [()]


def embed_sections(clip: ClipTowers, parts: Sequence[Words]) -> Tensor:
    """Sections of a prompt => points [S,D]: of unit norm where all weights are one, zero where there are no words."""
    points = [embed_words(lambda ids: embed_ids(clip, ids), part, clip.dim) for part in parts]
    return torch.stack([point.to(clip.device) for point in points])


def embed_words(encode: Callable[[list[int]], Tensor], words: Words, dim: int) -> Tensor:
    """words => their point [D]; encode: tokens, at least one => [D]."""

    def point(kept: list[int]) -> Tensor:
        return encode(kept) if kept else torch.zeros(dim)

    whole = point([token for token, _ in words])
    moved = whole
    for weight in sorted({weight for _, weight in words} - {1.0}):
        without = point([token for token, w in words if w != weight])
        moved = moved + (weight - 1) * (whole - without.to(whole))
    return moved


def embed_ids(clip: ClipTowers, ids: Sequence[int]) -> Tensor:
    """Tokens without those of start and end => [D], unit norm.

    Raises:
        InputError: this model's tokens have no start and end.
    """
    tokenizer = word_tokenizer(clip)
    line = torch.zeros(1, clip.model.context_length, dtype=torch.long)  # 0 pads
    said = [tokenizer.sot_token_id, *ids, tokenizer.eot_token_id]
    line[0, : len(said)] = torch.tensor(said)
    return clip.encode_tokens(line.to(clip.device))[0]


def word_tokenizer(clip: ClipTowers) -> Any:
    """The tokenizer of a text tower, if it is CLIP's own: encode(text) => tokens without start and end, decode."""
    if not hasattr(clip.tokenizer, "sot_token_id"):
        raise InputError("This text model has no tokenizer of CLIP's.", "Choose another encoder.")
    return clip.tokenizer
