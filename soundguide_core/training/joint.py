"""The picture and text towers of a joint space, trained on rendered scenes and their captions.

CLIP's symmetric InfoNCE (A. Radford et al. 2021, figure 3) with soft targets, because many captions of a batch fit one
picture: the target distribution over captions is the normalised affinity of meanings. The same loss between two paraphrases of
each text teaches the words that have no scene. Axes: B batch, D dims, T tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..embedding.clip import ClipTowers
from ..miniature import captions
from ..miniature.captions import Caption, Meaning
from . import datasets


def soft_info_nce(a: Tensor, b: Tensor, affinity: Tensor, logit_scale: Tensor) -> Tensor:
    """Cross entropy of softmax(scale a b^T) against the normalised affinity, both ways.

    a [N,D], b [M,D] unit norm; affinity [N,M] >= 0 with no empty row or column.
    """
    logits = logit_scale * a @ b.T
    there = -(affinity / affinity.sum(1, keepdim=True) * logits.log_softmax(1)).sum(1).mean()
    back = -(affinity / affinity.sum(0, keepdim=True) * logits.log_softmax(0)).sum(0).mean()
    return (there + back) / 2


def draw_captions(shown: Sequence[Meaning], extra: int, rng: np.random.Generator) -> tuple[list[Caption], list[Caption]]:
    """A caption for each picture and `extra` captions of sounds and pairs; then one of like meaning for each."""
    first = [captions.caption_for_scene(meaning, rng) for meaning in shown]
    for _ in range(extra):
        one, other = (captions.CONCEPTS[i] for i in rng.choice(len(captions.CONCEPTS), 2, replace=False))
        if rng.random() < 0.15:
            first.append(captions.caption_for_pair(one, other, rng))
        else:
            strength = float(rng.random()) if one in captions.STRONG_PHRASES and rng.random() < 0.2 else None
            first.append(captions.caption_for_concept(one, rng, strength=strength))
    return first, [_paraphrase(caption.meaning, rng) for caption in first]


def _paraphrase(meaning: Meaning, rng: np.random.Generator) -> Caption:
    names = list(meaning.concepts)
    if len(names) == 2:
        return captions.caption_for_pair(*(names if rng.random() < 0.5 else names[::-1]), rng)
    return captions.caption_for_concept(names[0], rng, strength=meaning.strength)


class StrangeWords:
    """Words from outside the captions, put between theirs, so that the text tower learns to read past them.

    Their token embeddings never get a gradient: a word that was never learned stays next to nothing.
    """

    def __init__(self, towers: ClipTowers) -> None:
        phrases = [p for group in captions.PHRASES.values() for p in group]
        phrases += [p for bands in captions.STRONG_PHRASES.values() for group in bands.values() for p in group]
        phrases += [p for _, words in captions.STRENGTHS.values() for p in words] + [t.format("") or "a" for t in captions.TEMPLATES]
        phrases += [p for group in captions.LAYOUT_PHRASES.values() for p in group]
        phrases += ["and then together with mixed with"]
        ids = towers.tokenizer(phrases)
        vocabulary = towers.model.token_embedding.num_embeddings
        self.end = int(ids.max())
        self.known = torch.zeros(vocabulary, dtype=torch.bool)
        self.known[ids.unique()] = True
        self.strange = torch.nonzero(~self.known).flatten()

    def insert(self, ids: Tensor, share: float, rng: np.random.Generator) -> Tensor:
        """ids [B,T] with one to three strange tokens in a `share` of the rows, where there is room."""
        ids = ids.clone()
        for i in np.flatnonzero(rng.random(len(ids)) < share):
            length = int((ids[i] == self.end).nonzero()[0]) + 1
            count = min(int(rng.integers(1, 4)), ids.shape[1] - length)
            at = int(rng.integers(1, length))
            ids[i, at + count : length + count] = ids[i, at:length].clone()
            ids[i, at : at + count] = self.strange[torch.from_numpy(rng.integers(len(self.strange), size=count))]
        return ids

    def silence(self, token_embedding: torch.nn.Embedding) -> None:
        """Drop the gradient of every token that no caption has."""
        token_embedding.weight.grad[~self.known] = 0


def shifted(img: Tensor, loss_of: Callable[[Tensor], Tensor], radius: float) -> Tensor:
    """The picture that one step of gradient ascent, `radius` long, makes hardest (the linearised adversary).

    Towers trained on these do not follow invisible patterns, so that going up their gradient changes what a person sees.
    img [B,3,H,W]; loss_of: img => scalar; radius: root mean square change of a pixel, pictures being in -1..1.
    """
    img = img.detach().requires_grad_(True)
    (grad,) = torch.autograd.grad(loss_of(img), img)
    rms = grad.flatten(1).square().mean(1).sqrt().clamp_min(1e-12).view(-1, 1, 1, 1)
    return (img + radius * grad / rms).detach()
