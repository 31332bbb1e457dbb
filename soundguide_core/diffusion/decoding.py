"""Losses on pictures as losses on latents, exactly, with the memory of one chunk of the decoder.

    first pass    v = decode(z) without gradients, chunk by chunk;    dL/dv by autograd, through all frames at once
    second pass   dL/dz[chunk] = (d decode(z[chunk]) / dz[chunk])^T dL/dv[chunk]

Axes: F pictures, N latent frames.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .guidance import Losses

Decode = Callable[[Tensor], Tensor]


class TwoPass(torch.autograd.Function):
    """decode of frames [N,...], `chunk` of them at a time, which on the way back decodes each chunk once more."""

    @staticmethod
    def forward(ctx, frames: Tensor, decode: Decode, chunk: int) -> Tensor:
        parts = [decode(part) for part in frames.split(chunk)]
        ctx.save_for_backward(frames)
        ctx.decode, ctx.chunk, ctx.counts = decode, chunk, [len(part) for part in parts]
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, *gradients: Tensor):
        (frames,) = ctx.saved_tensors
        pulled = []
        for part, g in zip(frames.split(ctx.chunk), gradients[0].split(ctx.counts)):
            with torch.enable_grad():
                part = part.detach().requires_grad_()
                pictures = ctx.decode(part)
            pulled.append(torch.autograd.grad(pictures, part, g.to(pictures))[0])
        return torch.cat(pulled), None, None


def decode_in_chunks(decode: Decode, frames: Tensor, chunk: int = 0) -> Tensor:
    """Latent frames [N,...] => pictures [F,3,H,W], differentiable in two passes.

    decode: of some frames [n,...] => pictures. chunk: frames at once; 0 for all, where a decoder couples them in time.
    """
    return TwoPass.apply(frames, decode, chunk or len(frames))  # pyright: ignore[reportReturnType]


def decoded(decode: Decode, frames_of: Callable[[Tensor], Tensor], chunk: int, losses: Losses) -> Losses:
    """Losses of pictures [F,3,H,W] in -1..1 => losses of latents z.

    frames_of: z => the latent frames [N,...] that decode takes; see frames.Layout.
    """
    return lambda z: losses(decode_in_chunks(decode, frames_of(z), chunk))
