"""A finite part of the miniature world in motion, in which content, motion noise, time and sound name every frame.

For a video generator's warm start (training/styleganv.py), as codes.py is for a picture generator's. The signs of z
name the scene. Motion runs round a circle of one clip, PERIOD frames long: the signs of two numbers of the noise at an
anchor name the quarter of the circle where the clip is then, and between two anchors it moves forward, evenly, from the
one to the next. So each of the endless random motions is a walk of changing speed without a period, and its frames are
known. Where a sound is heard, it says how strong the phenomenon is; otherwise the content does.
Axes: N clips, B batch, F frames, A anchors, D dims, S numbers of a sound.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import InputError
from ..files import make_folder, replacing
from ..generators.motion import MotionEncoder, TrajectoryNoise
from ..images import from_uint8
from .codes import BITS, KINDS, LAYOUTS, POWERS, STEEPNESS, WEATHERS, write_mapping
from .scenes import render

FPS = 12.0
DISTANCE = 24.0  # frames between anchors
QUARTERS = 4
STEP = 2  # frames between the moments of a clip that are rendered
MOMENTS = 24
PERIOD = STEP * MOMENTS  # 4 seconds
BLEND = MOMENTS // 4  # over the last moments a clip fades into its own past, so that it closes
SOUND_DIM = 2  # 1, and the intensity
EDGE = 0.1  # a number of the noise is read as its sign where it is further than EDGE / STEEPNESS from 0
PAIRS = list(product((-1.0, 1.0), repeat=4))  # signs that name the quarters at two neighbouring anchors


@dataclass(frozen=True)
class Clip:
    """A scene: layout, index into KINDS, weather, and power as an index into POWERS."""

    layout: int
    kind: int
    weather: int
    power: int


CLIPS = [Clip(i, k, (i + k) % WEATHERS, (i // 2 + k) % len(POWERS)) for i in range(LAYOUTS) for k in range(len(KINDS))]


@dataclass(frozen=True)
class Named:
    """Frames [B,F,3,H,W] in -1..1 and what names them: z [B,D], motion seeds, t [B,F], and sound [B,F,S] (0: off)."""

    z: Tensor
    motion_z: TrajectoryNoise
    t: Tensor
    sound: Tensor
    frames: Tensor


class NamedClips:
    """Every moment of CLIPS, once at the content's own power and once at a random one, in a memory-mapped file."""

    fps, sound_dim = FPS, SOUND_DIM

    def __init__(self, folder: str | os.PathLike, size: int = 64, on_step: Callable[[int, int], None] | None = None):
        path = make_folder(folder) / f"clips-{len(CLIPS)}-{MOMENTS}-{size}.npy"
        if not path.is_file():
            _render_all(path, size, on_step)
        self.pixels = np.load(path, mmap_mode="r")  # [N,2,MOMENTS,H,W,3] uint8

    def __len__(self) -> int:
        return len(CLIPS)

    def draw(self, batch: int, times: Tensor, z_dim: int, motion_z_dim: int, rng: torch.Generator) -> Named:
        """Random clips at times [B,F] in frames, each moved to the nearest moment that is rendered."""
        index = torch.randint(len(CLIPS), (batch,), generator=rng)
        heard = torch.rand(batch, generator=rng) < 0.5
        z = name_content(torch.randn(batch, z_dim, generator=rng), [CLIPS[i] for i in index.tolist()])
        seeds = torch.randint(2**31, (batch,), generator=rng).tolist()
        motion_z = TrajectoryNoise(tuple(seeds), motion_z_dim)
        t, moment = nearest_moments(times, motion_z)
        rows = torch.stack([index, heard.long()], dim=1)
        frames = np.stack([self.pixels[i, h, m] for (i, h), m in zip(rows.tolist(), moment.numpy())])
        power = torch.from_numpy(intensities())[index[:, None], moment]  # [B,F]
        sound = torch.stack([torch.ones_like(power), power], dim=-1) * heard[:, None, None]
        return Named(z, motion_z, t, sound, from_uint8(torch.from_numpy(frames).flatten(0, 1)).unflatten(0, t.shape))

    def write(self, mapping: nn.Module, motion: MotionEncoder) -> None:
        write_mapping(mapping)
        write_motion(motion)


def name_content(z: Tensor, clips: list[Clip]) -> Tensor:
    """z [B,D] with the signs that name each clip."""
    z = z.clone()
    for row, clip in zip(z, clips):
        for name, part in BITS.items():
            bits = range(part.start, part.stop)
            for k, j in enumerate(reversed(bits)):
                row[j] = row[j].abs() if getattr(clip, name) >> k & 1 else -row[j].abs()
    return z


def quarters(noise: Tensor) -> Tensor:
    """Trajectory noise [...,D] => the quarter 0..3 that it names [...]"""
    return 2 * (noise[..., 0] > 0).long() + (noise[..., 1] > 0).long()


def nearest_moments(times: Tensor, motion_z: TrajectoryNoise) -> tuple[Tensor, Tensor]:
    """times [B,F] in frames => the nearest times at which a motion meets a rendered moment, and its number, [B,F]."""
    left = (times.double() / DISTANCE).floor()
    anchors, where = torch.unique(torch.stack([left.long(), left.long() + 1]), return_inverse=True)
    row = torch.arange(len(times))[:, None]
    start, end = (quarters(motion_z.at(anchors)[row, index]) for index in where)
    moves = (end - start - 1) % QUARTERS + 1  # quarters passed between the anchors
    share = MOMENTS // QUARTERS
    passed = ((times / DISTANCE - left) * moves * share).round()  # moments since the anchor
    t = (left + passed / (moves * share)) * DISTANCE
    return t, (start * share + passed.long()) % MOMENTS


@torch.no_grad()
def write_motion(motion: MotionEncoder) -> None:
    """Sets a motion encoder so that its codes say where on the circle the clip is.

    motion_u: two units per pair of quarters, at its own anchor and the next, whose difference is 1 for the pair that is
    met and 0.2 for others; see codes.py. motion_v: in turns the cosine and sine of the place on the circle and of twice
    that; the alignment vectors at the anchors, and between them as many waves as there are, fitted.
    """
    config = motion.config
    room = (config.motion_u_dim >= 2 * len(PAIRS) and config.motion_z_dim >= 4, config.motion_distance == DISTANCE)
    if not all(room) or config.variant != "paper":
        raise InputError(
            f"Motion codes of {config.motion_u_dim} numbers, {config.motion_distance:g} frames apart, cannot spell "
            "clips.",
            f"Give motion_u_dim {2 * len(PAIRS)} or more, motion_distance {DISTANCE:g}, and the paper's variant.",
        )
    weights, biases = zip(*((torch.zeros_like(c.weight), torch.zeros_like(c.bias)) for c in motion.conv))
    for bit, (offset, bias) in product((0, 1), ((0, EDGE), (2, -EDGE))):
        weights[0][bit + offset, bit, 0], biases[0][bit + offset] = STEEPNESS, bias
    for k, signs in enumerate(PAIRS):
        for unit, shift in ((2 * k, 0.0), (2 * k + 1, -1.0)):
            for j, sign in enumerate(signs):
                bit, anchor = j % 2, j // 2
                scale = sign / (0.8 * EDGE)
                weights[1][unit, bit, anchor], weights[1][unit, bit + 2, anchor] = scale, -scale
            biases[1][unit] = shift - 3 - 1.5 * sum(signs)
    for conv, weight, bias in zip(motion.conv, weights, biases):
        conv.weight.copy_(weight * (math.sqrt(weight[0].numel()) / conv.LR_MUL))
        conv.bias.copy_(bias / conv.LR_MUL)

    encoder = motion.time_encoder
    period = 2 * math.pi / encoder.frequencies()  # [W]
    runs = np.maximum(np.round(DISTANCE / period), 1)  # how often each wave shall run between two anchors
    speed = np.arctanh(np.minimum(runs * period / DISTANCE - 1, 0.999))
    anchors, amplitudes = _circle(runs)
    _say(encoder.periods_predictor.weight, np.tile(speed, (len(PAIRS), 1)))
    _say(encoder.aligners_predictor.weight, anchors)
    _say(encoder.amplitudes_predictor.weight, amplitudes)
    encoder.phase_predictor.weight.zero_()


def _circle(runs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What each number of a code is at the anchor, and the amplitude of its wave, for each pair of quarters [16,2W].

    Numbers that stand for the same thing share its waves, so each has its wave as many times larger.
    """
    start, end = ([int(2 * (p[i] > 0) + (p[i + 1] > 0)) for p in PAIRS] for i in (0, 2))
    moves = (np.subtract(end, start) - 1) % QUARTERS + 1
    a = np.linspace(0, 1, 64)
    angle = math.pi / 2 * (np.array(start)[:, None] + np.outer(moves, a))  # [16,64]
    waves = np.concatenate([np.sin(2 * math.pi * np.outer(runs, a)), np.cos(2 * math.pi * np.outer(runs, a)) - 1])
    anchors, amplitudes = np.zeros((2, len(PAIRS), len(waves)))
    for group, path in enumerate((np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle))):
        members = np.arange(len(waves)) % len(runs) % 4 == group
        chord = path[:, :1] + (path[:, -1:] - path[:, :1]) * a
        anchors[:, members] = path[:, :1]
        amplitudes[:, members] = np.linalg.lstsq(waves[members].T, (path - chord).T, rcond=0.05)[0].T * members.sum()
    return anchors, amplitudes


def _say(weight: Tensor, values: np.ndarray) -> None:
    """Sets a predictor [O,U] without a bias to give values [16,O], one row for each pair of quarters."""
    met = 0.8 * np.eye(len(PAIRS)) + 0.2  # the units' differences, for each pair
    rows = torch.from_numpy(np.linalg.solve(met, values).T * math.sqrt(weight.shape[1])).to(weight)
    weight.zero_()
    weight[:, 0 : 2 * len(PAIRS) : 2], weight[:, 1 : 2 * len(PAIRS) : 2] = rows, -rows


def intensities() -> np.ndarray:
    """How strong the phenomenon is at each moment of the clips that a sound rules, [N,MOMENTS] in 0..1."""
    rng = np.random.default_rng(5)
    power = rng.random((len(CLIPS), MOMENTS), np.float32)
    return power * np.array([[KINDS[clip.kind] is not None] for clip in CLIPS], np.float32)


def moment(clip: Clip, number: int, power: float, size: int) -> np.ndarray:
    """One moment of a clip, uint8 [H,W,3]. The last ones blend into what would have been before the first."""

    def at(step: int) -> np.ndarray:
        sec = (PERIOD + step * STEP) / FPS
        return render(clip.layout, KINDS[clip.kind], power, size=size, variant=clip.weather, start_sec=sec)[0]

    late = number - (MOMENTS - BLEND)
    if late <= 0:
        return at(number)
    a = late / BLEND
    return ((1 - a) * at(number) + a * at(number - MOMENTS) + 0.5).astype(np.uint8)


def _render_all(path: Path, size: int, on_step: Callable[[int, int], None] | None) -> None:
    heard = intensities()
    with replacing(path) as temporary:
        shape = (len(CLIPS), 2, MOMENTS, size, size, 3)
        pixels = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
        for i, clip in enumerate(CLIPS):
            for number in range(MOMENTS):
                pixels[i, 0, number] = moment(clip, number, POWERS[clip.power], size)
                calm = KINDS[clip.kind] is None  # a sound without a phenomenon changes nothing
                pixels[i, 1, number] = pixels[i, 0, number] if calm else moment(clip, number, heard[i, number], size)
            if on_step is not None:
                on_step(i, len(CLIPS))
        pixels.flush()
        del pixels
