"""Attention of the UNet by the quicker of two ways.

On a processor in bfloat16 PyTorch's fused kernel takes one and a half times as long as softmax(q k^T / sqrt(d)) v in
its parts, and there and back two to five times.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .with_diffusers import Attention, AttnProcessor, AttnProcessor2_0

MOST_TOKENS = 1024  # the parts keep a matrix of tokens x tokens for every head


class QuickerAttention:
    """A processor of diffusers' Attention: hidden [B,C,H,W] or [B,L,C] => the same shape."""

    def __init__(self) -> None:
        self.in_parts, self.fused = AttnProcessor(), AttnProcessor2_0()

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        chosen = self.in_parts if _parts_are_quicker(hidden_states) else self.fused
        return chosen(attn, hidden_states, encoder_hidden_states, attention_mask, temb)


def _parts_are_quicker(hidden: Tensor) -> bool:
    tokens = hidden.shape[2:].numel() if hidden.ndim == 4 else hidden.shape[1]
    return hidden.device.type == "cpu" and hidden.dtype == torch.bfloat16 and tokens <= MOST_TOKENS


def attend_quickly(network: nn.Module) -> None:
    """Sets it in all attention of a network."""
    for module in network.modules():
        if isinstance(module, Attention):
            module.set_processor(QuickerAttention())  # pyright: ignore[reportArgumentType]
