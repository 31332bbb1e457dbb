"""Coded clips: a finite part of the miniature world in motion, whose every frame is determined by latents.

For a video generator's warm start (training/styleganv.py), as codes.py is for a picture generator's. The latents are z,
motion noise, time and sound. The signs of z name the scene. Motion runs round a closed clip of PERIOD frames; the signs
of three numbers of the noise at an anchor say how often until the next one, and how strong the phenomenon is there:
between two anchors it swells or ebbs evenly. So each of the endless random motions is a walk of changing speed and
strength without a period, and its frames are known. Where a sound is heard, it says how strong the phenomenon is
instead. All motion in a clip is whole cycles of it (layout.Frame), few enough for the motion's waves to follow: one
that drifts along, or flickers finely, is averaged away.
Axes: N clips, B batch, F frames, A anchors, D dims, S numbers of a sound, W waves.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from ...common.errors import InputError
from ...common.files import make_folder, replacing
from ...common.memory import to_device
from ...common.parallel import parallel_map
from ...generators.motion import Conv1d, MotionEncoder, Noise, noise_at
from ...media.images import from_uint8
from ...training.data.videos import VideoBatch
from .codes import BITS, KINDS, LAYOUTS, POWERS, write_mapping
from .scenes import render_still

FPS = 12.0
PERIOD = 48  # frames in a clip, one a moment: 4 seconds
DISTANCE = float(PERIOD)  # frames between anchors
TURNS = (1, 2)  # times round the clip between two anchors
SWELLS = (0.4, 0.6, 0.8, 1.0)  # at an anchor, shares of the content's power
LEVELS = (0.0, 0.5, 1.0)  # powers that are rendered; those between are blended
SOUND_DIM = 2  # 1, and the intensity
BITS_READ = 3  # numbers of the noise: the sign of one names the turns, those of two the swell
EDGE = 0.01  # a number of the noise is read as its sign where it is further than this from 0


@dataclass(frozen=True)
class Clip:
    """A scene: layout, index into KINDS, and power as an index into POWERS. Its weather is the first of the kind's."""

    layout: int
    kind: int
    power: int


CLIPS = [Clip(i, k, (i // 2 + k) % len(POWERS)) for i in range(LAYOUTS) for k in range(len(KINDS))]


class CodedClips:
    """Every moment of CLIPS at the powers of LEVELS: on the CPU a memory-mapped file, else in the device's memory."""

    fps, sound_dim = FPS, SOUND_DIM

    def __init__(
        self,
        folder: str | os.PathLike,
        size: int = 64,
        on_step: Callable[[int, int], None] | None = None,
        device: str | torch.device = "cpu",
    ):
        path = make_folder(folder) / f"loops-{len(CLIPS)}-{len(LEVELS)}-{PERIOD}-{size}.npy"
        if not path.is_file():
            _render_all(path, size, on_step)
        pixels = np.load(path, mmap_mode="c")  # "r" would do, but that torch warns of it
        self.pixels = torch.from_numpy(pixels).to(device)  # [N,LEVELS,PERIOD,H,W,3] uint8

    def __len__(self) -> int:
        return len(CLIPS)

    def draw(self, times: Tensor, z: Tensor, motion_z: Noise, rng: torch.Generator) -> VideoBatch:
        """Random clips at times [B,F] in frames, each moved to the nearest moment that is rendered; of z [B,D] the
        signs are changed to name them."""
        batch = len(times)
        index = torch.randint(len(CLIPS), (batch,), generator=rng)
        clips = [CLIPS[i] for i in index.tolist()]
        heard = (torch.rand(batch, generator=rng) < 0.5)[:, None]
        z = set_content_signs(z, clips)
        t, moment, swell = nearest_moments(times, motion_z)
        own = torch.tensor([POWERS[clip.power] for clip in clips])[:, None]
        # one strength of sound a video: what then changes is the motion, which would else drown in the flicker
        power = torch.where(heard, torch.rand(batch, 1, generator=rng), own * swell.float())  # [B,F]
        sound = torch.stack([torch.ones_like(power), power], dim=-1) * heard[..., None]
        return VideoBatch(z, motion_z, t, sound, self.frames(index[:, None].expand_as(moment), moment, power))

    def frames(self, index: Tensor, moment: Tensor, power: Tensor) -> Tensor:
        """Clips [B,F] at moments [B,F] and powers [B,F] in 0..1 => [B,F,3,H,W] in -1..1, where the pixels are."""
        place = power * (len(LEVELS) - 1)
        level = place.floor().clamp(max=len(LEVELS) - 2).long()
        a = to_device(place - level, self.pixels.device)[..., None, None, None]
        clip, low, high, number = to_device(torch.stack([index, level, level + 1, moment]), self.pixels.device)
        low, high = (
            from_uint8(self.pixels[clip, at, number].flatten(0, 1)).unflatten(0, index.shape) for at in (low, high)
        )
        return torch.lerp(low, high, a)

    def write(self, mapping: nn.Module, motion: MotionEncoder) -> None:
        write_mapping(mapping)
        write_motion(motion)


def set_content_signs(z: Tensor, clips: list[Clip]) -> Tensor:
    """z [B,D] with the signs that name each clip; those of the weather say nothing here."""
    z = z.clone()
    for name in ("layout", "kind", "power"):
        part = z[:, BITS[name]]  # [B,bits], the first the highest
        code = torch.tensor([getattr(clip, name) for clip in clips])[:, None]
        ones = (code >> torch.arange(part.shape[1]).flip(0) & 1).bool()
        part.copy_(torch.where(ones, part.abs(), -part.abs()))
    return z


def decode_noise(noise: Tensor) -> tuple[Tensor, Tensor]:
    """Trajectory noise [...,D] at an anchor => turns until the next, and the swell there, [...]"""
    one, two, three = (noise[..., :BITS_READ] > 0).long().unbind(-1)
    return torch.tensor(TURNS)[one], torch.tensor(SWELLS, dtype=torch.float64)[2 * two + three]


def nearest_moments(times: Tensor, motion_z: Noise) -> tuple[Tensor, Tensor, Tensor]:
    """times [B,F] in frames => the nearest times at which a motion meets a moment of the clip, the moment's number, and
    the swell there, [B,F]. Every whole frame meets one."""
    left = (times.double() / DISTANCE).floor()
    anchors, where = torch.unique(torch.stack([left.long(), left.long() + 1]), return_inverse=True)
    row = torch.arange(len(times))[:, None]
    noise = noise_at(motion_z, anchors).cpu()
    (turns, start), (_, end) = (decode_noise(noise[row, index]) for index in where)
    passed = ((times / DISTANCE - left) * turns * PERIOD).round()  # moments since the anchor
    a = passed / (turns * PERIOD)
    return (left + a) * DISTANCE, passed.long() % PERIOD, torch.lerp(start, end, a)


@torch.no_grad()
def write_motion(motion: MotionEncoder) -> None:
    """Sets a motion encoder so that its codes say where in the clip the motion is, and how strong.

    motion_u: 1, and for each number of the anchor's noise that is read 1 where it is positive, else 0.
    motion_v: sin and cos of k times the angle round the clip, one wave each, which goes a whole number of times between
    two anchors and so needs no stitching; k grows from 1 with the frequencies, by which the network can tell
    moments apart. The fastest wave is kept at rest: its alignment vectors are the swell, in -1..1.
    """
    config = motion.config
    room = min(config.motion_u_dim, config.motion_z_dim // 2 + 1) > BITS_READ and config.waves > 1
    times = config.motion_distance == DISTANCE and config.max_period < DISTANCE and config.variant == "paper"
    if not (room and times):
        raise InputError(
            f"Motion codes of {config.motion_z_dim} and {config.motion_u_dim} numbers, {config.motion_distance:g} "
            f"frames apart, with periods up to {config.max_period:g} frames, cannot spell clips.",
            f"Give motion_z_dim {2 * BITS_READ} or more, motion_u_dim {BITS_READ + 1} or more, motion_distance "
            f"{DISTANCE:g}, a shorter max_period, and the paper's variant.",
        )
    # lrelu(x + EDGE) - lrelu(x - EDGE) is a step from 0.4 to 2 EDGE
    convs = [cast(Conv1d, conv) for conv in motion.conv]
    weights, biases = zip(*((torch.zeros_like(c.weight), torch.zeros_like(c.bias)) for c in convs))
    biases[1][0] = 1.0
    for bit in range(BITS_READ):
        for unit, sign in ((bit, 1.0), (bit + BITS_READ, -1.0)):
            weights[0][unit, bit, 0], biases[0][unit] = 1.0, sign * EDGE
            weights[1][1 + bit, unit, 0] = sign / (1.6 * EDGE)
        biases[1][1 + bit] = -0.25
    for conv, weight, bias in zip(convs, weights, biases):
        conv.weight.copy_(weight * (math.sqrt(weight[0].numel()) / conv.LR_MUL))
        conv.bias.copy_(bias / conv.LR_MUL)

    encoder, waves = motion.time_encoder, config.waves
    once = encoder.frequencies() * DISTANCE / (2 * math.pi)  # turns of each wave between two anchors, as built
    k = np.maximum(np.round(once / 1.5), 1)  # TURNS of k stay within the wave's reach, 0 to 2 times as built
    slow, fast = (np.arctanh((turns * k / once - 1).clip(-0.999, 0.999)) for turns in TURNS)
    moving, at_rest = np.tile(np.arange(waves) < waves - 1, 2), np.tile(np.arange(waves) == waves - 1, 2)
    cosines = moving * np.repeat([0.0, 1.0], waves)
    rise = 2 * np.array([SWELLS[2] - SWELLS[0], SWELLS[1] - SWELLS[0]])
    _set_predictor(encoder.periods_predictor.weight, slow, fast - slow)
    resting = (2 * SWELLS[0] - 1) * at_rest
    _set_predictor(encoder.aligners_predictor.weight, cosines + resting, 0, *np.outer(rise, at_rest))
    _set_predictor(encoder.amplitudes_predictor.weight, moving)
    encoder.phase_predictor.weight.zero_()


def _set_predictor(weight: Tensor, *values) -> None:
    """Sets a predictor [O,U] without a bias to the sum of values [O], one for each of the first units of motion_u."""
    weight.zero_()
    for unit, value in enumerate(values):
        weight[:, unit] = torch.as_tensor(value, dtype=weight.dtype) * math.sqrt(weight.shape[1])


def _render_all(path: Path, size: int, on_step: Callable[[int, int], None] | None) -> None:
    powers = {clip: LEVELS if KINDS[clip.kind] else LEVELS[:1] for clip in CLIPS}  # calm is the same at every power
    items = [
        (clip.layout, KINDS[clip.kind], power, 0, number / FPS)
        for clip in CLIPS
        for power in powers[clip]
        for number in range(PERIOD)
    ]
    pictures = parallel_map(partial(render_still, size=size, loop_sec=PERIOD / FPS), items)
    with replacing(path) as temporary:
        shape = (len(CLIPS), len(LEVELS), PERIOD, size, size, 3)
        pixels = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
        for i, clip in enumerate(CLIPS):
            rendered = [[next(pictures) for _ in range(PERIOD)] for _ in powers[clip]]
            pixels[i] = np.array(rendered)
            if on_step is not None:
                on_step(i, len(CLIPS))
        pixels.flush()
        del pixels
