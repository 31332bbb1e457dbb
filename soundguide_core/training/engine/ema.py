"""Exponential moving averages (EMA), of a network's weights and of tensors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from . import distributed


@torch.no_grad()
def ema_update(ema: nn.Module, source: nn.Module, beta: float) -> None:
    """ema <- beta ema + (1 - beta) source over parameters; buffers are copied."""
    torch._foreach_lerp_(list(ema.parameters()), list(source.parameters()), 1 - beta)  # pyright: ignore[reportPrivateImportUsage] no public name
    for a, b in zip(ema.buffers(), source.buffers(), strict=True):
        a.copy_(b)


def ema_beta(batch: int, images_seen: int, half_life: float, rampup: float = 0.05) -> float:
    """The decay of one step for a half-life in images: beta = 0.5^(batch / half_life).

    At the start the half-life is at most rampup * images_seen (StyleGAN2-ADA's ema_rampup).
    """
    half_life = min(half_life, max(images_seen * rampup, 1e-8))
    return 0.5 ** (batch / half_life)


class RunningMean(nn.Module):
    """A running mean over all processes, kept in checkpoints as a buffer."""

    value: Tensor

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.register_buffer("value", start.clone())

    @torch.no_grad()
    def update(self, x: Tensor, beta: float = 0.99) -> None:
        """value <- beta value + (1 - beta) mean over B, x [B,...]."""
        self.value.copy_(torch.lerp(distributed.all_reduce_mean(x.mean(dim=0)), self.value, beta))
