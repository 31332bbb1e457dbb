"""Gradients of a batch in parts, and between backward and the optimiser's step."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn


def sanitize_grads(grads: list[Tensor]) -> None:
    """In place: NaN becomes 0, infinities +-1e5, as in NVIDIA's StyleGAN2-ADA training loop."""
    flat = torch.cat([grad.flatten() for grad in grads]).nan_to_num_(nan=0.0, posinf=1e5, neginf=-1e5)
    parts = flat.split([grad.numel() for grad in grads])
    torch._foreach_copy_(grads, [part.view(grad.shape) for part, grad in zip(parts, grads)])  # pyright: ignore[reportPrivateImportUsage] no public name


def match_grad_strides(parameters: Iterable[nn.Parameter]) -> None:
    """Gives each gradient its parameter's strides, those of axes of size 1 too: fused optimisers insist on it."""
    for p in parameters:
        if p.grad is not None and p.grad.stride() != p.stride():
            p.grad = torch.empty_like(p).copy_(p.grad)


def in_parts(function: Callable[[Tensor], Tensor], x: Tensor, parts: int) -> Tensor:
    """function(x [B,...]) => [B,...], in so many parts, of which each is computed again when its gradient comes: for
    losses that couple the rows of a batch. A BatchNorm takes its statistics from a part."""
    if parts == 1:
        return function(x)
    from torch.utils.checkpoint import checkpoint

    return torch.cat([checkpoint(function, part, use_reentrant=False) for part in x.chunk(parts)])  # type: ignore[arg-type]
