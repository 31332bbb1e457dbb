"""Videos from latents through a causal decoder, in chunks of time: exact, with the activations of one chunk.

What a decoder remembers of the frames before goes from chunk to chunk, in the gradient too:

    p_i, s_{i+1} = decode(z_i, s_i)                      forward; s: what it remembers
    dL/dz_i, dL/ds_i = J_i^T (dL/dp_i, dL/ds_{i+1})      backward, from the last chunk to the first

The way back takes the s_i from the last to the first, and the way there makes them from the first to the last. Kept are
those at the start of the chunks, of their last half, of its last half and so on: log2 n of them for n chunks, and each
chunk is decoded about log2 n / 2 times more (binary checkpointing, Griewank 1992). Where dL/dp_i depends on p_i alone,
no picture outlives its chunk.

Axes: B batch, T latent frames, F pictures, C channels, H W.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

Memory = list | None  # None before the first chunk; else tensors, and what else a decoder notes
Pull = Callable[[Tensor, int], Tensor]


class Causal(Protocol):
    """A decoder of videos that is called a chunk of time after the other."""

    def parts(self, z: Tensor, chunk: int, /) -> Sequence[Tensor]:
        """z [B,C,T,H,W] in chunks of about so many latent frames."""
        ...

    def step(self, part: Tensor, memory: Memory, /) -> tuple[Tensor, Memory]:
        """(z_i [B,C,t,H,W], s_i) => (pictures [B,f,3,H,W], s_{i+1}); changes neither."""
        ...


def decode_in_time(decoder: Causal, z: Tensor, chunk: int) -> Tensor:
    """z [B,C,T,H,W] => pictures [B,F,3,H,W], differentiable."""
    return InTime.apply(z, decoder, chunk)  # pyright: ignore[reportReturnType]


class InTime(torch.autograd.Function):
    """A causal decoder of a whole video, whose way back decodes it again in chunks of time."""

    @staticmethod
    def forward(ctx, z: Tensor, decoder: Causal, chunk: int) -> Tensor:
        pictures, memory = [], None
        for part in decoder.parts(z, chunk):
            made, memory = decoder.step(part, memory)
            memory = _own(memory)
            pictures.append(made)
        ctx.save_for_backward(z)
        ctx.decoder, ctx.chunk, ctx.counts = decoder, chunk, [made.shape[1] for made in pictures]
        return torch.cat(pictures, dim=1)

    @staticmethod
    def backward(ctx, *gradients: Tensor):
        pulls = gradients[0].split(ctx.counts, dim=1)
        return gradient_in_time(ctx.decoder, ctx.saved_tensors[0], ctx.chunk, lambda _, i: pulls[i]), None, None


def gradient_in_time(decoder: Causal, z: Tensor, chunk: int, pull: Pull) -> Tensor:
    """dL/dz [B,C,T,H,W]. pull: (p_i [B,f,3,H,W], i) => dL/dp_i, of the pictures of chunk i."""
    with torch.enable_grad():
        return torch.cat(_back(decoder, list(decoder.parts(z.detach(), chunk)), 0, None, None, pull)[0], dim=2)


def _back(
    decoder: Causal, parts: Sequence[Tensor], first: int, memory: Memory, after: Memory, pull: Pull
) -> tuple[list[Tensor], Memory]:
    """(dL/dz_i of these parts, the first of which is number `first`; dL/ds of the memory before them).

    after: dL/ds of the memory after them, None for the end of the video.
    """
    if len(parts) == 1:
        g, before = _back_through(decoder, parts[0], first, memory, after, pull)
        return [g], before
    half = len(parts) // 2
    between = memory
    with torch.no_grad():
        for part in parts[:half]:
            between = _own(decoder.step(part, between)[1])
    last, after = _back(decoder, parts[half:], first + half, between, after, pull)
    del between
    before, after = _back(decoder, parts[:half], first, memory, after, pull)
    return before + last, after


def _back_through(
    decoder: Causal, part: Tensor, i: int, memory: Memory, after: Memory, pull: Pull
) -> tuple[Tensor, Memory]:
    """One chunk, J_i^T of what comes back."""
    z = part.detach().requires_grad_()
    memory = None if memory is None else [x.detach().requires_grad_() if _carries(x) else x for x in memory]
    pictures, kept = decoder.step(z, memory)
    came, pulls = [pictures], [pull(pictures.detach(), i).to(pictures)]
    for x, g in zip(kept or (), after or ()):
        if g is not None and x.requires_grad:
            came, pulls = [*came, x], [*pulls, g]
    into = [z, *(x for x in memory or () if _carries(x))]
    g, *rest = torch.autograd.grad(came, into, pulls, allow_unused=True)
    carried = iter(rest)
    before = None if memory is None else [next(carried) if _carries(x) else None for x in memory]
    return torch.zeros_like(z) if g is None else g, before


def _own(memory: Memory) -> Memory:
    """Without what else lies where its tensors do: the last frames of a chunk would keep all of them."""
    if memory is None:
        return None
    return [x.clone() if _carries(x) and x.untyped_storage().nbytes() > x.nbytes else x for x in memory]


def _carries(x: Any) -> bool:
    return isinstance(x, Tensor) and x.is_floating_point()


class TinyVideoDecoder(nn.Module):
    """O. Boer Bohan's TAEHV and its descendants: convolutions, and blocks that see their own last input of the frame
    before (`blocks` marks them). Each latent frame becomes 2^n pictures; those before the first one are cut off.

    layers: of the decoder, in order; those in `remembers` take (x, past). grow: pictures a latent frame. patch: a pixel
    of its output holds patch x patch pixels.
    """

    def __init__(self, layers: nn.Sequential, remembers: Sequence[int], grow: int, patch: int = 1):
        super().__init__()
        self.layers, self.remembers, self.grow, self.patch = layers, frozenset(remembers), grow, patch

    def forward(self, z: Tensor, chunk: int) -> Tensor:
        """z [B,C,T,H,W] => pictures [B,grow (T - 1) + 1,3,H,W] as the network makes them, 0..1."""
        return decode_in_time(self, z, chunk)

    def parts(self, z: Tensor, chunk: int) -> Sequence[Tensor]:
        return z.split(max(1, chunk), dim=2)

    def step(self, z: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        count = len(z)
        x = z.transpose(1, 2).flatten(0, 1)  # [B,C,t,H,W] => [B*t,C,H,W]
        past, kept = iter(memory or ()), []
        for i, layer in enumerate(self.layers):
            if i in self.remembers:
                frames = x.unflatten(0, (count, -1))  # [B,t,C,H,W]
                before = torch.zeros_like(frames[:, :1]) if memory is None else next(past)
                kept.append(frames[:, -1:])
                x = layer(x, torch.cat([before, frames[:, :-1]], dim=1).flatten(0, 1))
            else:
                x = layer(x)
        x = nn.functional.pixel_shuffle(x, self.patch).unflatten(0, (count, -1))
        return (x[:, self.grow - 1 :] if memory is None else x), kept
