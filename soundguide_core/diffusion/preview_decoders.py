"""What makes pictures of latents for a loss to look at: pixels, a linear map, tiny decoders, a VAE's own.

All take latents as they are sampled, [B,C,H,W] or [B,C,T,H,W], and give pictures [F,3,H,W] about -1..1, those of a
video one after the other, with the activations of `chunk` latents (decoding.py, causal_decoding.py). What differs
between models arrives as an argument. Axes: B batch, C channels, T latent frames, F pictures, H W.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..common.errors import InputError
from .causal_decoding import Causal, Memory, decode_in_time
from .decoding import decode_in_chunks

Prepare = Callable[[Tensor], Tensor]  # latents as they are sampled => as a network was trained on them


class Pixels(nn.Module):
    """Latents that are pictures already, but for `prepare`."""

    def __init__(self, prepare: Prepare):
        super().__init__()
        self.prepare = prepare

    def forward(self, z: Tensor, chunk: int) -> Tensor:
        return as_batch(self.prepare(z))


class Factors(nn.Module):
    """Each point of a picture a linear function of its latent: one small picture a latent frame.

    factors: [C][3]. bias: [3], or None. reshape: of latents [B,C',H',W'] to those C channels, or None.
    """

    weight: Tensor
    bias: Tensor

    def __init__(
        self, factors: Sequence[Sequence[float]], bias: Sequence[float] | None = None, reshape: Prepare | None = None
    ):
        super().__init__()
        self.reshape = reshape
        self.register_buffer("weight", torch.tensor(factors, dtype=torch.float32).T.contiguous()[:, :, None, None])
        self.register_buffer("bias", torch.tensor([0.0] * 3 if bias is None else bias, dtype=torch.float32))

    def forward(self, z: Tensor, chunk: int) -> Tensor:
        z = as_batch(z)
        return F.conv2d(z if self.reshape is None else self.reshape(z), self.weight, self.bias)


class TinyPicture(nn.Module):
    """O. Boer Bohan's TAESD and its kin. decoder: z [B,C,H,W] => pictures 0..1."""

    def __init__(self, decoder: nn.Module):
        super().__init__()
        self.decoder = decoder

    def forward(self, z: Tensor, chunk: int) -> Tensor:
        return decode_in_chunks(self.decoder, as_batch(z), chunk) * 2 - 1  # 0..1 => -1..1


class CausalVideo(nn.Module):
    """A causal decoder of videos, such as TAEHV and its kin and Wan's VAEs. prepare: of latents, point by point. scale,
    shift: of what it gives, to -1..1. To be used as a whole (forward), or as a Causal itself."""

    def __init__(self, decoder: nn.Module, prepare: Prepare, *, scale: float = 2, shift: float = -1):
        super().__init__()
        self.decoder, self.prepare, self.scale, self.shift = decoder, prepare, scale, shift

    def forward(self, z: Tensor, chunk: int) -> Tensor:
        return decode_in_time(self, as_video(z), chunk).flatten(0, 1)

    def parts(self, z: Tensor, chunk: int) -> Sequence[Tensor]:
        return cast(Causal, self.decoder).parts(z, chunk)

    def step(self, part: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        made, memory = cast(Causal, self.decoder).step(self.prepare(part), memory)
        return made * self.scale + self.shift, memory


class FullDecoder(nn.Module):
    """The decoder of a VAE. scale, shift: of what it gives, to -1..1. video: whether it takes [B,C,T,H,W].

    A video goes through at once.
    """

    vae: Any  # each has a decode of its own

    def __init__(self, vae: nn.Module, prepare: Prepare, *, video: bool = False, scale: float = 1, shift: float = 0):
        super().__init__()
        self.vae, self.prepare, self.video, self.scale, self.shift = vae, prepare, video, scale, shift

    def forward(self, z: Tensor, chunk: int) -> Tensor:
        if self.video:
            made = torch.cat([self._decode(part) for part in self.prepare(as_video(z)).split(1)])
        else:
            made = decode_in_chunks(self._decode, as_batch(self.prepare(z)), chunk)
        if z.requires_grad and torch.is_grad_enabled() and not made.requires_grad:
            raise InputError("No gradient comes back through this VAE.", "Choose the tiny decoder or latent2rgb.")
        return made

    def _decode(self, z: Tensor) -> Tensor:
        return as_batch(self.vae.decode(z))[:, :3] * self.scale + self.shift


def as_batch(z: Tensor) -> Tensor:
    """[B,C,T,H,W] => [B*T,C,H,W]"""
    return z.transpose(1, 2).flatten(0, 1) if z.ndim == 5 else z


def as_video(z: Tensor) -> Tensor:
    """[B,C,H,W] => [B,C,1,H,W]"""
    return z[:, :, None] if z.ndim == 4 else z
