"""StyleGAN-V: A Continuous Video Generator with the Price, Image Quality and Perks of StyleGAN2 (Skorokhodov et al.
2022): the generator, section 3.1. StyleGAN2 whose constant input is concatenated with the motion code of a time; as an
option every style too, so that each layer can fade its own patterns in and out.

Axes: B batch, F frames, C channels, H W, L layers (num_ws), D dims, V motion code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..common.errors import InputError, check_number, check_whole
from .generator import Mapping, StyleGenerator, check_synthesis
from .motion import MotionEncoder, Noise, TrajectoryNoise
from .stylegan2 import Rng, StyleGAN2Config, Synthesis

VARIANTS = ("paper", "released")
CODES = ("aligned", "unaligned", "sinusoidal")
MOTION_INPUTS = ("constant", "styles")


@dataclass(frozen=True)
class StyleGANVConfig(StyleGAN2Config):
    """Sizes of a generator and of the discriminator trained against it; defaults as released, but for variant.

    Times and periods are in frames at `fps`, the rate of the videos that it was trained on.
    motion_distance: from one anchor of noise to the next. waves: frequencies, each a sine and a cosine, with periods
    from min_period to max_period before they are scaled. variant: the paper predicts amplitudes, the released code does
    not. codes: aligned, or for comparison unaligned waves, or plain sinusoids that know neither noise nor video.
    motion_input: what the motion code is concatenated to, the constant alone or also every style (in the released code
    an option that leaves the constant).
    sound_dim: numbers of a sound that are added to the motion codes through a matrix (ours), 0 for none.
    num_frames, max_frames: frames of a video that the discriminator sees, and the longest time between two of them.
    c_dim: classes, which the mapping network and the discriminator are told (the released code tells the motion
    network, too). judge_sound: the discriminator is told the sound at its frames (ours).
    """

    mapping_layers: int = 2
    noise: bool = False
    fps: float = 25.0
    motion_z_dim: int = 512
    motion_u_dim: int = 512
    motion_kernel: int = 11
    motion_distance: float = 16.0
    waves: int = 256
    min_period: float = 16.0
    max_period: float = 1024.0
    variant: str = "paper"
    codes: str = "aligned"
    motion_input: str = "constant"
    sound_dim: int = 0
    num_frames: int = 3
    max_frames: int = 1024
    concat_resolution: int = 16
    frames_divisor: int = 2
    judge_sound: bool = False

    def __post_init__(self):
        super().__post_init__()
        for name, known in (("variant", VARIANTS), ("codes", CODES), ("motion_input", MOTION_INPUTS)):
            value = getattr(self, name)
            if value not in known:
                raise InputError(f"StyleGAN-V has no {name} {value!r}.", f"Use one of {', '.join(known)}.")
        for name in ("motion_z_dim", "motion_u_dim", "motion_kernel", "waves"):
            check_whole(getattr(self, name), f"A StyleGAN-V's {name}", low=1, high=2**14)
        check_whole(self.sound_dim, "A StyleGAN-V's sound_dim", low=0, high=2**14)
        for name in ("fps", "motion_distance", "min_period", "max_period"):
            check_number(getattr(self, name), f"A StyleGAN-V's {name}", low=0.01, high=1e9)

    OLD_NAMES: ClassVar = {"motion_joins": "motion_input"}  # in configs of version 0.1

    @property
    def motion_v_dim(self) -> int:
        return 2 * self.waves

    @property
    def style_dim(self) -> int:
        return self.w_dim + (self.motion_v_dim if self.motion_input == "styles" else 0)

    def to_dict(self) -> dict:
        return {"architecture": "stylegan-v", **super().to_dict()}


class VideoSynthesis(Synthesis):
    """ws [B,L,D], motion_v [B,V] => img [B,3,H,W], about -1..1."""

    config: StyleGANVConfig

    def __init__(self, config: StyleGANVConfig):
        super().__init__(config, extra_channels=config.motion_v_dim)
        self.motion_encoder = MotionEncoder(config)
        if config.motion_input == "styles":
            for name, parameter in self.named_parameters():
                if name.endswith("affine.weight"):  # motion has no effect on styles at the start of training
                    nn.init.zeros_(parameter[:, config.w_dim :])

    def forward(
        self,
        ws: Tensor,
        noise_mode: str = "const",
        rng: Rng = None,
        dtype: torch.dtype = torch.float32,
        resolution: int | None = None,
        *,
        motion_v: Tensor | None = None,
    ) -> Tensor:
        """As StyleGAN2's; without motion_v the frame at t = 0 of motion seed 0."""
        check_synthesis(ws, noise_mode, self.config)
        if motion_v is None:
            noise = TrajectoryNoise((0,), self.config.motion_z_dim)
            first: Tensor = self.motion_encoder(torch.zeros(1, 1), noise)[0]
            motion_v = first.expand(len(ws), -1)
        const = self.b4.const.expand(len(ws), -1, -1, -1)
        x = torch.cat([const, motion_v[:, :, None, None].expand(-1, -1, *const.shape[2:])], dim=1)
        if self.config.motion_input == "styles":
            ws = torch.cat([ws, motion_v[:, None].expand(-1, ws.shape[1], -1)], dim=2)
        return self.run_blocks(x.to(dtype), ws, noise_mode, rng, resolution)


class Generator(StyleGenerator):
    """StyleGAN-V as a whole: content z [B,D] -> ws [B,L,D], shared over time; motion noise and t -> motion_v."""

    config_type = StyleGANVConfig
    synthesis: VideoSynthesis

    def __init__(self, config: StyleGANVConfig):
        super().__init__(config, Mapping(config), VideoSynthesis(config))
        self.fps = config.fps

    @property
    def sound_dim(self) -> int:
        """How many numbers of a sound its motion codes take, 0 for none."""
        return self.config.sound_dim

    def motion_anchors(self, last: float) -> int:
        """How many anchors of motion noise times up to `last`, in frames, need."""
        return self.synthesis.motion_encoder.anchors(last)

    def motion_noise(self, seeds) -> TrajectoryNoise:
        """Motion noise without an end, one trajectory per seed."""
        return TrajectoryNoise(tuple(seeds), self.config.motion_z_dim)

    def motion_codes(self, t: Tensor, motion_z: Noise, **how) -> Tensor:
        """t [B,F] in frames at self.fps => motion_v [B,F,V]; see MotionEncoder."""
        return self.synthesis.motion_encoder(t, motion_z, **how)

    def render(self, ws: Tensor, motion_v: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """ws [B,L,D], motion_v [B,F,V] => frames [B,F,3,H,W]"""
        count = motion_v.shape[1]
        frames = self.synthesis(ws.repeat_interleave(count, dim=0), dtype=dtype, motion_v=motion_v.flatten(0, 1))
        return frames.unflatten(0, (len(ws), count))

    def video(self, ws: Tensor, t: Tensor, motion_z: Noise, **how) -> Tensor:
        """ws [B,L,D], t [B,F] in frames => frames [B,F,3,H,W] about -1..1"""
        return self.render(ws, self.motion_codes(t, motion_z, **how))
