"""Videos from latents through a causal decoder, in chunks of time: exact, with the activations of one chunk.

What a decoder remembers of the frames before goes from chunk to chunk. A chunk is decoded without keeping what it
computed (losses need all pictures at once), and again when its part of the gradient comes back:

    p_i, s_{i+1} = decode(z_i, s_i)                      forward; s: what it remembers
    dL/dz_i, dL/ds_i = J_i^T (dL/dp_i, dL/ds_{i+1})      backward, from the last chunk to the first

Axes: B batch, T latent frames, F pictures, C channels, H W.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def decode_in_time(step: Callable[[Tensor, Any], tuple[Tensor, Any]], z: Tensor, chunk: int) -> Tensor:
    """A video, `chunk` latent frames at a time: z [B,C,T,H,W] => pictures [B,F,3,H,W].

    step: (z_i [B,C,t,H,W], memory) => (pictures [B,f,3,H,W], memory); the memory before the first chunk is None.
    """
    pictures, memory = [], None
    for part in z.split(max(1, chunk), dim=2):
        made, memory = again(step, part, memory)
        pictures.append(made)
    return torch.cat(pictures, dim=1)


def again(fn: Callable, *args: Any) -> Any:
    """fn(*args), computed a second time when gradients come back, in place of keeping its activations."""
    if not torch.is_grad_enabled():
        return fn(*args)
    return checkpoint(fn, *args, use_reentrant=False, preserve_rng_state=False)


class Again(nn.Module):
    """A causal network that keeps what it remembers in a list: forward(x, feat_cache=list, feat_idx=[0], ...) as in the
    decoders of Wan's VAEs, which change that list in place. Each call is computed `again` for its gradient."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, feat_cache: list | None = None, feat_idx: Sequence[int] = (0,), **kwargs):
        def run(x, memory):
            memory = None if memory is None else list(memory)
            return self.network(x, feat_cache=memory, feat_idx=list(feat_idx), **kwargs), memory

        made, memory = again(run, x, None if feat_cache is None else list(feat_cache))
        if feat_cache is not None:
            feat_cache[:] = memory
        return made


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
        return decode_in_time(self._step, z, chunk)

    def _step(self, z: Tensor, memory: list | None) -> tuple[Tensor, list]:
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
