"""StyleGAN-V: A Continuous Video Generator with the Price, Image Quality and Perks of StyleGAN2 (Skorokhodov et al.
2022): the holistic discriminator, section 3.2.

Frames are embedded one by one down to concat_resolution, then become one image with the channels of all of them. The
score is a product with a code of the times between them (a projection discriminator, Miyato and Koyama 2018).
Axes: B batch, F frames, C channels, H W, D dims.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..common.errors import InputError
from ..common.memory import to_device
from .discriminators import DiscriminatorBlock, DiscriminatorEpilogue
from .ops import FullyConnected, rms_norm
from .stylegan_v import StyleGANVConfig

EMBEDDING = 256


class TimeDifferences(nn.Module):
    """t [B,F] frames => [B,(F-1)(EMBEDDING+2P)]: each step as a learned vector and as sines of periods 2^1 to 2^P."""

    def __init__(self, max_frames: int):
        super().__init__()
        self.const_embed = nn.Embedding(max_frames, EMBEDDING)
        self.powers = math.ceil(math.log2(max_frames))

    @property
    def size(self) -> int:
        return EMBEDDING + 2 * self.powers

    def forward(self, t: Tensor) -> Tensor:
        steps = t.diff(dim=1)  # [B,F-1]
        if not bool((steps >= 0).all()) or not bool((steps.round() < self.const_embed.num_embeddings).all()):
            raise InputError(
                "The frames' times do not rise, or lie further apart than this discriminator knows.",
                f"Give rising times at most {self.const_embed.num_embeddings - 1} frames apart.",
            )
        steps = to_device(steps, self.const_embed.weight.device)
        rates = 2.0 ** torch.arange(self.powers, device=steps.device) * (math.pi / 2**self.powers)
        angle = steps[..., None].float() * rates
        code = torch.cat([self.const_embed(steps.round().long()), angle.sin(), angle.cos()], dim=-1)
        return code.flatten(1)


class ConditionMapping(nn.Module):
    """A code [B,I] => what the score is projected on [B,D]."""

    def __init__(self, size_in: int, size_out: int, layers: int = 2):
        super().__init__()
        self.embed = FullyConnected(size_in, size_out)
        self.num_layers = layers
        for i in range(layers):
            setattr(self, f"fc{i}", FullyConnected(size_out, size_out, lr_mul=0.01, act=True))

    def forward(self, x: Tensor) -> Tensor:
        x = rms_norm(self.embed(x))
        for i in range(self.num_layers):
            x = getattr(self, f"fc{i}")(x)
        return x


class HolisticDiscriminator(nn.Module):
    """frames [B,F,3,H,W] in -1..1 at times t [B,F] in frames => score [B,1], positive for a real video.

    Times are best left on the CPU, where checking them waits for nothing.
    """

    def __init__(self, config: StyleGANVConfig):
        super().__init__()
        self.config = config
        concat, share = config.concat_resolution, config.frames_divisor
        if not 4 < concat < config.resolution:
            raise InputError(
                f"Frames of {config.resolution} pixels cannot be joined at {concat}.",
                "Choose a concat_resolution from 8 to half the resolution.",
            )
        for resolution in config.resolutions[:0:-1]:
            size_in = config.channels(resolution) // share * config.num_frames if resolution == concat else None
            size_out = config.channels(concat) // share if resolution == 2 * concat else None
            setattr(self, f"b{resolution}", DiscriminatorBlock(resolution, config, size_in, size_out))
        size = config.channels(4)
        self.time_encoder = TimeDifferences(config.max_frames)
        told = config.c_dim + (config.num_frames * config.sound_dim if config.judge_sound else 0)
        self.mapping = ConditionMapping((config.num_frames - 1) * self.time_encoder.size + told, size)
        self.b4 = DiscriminatorEpilogue(config, outputs=size)

    def forward(
        self, frames: Tensor, t: Tensor, dtype: torch.dtype = torch.float32, *, c: Tensor | None = None,
        sound: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """dtype of the features down to 4x4, which are judged in float32. c [B,c_dim], one-hot; sound [B,F,S], where
        the config has them."""
        count = self.config.num_frames
        if frames.ndim != 5 or frames.shape[:2] != t.shape or t.shape[1] != count:
            raise InputError(
                f"This discriminator looks at {count} frames of a video, not at {list(frames.shape)}.",
                f"Give frames [B,{count},3,H,W] and their times [B,{count}].",
            )
        x = frames.flatten(0, 1).to(dtype)
        for resolution in self.config.resolutions[:0:-1]:
            if resolution == self.config.concat_resolution:
                x = x.unflatten(0, (-1, count)).flatten(1, 2)  # [B,FC,H,W]
            x = getattr(self, f"b{resolution}")(x)
        code = self.mapping(torch.cat([self.time_encoder(t), *self._told(x, c, sound)], dim=1))
        return (self.b4(x.float()) * code).sum(dim=1, keepdim=True) / math.sqrt(code.shape[1])

    def _told(self, like: Tensor, c: Tensor | None, sound: Tensor | None) -> list[Tensor]:
        """What the score is conditioned on beside times, [B,I] each."""
        wanted = [c] * bool(self.config.c_dim) + [sound] * self.config.judge_sound
        if any(x is None for x in wanted):
            raise InputError(
                "This discriminator is told the class or the sound of a video, and is not.", "Give it labels and sound."
            )
        return [to_device(x.flatten(1), like.device, torch.float32) for x in wanted if x is not None]
