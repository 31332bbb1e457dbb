"""Several prompts in one network: embeddings blended row by row, or their cross-attentions mixed token by token.

Axes: F frames (rows of a batch), T latent frames, N tokens of the picture, K prompts, L tokens of a text, D dims.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..common.errors import InputError

LONGEST_REPEAT = 8  # a text is repeated at most so often to be as long as another


def blend_rows(prompts: Sequence[Tensor], weights: Tensor) -> Tensor:
    """Prompts [1,L,D] or [1,D], the base first, and weights [F,K] of the others => rows [F,L,D] or [F,D].

        row_t = c_0 + sum_k w_tk (c_k - c_0)

    Raises:
        InputError: weights for another number of prompts.
    """
    if weights.ndim != 2 or weights.shape[1] != len(prompts) - 1:
        raise InputError(
            f"Weights of shape {list(weights.shape)} meet {len(prompts) - 1} prompts beside the base.",
            "Give one column for each prompt.",
        )
    return torch.tensordot(with_base(weights).to(prompts[0]), torch.cat(list(prompts)), dims=1)


def equal_length(texts: Sequence[Tensor]) -> list[Tensor]:
    """Texts [B,L_k,D] => all [B,L,D]. Repeated where one length divides the other, which attention does not notice;
    else zeros follow, as the host's own averaging does."""
    longest = max(text.shape[1] for text in texts)
    if all(longest % text.shape[1] == 0 and longest // text.shape[1] <= LONGEST_REPEAT for text in texts):
        return [text.repeat(1, longest // text.shape[1], 1) for text in texts]
    return [F.pad(text, (0, 0, 0, longest - text.shape[1])) for text in texts]


def mixed_attention(
    attend: Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor],
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, lengths: Sequence[int], weights: Tensor,
    rows: Sequence[Tensor] | None = None,
) -> Tensor:  # fmt: skip
    """Cross-attention to K prompts that stand one after the other in k and v, each by itself, mixed by weights.

        out_n = sum_k w_nk attend(q_n, k_k, v_k)

    Each prompt has its own softmax, so the mix is the mean of the outputs by weight, and no kernel needs a mask.
    The cost
    is that of one attention over all prompts: a prompt that has no weight at a token is not asked for there.

    Args:
        attend: (q, k, v, mask) => out [B,N,D].
        q: [B,N,D]. k, v: [B,L,D], L the sum of lengths. mask: of the text's own padding, [...,L] over the keys.
        weights: [B,N,K], rows of sum 1. rows: asked_tokens(weights), which a network of many layers finds once.
    """
    out, first = None, 0
    asked_by = asked_tokens(weights) if rows is None else rows
    for i, length in enumerate(lengths):
        keys = slice(first, first + length)
        first += length
        share = weights[..., i]
        tokens = asked_by[i]
        if not len(tokens):
            continue
        part = None if mask is None else mask[..., keys]
        every = len(tokens) == q.shape[1]
        if part is not None and part.ndim >= 2 and part.shape[-2] == q.shape[1] > 1 and not every:
            part = part[..., tokens, :]
        asked = q if every else q[:, tokens]
        found = attend(asked, k[:, keys], v[:, keys], part) * share[:, tokens, None].to(q.dtype)
        if out is None:
            out = torch.zeros(*q.shape[:2], found.shape[-1], dtype=found.dtype, device=found.device)
        if every:
            out += found
        else:
            out.index_add_(1, tokens, found)
    assert out is not None, "the weights of every token sum to 1"
    return out


def asked_tokens(weights: Tensor) -> list[Tensor]:
    """Of weights [B,N,K] for each prompt the numbers of the tokens at which it counts, in any of the batch. How many
    there are is read from the device."""
    return [share.nonzero()[:, 0] for share in (weights > 0).any(0).unbind(-1)]


def token_weights(
    weights: Tensor, grid: tuple[int, int], *, before: int = 0, after: int = 0, areas: Tensor | None = None
) -> Tensor:
    """Weights [B,T,K] of K phrases at T latent frames => [B,N,1+K] at the tokens, the base prompt's share first.

    grid: (h, w), the tokens of a frame; N = (before + T + after) h w. before, after: frames of reference around the
    video, which are the base prompt's. areas: [K,H,W] in 0..1, where in the picture each phrase acts.
    """
    h, w = grid
    local = weights[:, :, None].expand(-1, -1, h * w, -1)  # [B,T,h w,K]
    if areas is not None:
        small = F.interpolate(areas[None].float(), size=(h, w), mode="area")[0]
        local = local * small.flatten(1).T.to(local)
    local = local / local.sum(-1, keepdim=True).clamp(min=1)
    local = F.pad(local, (0, 0, 0, 0, before, after)).flatten(1, 2)
    return with_base(local)


def over_time(weights: Tensor, tokens: int) -> Tensor:
    """Weights [B,T,K] => [B,N,1+K] for N tokens that cover the same time, such as those of a sound."""
    at = (torch.arange(tokens, device=weights.device) * weights.shape[1]) // tokens
    there = weights[:, at]
    return with_base(there / there.sum(-1, keepdim=True).clamp(min=1))  # words in other places of the picture add up


def with_base(weights: Tensor) -> Tensor:
    """[...,K], sums at most 1 => [...,1+K], what they leave of 1 first."""
    return torch.cat([(1 - weights.sum(-1, keepdim=True)).clamp(min=0), weights], -1)
