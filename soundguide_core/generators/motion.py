"""StyleGAN-V: A Continuous Video Generator with the Price, Image Quality and Perks of StyleGAN2 (Skorokhodov et al.
2022): motion codes, section 3.1. A code is a function of time: any real t, in any order, without those before it.

Noise stands at anchors `motion_distance` frames apart; a 1-d convolution without padding turns it into motion_u, whose
waves fill the time between two anchors. Joining sound to the codes is ours; without it they are StyleGAN-V's.
Axes: B batch, F frames, A anchors, D dims, K kernel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..common.errors import InputError
from ..common.memory import to_device
from .ops import FullyConnected


@dataclass(frozen=True)
class TrajectoryNoise:
    """Standard normal noise without an end, one trajectory per seed: an anchor's depends on seed and anchor alone."""

    seeds: tuple[int, ...]
    dim: int

    def __len__(self) -> int:
        return len(self.seeds)

    def at(self, anchors: Tensor) -> Tensor:
        """anchors [A] from 0 up => [B,A,D] float32 on the CPU"""
        rows = [[self._draw(seed, anchor) for anchor in anchors.tolist()] for seed in self.seeds]
        return torch.from_numpy(np.array(rows, np.float32)).reshape(len(self.seeds), len(anchors), self.dim)

    def _draw(self, seed: int, anchor: int) -> np.ndarray:
        return np.random.Generator(np.random.Philox(key=[seed, anchor])).standard_normal(self.dim, np.float32)

    def tensor(self, anchors: int) -> Tensor:
        """The first anchors' noise [B,A,D], to change or to learn."""
        return self.at(torch.arange(anchors))


@dataclass(frozen=True)
class ContinuedNoise:
    """Noise that was found, first [B,A,D], and after its last anchor that of seeds."""

    first: Tensor
    after: TrajectoryNoise

    def __len__(self) -> int:
        return len(self.first)

    def at(self, anchors: Tensor) -> Tensor:
        """As TrajectoryNoise's."""
        count = self.first.shape[1]
        found = self.first[:, anchors.clamp(max=count - 1).to(self.first.device)]
        beyond = (anchors >= count).to(found.device)[None, :, None]
        return torch.where(beyond, self.after.at(anchors).to(found), found)


Noise = Tensor | TrajectoryNoise | ContinuedNoise  # motion_z: [B,A,D], or noise without an end


def noise_at(motion_z: Noise, anchors: Tensor) -> Tensor:
    """Noise of anchors [A] => [B,A,D]

    Raises:
        InputError: it ends before.
    """
    if isinstance(motion_z, (TrajectoryNoise, ContinuedNoise)):
        return motion_z.at(anchors)
    if int(anchors.max()) >= motion_z.shape[1]:
        raise InputError(
            f"Motion noise of {motion_z.shape[1]} anchors ends before the last time asked for.",
            f"Give {int(anchors.max()) + 1} anchors, or ask for an earlier time.",
        )
    return motion_z[:, to_device(anchors, motion_z.device)]


@dataclass(frozen=True)
class Segment:
    """Where times lie between two anchors: t [B,F] in frames, left [B,F] the anchor's number, a [B,F] in 0..1."""

    t: Tensor
    left: Tensor
    a: Tensor
    distance: float

    @classmethod
    def of(cls, t: Tensor, distance: float) -> Segment:
        """In double precision: an hour at 60 fps is 2e5 frames."""
        t = t.detach().to("cpu", torch.float64)
        if t.ndim != 2 or not bool((t >= 0).all()) or not bool(torch.isfinite(t).all()):
            raise InputError("t must be [B,F] frames, each from 0 up.", "Give times that do not lie before the start.")
        left = (t / distance).floor()
        return cls(t, left.long(), t / distance - left, distance)

    @property
    def ends(self) -> tuple[Tensor, Tensor]:
        return self.left * self.distance, (self.left + 1) * self.distance


class Conv1d(nn.Module):
    """Equalised convolution along time without padding, lrelu: [B,I,A] => [B,O,A-K+1]. As published, no gain."""

    LR_MUL = 0.01

    def __init__(self, size_in: int, size_out: int, kernel: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(size_out, size_in, kernel) / self.LR_MUL)
        self.bias = nn.Parameter(torch.zeros(size_out))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * (self.LR_MUL / math.sqrt(self.weight[0].numel()))
        # unless told not to, a GPU rounds to ten bits here, which loses a period within a minute
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            x = F.conv1d(x, weight, self.bias * self.LR_MUL)
        return F.leaky_relu(x, 0.2)


class AcyclicEncoding(nn.Module):
    """Waves with predicted amplitudes, periods and phases, stitched at the anchors.  # Eq. 2 to 4

    Their values at the two anchors, linearly interpolated, are subtracted, and the anchors' alignment vectors,
    interpolated alike, added: at an anchor the code is its alignment vector, whichever side t comes from. No predictor
    has a bias, so that motion cannot collapse to one.
    """

    def __init__(self, config):
        super().__init__()
        size_u, waves = config.motion_u_dim, config.waves
        self.config = config
        if config.variant == "paper":
            self.amplitudes_predictor = FullyConnected(size_u, 2 * waves, bias=None)
        self.periods_predictor = FullyConnected(size_u, waves, bias=None)
        self.phase_predictor = FullyConnected(size_u, waves, bias=None)
        self.aligners_predictor = FullyConnected(size_u, 2 * waves, bias=None)

    def frequencies(self) -> np.ndarray:
        """The period scaling coefficients as angular frequencies [W], ascending, of log-spaced periods."""
        c = self.config
        return 2 * math.pi / 2 ** np.linspace(math.log2(c.max_period), math.log2(c.min_period), c.waves)

    def forward(self, segment: Segment, left: Tensor, right: Tensor, amplitude: Tensor | None = None) -> Tensor:
        """motion_u at the anchors left and right of each time [B,F,D] => motion_v [B,F,2W].

        amplitude [B,F]: a factor on the waves, 1 where it is None.
        """

        def sent(x: Tensor) -> Tensor:
            return to_device(x, left.device, left.dtype)

        frequencies = torch.from_numpy(self.frequencies())
        speed, scale = sent(torch.stack([frequencies, self.config.max_period * frequencies / (2 * math.pi)]))
        t, start, end, a = sent(torch.stack([segment.t, *segment.ends, segment.a]))
        if self.config.codes != "sinusoidal":
            speed = speed * (self.periods_predictor(left).tanh() + 1)
            phase = self.phase_predictor(left) * scale
        else:
            phase = torch.zeros_like(speed)

        def waves(t: Tensor) -> Tensor:
            angle = speed * t[..., None] + phase  # [B,F,W]
            return torch.cat([angle.sin(), angle.cos()], dim=-1)

        if self.config.codes != "aligned":
            return waves(t)
        a = a[..., None]
        wave = waves(t) - torch.lerp(waves(start), waves(end), a)
        if self.config.variant == "paper":
            wave = self.amplitudes_predictor(left) * wave
        if amplitude is not None:
            wave = amplitude[..., None] * wave
        return wave + torch.lerp(self.aligners_predictor(left), self.aligners_predictor(right), a)


class MotionEncoder(nn.Module):
    """t [B,F] frames and trajectory noise => motion_v [B,F,V].

    config has motion_z_dim, motion_u_dim, motion_kernel, motion_distance, waves, min_period, max_period, variant,
    codes and sound_dim.
    """

    def __init__(self, config):
        super().__init__()
        self.config = config
        kernel = config.motion_kernel
        self.conv = nn.Sequential(
            Conv1d(config.motion_z_dim, config.motion_z_dim, kernel),
            Conv1d(config.motion_z_dim, config.motion_u_dim, kernel),
        )
        self.time_encoder = AcyclicEncoding(config)
        if config.sound_dim:
            self.sound = FullyConnected(config.sound_dim, config.motion_v_dim, bias=None)

    @property
    def reach(self) -> int:
        """Anchors of noise that one motion_u sees, from its own onwards."""
        return 2 * self.config.motion_kernel - 1

    def random_noise(self, batch: int, last: float, rng: torch.Generator) -> Tensor:
        """Fresh noise [B,A,D] on the CPU that reaches as far as times up to `last` need."""
        return torch.randn(batch, self.anchors(last), self.config.motion_z_dim, generator=rng)

    def anchors(self, last: float) -> int:
        """How many anchors of noise times up to `last` need."""
        return math.floor(last / self.config.motion_distance) + 1 + self.reach

    def forward(
        self,
        t: Tensor,
        motion_z: Noise,
        *,
        sound: Tensor | None = None,
        amplitude: Tensor | None = None,
        loop: float | None = None,
    ) -> Tensor:
        """motion_z [B,A,D] or TrajectoryNoise.

        sound [B,F,S]: what is heard at each time, added to the codes through one matrix without a bias.
        amplitude [B,F]: factor on the waves. loop: a period in frames after which the codes repeat exactly.

        Raises:
            InputError: a time before 0 or beyond the noise, or sound that this network has not learned to take.
        """
        count = None
        if loop is not None:
            t, count = self._looped(t, loop)
        segment = Segment.of(t, self.config.motion_distance)
        anchors, where = torch.unique(torch.stack([segment.left, segment.left + 1]), return_inverse=True)
        motion_u = self.motion_u(motion_z, anchors, count)  # [B,A,D]
        row = torch.arange(len(t), device=motion_u.device)[:, None]
        left, right = motion_u[row, to_device(where, motion_u.device)]
        motion_v = self.time_encoder(segment, left, right, amplitude)
        if sound is not None:
            if not self.config.sound_dim or sound.shape[-1] != self.config.sound_dim:
                raise InputError(
                    f"This generator's motion takes {self.config.sound_dim} numbers of a sound, not {sound.shape[-1]}.",
                    "Let the sound drive speed or amplitude, which every generator has.",
                )
            motion_v = motion_v + self.sound(to_device(sound, motion_v.device, motion_v.dtype))
        return motion_v

    def motion_u(self, motion_z: Noise, anchors: Tensor, count: int | None = None) -> Tensor:
        """motion_z seen from anchors [A] => [B,A,D]; noise repeats after `count` anchors."""
        seen = anchors[:, None] + torch.arange(self.reach)  # [A,reach]
        if count is not None:
            seen = seen % count
        needed, where = torch.unique(seen, return_inverse=True)
        noise = noise_at(motion_z, needed)
        windows = noise[:, to_device(where, noise.device)]  # [B,A,reach,D]
        weight = cast(Conv1d, self.conv[0]).weight
        windows = to_device(windows, weight.device, weight.dtype)
        motion_u = self.conv(windows.flatten(0, 1).transpose(1, 2))  # [BA,D,1]
        return motion_u[..., 0].unflatten(0, (len(noise), len(anchors)))

    def _looped(self, t: Tensor, loop: float) -> tuple[Tensor, int]:
        """t within one period, stretched to whole segments, and how many these are. Alignment makes the seam exact."""
        if not loop > 0:
            raise InputError(f"A loop of {loop} frames cannot be.", "Give a period above 0.")
        distance = self.config.motion_distance
        count = max(round(loop / distance), 1)
        t = t.detach().to("cpu", torch.float64)
        return torch.remainder(t, loop) * (count * distance / loop), count
