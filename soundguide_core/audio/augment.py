"""Augmentation of log-mels and captions.

SpecAugment: D. S. Park et al., "SpecAugment", Interspeech 2019, with the widths of Lee et al. 2022 (frequency 0.15,
time 0.30, two rounds). The rest answers "the same sound, another microphone, another room" on levels in dB:

    level [B,M,T] in dB  =>  level [B,M,T] in dB;   powers add, responses add in dB

Axes: B batch, M mels, T mel time. Every draw comes from an explicit generator of the CPU, or from one of the device
that it has seeded; the work is done where the levels lie.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..common.memory import to_device

SILENT_DB = -100.0  # a crop that is nowhere louder than this below its file has nothing to hear


def _uniform(
    b: int, low: float, high: float, generator: torch.Generator | None, device: torch.device | str = "cpu"
) -> Tensor:
    return to_device(low + (high - low) * torch.rand(b, 1, 1, generator=generator), torch.device(device))  # [B,1,1]


def _chosen(b: int, share: float, generator: torch.Generator | None, device: torch.device) -> Tensor:
    """[B,1,1], True for about that share."""
    return to_device(torch.rand(b, 1, 1, generator=generator) < share, device)


def spec_augment(
    mel: Tensor, freq: float = 0.15, time: float = 0.30, rounds: int = 2, generator: torch.Generator | None = None
) -> Tensor:
    """mel [B,1,M,T] with bands of U(0,freq) of its mels and U(0,time) of its columns set to 0, `rounds` times each."""
    out = mel.clone()
    b, _, mels, columns = mel.shape
    for _ in range(rounds):
        for size, share, axis in ((mels, freq, 2), (columns, time, 3)):
            width = torch.rand(b, generator=generator) * share * size
            first = torch.rand(b, generator=generator) * (size - width)
            at = torch.arange(size)
            hidden = (at >= first[:, None]) & (at < (first + width)[:, None])  # [B,size]
            shape = [b, 1, 1, 1]
            shape[axis] = size
            out = out.masked_fill(to_device(hidden.reshape(shape), mel.device), 0.0)
    return out


def stretch(
    level: Tensor, columns: int, generator: torch.Generator | None, *, speed: float = 1.25, bins: float = 3.0
) -> Tensor:
    """Another speed and pitch: level [B,M,T] => [B,M,columns], time times 1/speed..speed, mels moved by -bins..bins."""
    b, mels, have = level.shape
    factor = torch.exp(_uniform(b, -math.log(speed), math.log(speed), generator))[..., 0]  # [B,1]
    width = (columns * factor).clamp(max=have)
    start = torch.rand(b, 1, generator=generator) * (have - width)
    shift = _uniform(b, -bins, bins, generator)[..., 0]
    start, width, shift = (to_device(numbers, level.device) for numbers in (start, width, shift))
    x = (start + width * (torch.arange(columns, device=level.device) + 0.5) / columns) / have * 2 - 1  # [B,columns]
    y = (torch.arange(mels, device=level.device) + 0.5 + shift) / mels * 2 - 1  # [B,M]
    grid = torch.stack([x[:, None].expand(b, mels, columns), y[:, :, None].expand(b, mels, columns)], dim=-1)
    return F.grid_sample(level[:, None], grid, mode="bilinear", padding_mode="border", align_corners=False)[:, 0]


def add_power(a_db: Tensor, b_db: Tensor) -> Tensor:
    """Two sounds at once: 10 log10(10^(a/10) + 10^(b/10))."""
    return torch.logaddexp(a_db * (math.log(10) / 10), b_db * (math.log(10) / 10)) * (10 / math.log(10))


def response(b: int, mels: int, generator: torch.Generator | None, *, spread_db: float = 4.0) -> Tensor:
    """Curves of other microphones [B,M,1] in dB: waves, a tilt, and for some a cut at the bottom or at the top."""
    knots = torch.randn(b, 1, 7, generator=generator) * spread_db
    curve = F.interpolate(knots, size=mels, mode="linear", align_corners=True)[:, 0]  # [B,M]
    x = torch.linspace(-0.5, 0.5, mels)
    curve = curve + torch.randn(b, 1, generator=generator) * 2 * spread_db * x
    at = torch.arange(mels, dtype=torch.float32)
    top = mels * (1.6 - 1.1 * torch.rand(b, 1, generator=generator))
    bottom = mels * (0.25 * torch.rand(b, 1, generator=generator) - 0.1)
    slope = 0.5 + 4 * torch.rand(b, 2, generator=generator)
    curve = curve - slope[:, :1] * (at - top).clamp(min=0) - slope[:, 1:] * (bottom - at).clamp(min=0)
    return curve[..., None]


def floor_noise(
    b: int, mels: int, columns: int, generator: torch.Generator | None, *,
    low_db: float = -85.0, high_db: float = -25.0, device: torch.device | str = "cpu",
) -> Tensor:  # fmt: skip
    """Hiss and hum of a recorder [B,M,T] in dB: a tilted floor with the ripple of real noise."""
    tilt = torch.randn(b, 1, 1, generator=generator) * 8 * torch.linspace(0.5, -0.5, mels)[None, :, None]
    there = generator
    if torch.device(device).type != "cpu":
        there = torch.Generator(device).manual_seed(int(torch.randint(2**62, (), generator=generator)))
    ripple = torch.rand(b, mels, columns, generator=there, device=device)
    ripple = ripple.clamp(min=1e-3).log().neg().log() * (4 / math.log(10))
    return _uniform(b, low_db, high_db, generator, device) + to_device(tilt, torch.device(device)) + ripple


def smear(level: Tensor, generator: torch.Generator | None, *, chance: float = 0.3, longest: float = 25.0) -> Tensor:
    """A room: part of each column's power decays into the following ones, over up to `longest` columns (1/e)."""
    b = len(level)
    taps = int(3 * longest)
    length = torch.exp(_uniform(b, math.log(2.0), math.log(longest), generator))[..., 0]
    wet = _uniform(b, 0.02, 0.4, generator)[..., 0] * (torch.rand(b, 1, generator=generator) < chance)
    length, wet = to_device(length, level.device), to_device(wet, level.device)
    kernel = torch.exp(-torch.arange(taps, device=level.device) / length)  # [B,taps]
    kernel = wet * kernel / kernel.sum(dim=1, keepdim=True)
    kernel[:, 0] += 1
    power = 10 ** (level / 10)
    padded = F.pad(power.transpose(0, 1), (taps - 1, 0))  # [M,B,T]: one kernel per recording
    out = F.conv1d(padded, kernel.flip(1)[:, None], groups=b)
    return 10 * torch.log10(out.transpose(0, 1).clamp(min=1e-12))


def compress(level: Tensor, generator: torch.Generator | None, *, chance: float = 0.25, most: float = 0.6) -> Tensor:
    """A recorder that sets its own level: up to `most` of the slow swings in loudness (half a second) are taken out."""
    b = len(level)
    share = _uniform(b, 0.0, most, generator, level.device) * _chosen(b, chance, generator, level.device)
    loudness = level.amax(dim=1, keepdim=True)  # [B,1,T]
    slow = F.avg_pool1d(F.pad(loudness, (10, 10), mode="replicate"), 21, stride=1)
    return level - share * (slow - slow.amax(dim=-1, keepdim=True))


def gate(level: Tensor, generator: torch.Generator | None, *, chance: float = 0.3, depth: float = 3.0) -> Tensor:
    """Noise reduction or a lossy codec: what lies 30 to 70 dB below the loudest bin sinks `depth` times as deep."""
    b = len(level)
    threshold = _uniform(b, -70.0, -30.0, generator, level.device) + level.amax(dim=(1, 2), keepdim=True)
    gated = _chosen(b, chance, generator, level.device)
    return torch.where(gated & (level < threshold), threshold + depth * (level - threshold), level)


def augment_level(
    level: Tensor,
    columns: int,
    generator: torch.Generator | None,
    *,
    other: Tensor | None = None,
    mix: float = 0.35,
    quietest_db: float = 18.0,
    spread_db: float = 4.0,
    noisiest_db: float = -25.0,
    rooms: float = 0.3,
    compressed: float = 0.0,
    gated: float = 0.0,
    cleanest_db: float = -85.0,
    top_db: float = 80.0,
) -> Tensor:
    """The whole chain: raw levels [B,M,T0] in dB => mel [B,1,M,columns] in 0..1; silence stays silent.

    Args:
        other: [B,M,T0] raw levels of recordings to put behind (power sum), for a share `mix` of the batch.
        mix, rooms, compressed, gated: the share of the batch with another sound behind it, a room, an automatic level,
            noise reduction.
        cleanest_db, noisiest_db: where the floor of a recorder lies below the loudest bin.
        quietest_db: how far below the reference the loudest bin may lie, since windows share their file's reference.
    """
    b, mels, device = len(level), level.shape[1], level.device
    silent = level.amax(dim=(1, 2), keepdim=True) <= SILENT_DB

    def below_loudest(x: Tensor) -> Tensor:
        return x - x.amax(dim=(1, 2), keepdim=True).masked_fill(silent, 0.0)

    level = below_loudest(stretch(level, columns, generator))
    if other is not None:
        behind = stretch(other, columns, generator)
        behind = behind - behind.amax(dim=(1, 2), keepdim=True) - _uniform(b, 2, 30, generator, device)
        mixed = _chosen(b, mix, generator, device) & ~silent
        level = torch.where(mixed, add_power(level, behind), level)
    level = gate(compress(level, generator, chance=compressed), generator, chance=gated)
    microphone = to_device(response(b, mels, generator, spread_db=spread_db), device)
    level = below_loudest(smear(level, generator, chance=rooms) + microphone)
    hiss = floor_noise(b, mels, columns, generator, low_db=cleanest_db, high_db=noisiest_db, device=device)
    level = add_power(level, hiss)
    quiet = _uniform(b, 0, quietest_db, generator, device) * _chosen(b, 0.5, generator, device)
    level = below_loudest(level) - quiet
    return (level / top_db + 1).clamp(0, 1)[:, None]


SYNONYMS: dict[str, tuple[str, ...]] = {
    "rain": ("rainfall", "raindrops"),
    "waves": ("surf", "breakers"),
    "sea": ("ocean",),
    "ocean": ("sea",),
    "fire": ("flames", "blaze"),
    "flames": ("fire",),
    "wind": ("breeze", "gale"),
    "thunder": ("thunderstorm",),
    "birds": ("songbirds",),
    "chirping": ("singing",),
    "singing": ("chirping",),
    "crickets": ("insects",),
    "night": ("evening",),
    "sound": ("noise",),
    "noise": ("sound",),
    "loud": ("strong",),
    "heavy": ("strong",),
    "light": ("gentle",),
    "gentle": ("soft",),
    "crying": ("sobbing",),
    "baby": ("infant",),
    "clock": ("watch",),
    "dog": ("puppy", "hound"),
    "rooster": ("cockerel",),
    "helicopter": ("chopper",),
    "burning": ("blazing",),
    "recording": ("take",),
    "distance": ("background",),
    "crackling": ("popping",),
    "howling": ("whistling",),
}


def augment_text(text: str, rng: np.random.Generator) -> str:
    """One synonym replaced, two words swapped, one synonym inserted, in that order; each where the text allows it."""
    words = text.split()
    known = [i for i, word in enumerate(words) if word.lower() in SYNONYMS]
    if known:
        at = known[rng.integers(len(known))]
        options = SYNONYMS[words[at].lower()]
        inserted = options[0]
        words[at] = options[rng.integers(len(options))]
    if len(words) > 1:
        i, j = rng.choice(len(words), 2, replace=False)
        words[i], words[j] = words[j], words[i]
    if known:
        words.insert(int(rng.integers(len(words) + 1)), inserted)
    return " ".join(words)
