"""Clips of the miniature world: rendered videos whose phenomenon is as strong as its sound is loud.

A synthesised sound and the frames follow one curve. Recordings bring their own: their loudness is the curve. In part
the frames also follow each moment's loudness, so that a crackle or a call is seen. The layouts are those that a coded
generator knows, so that a clip's source picture can be named.
Axes: N samples, F frames, B batch, Z dims of z.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..audio.features import curves
from ..audio.waveform import load_audio, to_mono
from ..metrics.zero_shot import read_esc
from ..miniature import codes, scenes, sounds
from ..miniature.captions import concept_of
from .clips import Clip, SceneCode

SOUND_SEC = 6.0
SAMPLE_RATE = 22050
LOUD_DB = 60.0  # what loudness 0..1 spans
LIVELY = 0.35  # share of a frame's strength that follows the loudness of its own moment,
LIVELY_DB = 10.0  # and how far below the loud moments that share is gone

log = logging.getLogger(__name__)


def draw_curve(rng: np.random.Generator, frames: int, fps: float) -> np.ndarray:
    """An intensity over time [F] in 0..1: wandering, swelling, pulsing, rising, falling, switched or steady."""
    t = np.arange(frames) / fps
    kind = rng.choice(["wander", "swell", "pulse", "ramp", "switch", "steady"], p=[0.3, 0.2, 0.15, 0.1, 0.15, 0.1])
    low, high = rng.uniform(0, 0.45), rng.uniform(0.75, 1.0)
    if kind == "wander":
        knots = rng.uniform(0, 1, int(t[-1] * rng.uniform(0.5, 2.0)) + 3)
        shape = np.interp(t, np.linspace(0, t[-1], len(knots)), knots)
        shape = (shape - shape.min()) / max(np.ptp(shape), 1e-6)
    elif kind == "swell":
        shape = 0.5 - 0.5 * np.cos(2 * np.pi * (t * rng.uniform(0.15, 0.7) + rng.random()))
    elif kind == "pulse":
        shape = np.exp(-((t * rng.uniform(0.4, 1.2) + rng.random()) % 1) * rng.uniform(2, 6))
    elif kind == "ramp":
        shape = np.linspace(0, 1, frames)[:: rng.choice([-1, 1])]
    elif kind == "switch":
        shape = (np.sin(2 * np.pi * (t * rng.uniform(0.15, 0.5) + rng.random())) > rng.uniform(-0.5, 0.5)).astype(float)
        shape, low = np.convolve(np.pad(shape, 1, mode="edge"), np.ones(3) / 3, mode="valid"), 0.3 * low
    else:
        shape = np.ones(frames)
    return low + (high - low) * shape


def loudness_curve(wave: Tensor, sample_rate: int, fps: float, frames: int) -> np.ndarray:
    """How strong a recording says that its phenomenon is: amplitude [F] in 0..1, gaps between calls or drops filled."""
    from scipy.ndimage import gaussian_filter1d, maximum_filter1d

    level_db = (curves(wave, sample_rate, fps, frames)["loudness"] - 1) * LOUD_DB
    return gaussian_filter1d(maximum_filter1d(10 ** (level_db / 20), round(0.4 * fps)), 0.15 * fps, mode="nearest")


def liveliness(loudness: np.ndarray) -> np.ndarray:
    """loudness [F] => [F] in 0..1: 1 at the loud moments, 0 from LIVELY_DB below them on."""
    return np.clip(1 - (np.percentile(loudness, 95) - loudness) * LOUD_DB / LIVELY_DB, 0, 1)


def synthesised(per_phenomenon: int, *, fps: float, frames: int, size: int, seed: int) -> Iterator[Clip]:
    """`per_phenomenon` clips of each."""
    total = round(SOUND_SEC * fps)
    for k, phenomenon in enumerate(scenes.PHENOMENA):
        for i in range(per_phenomenon):
            rng = np.random.default_rng([seed, k, i])
            curve = draw_curve(rng, total, fps)
            wave = sounds.synthesise(
                phenomenon, SOUND_SEC, intensity=curve, seed=int(rng.integers(2**31)), sample_rate=SAMPLE_RATE, fps=fps
            )
            yield _scene(f"synthesised/{phenomenon}-{i}", phenomenon, torch.from_numpy(wave), SAMPLE_RATE, curve, rng,
                         fps=fps, frames=frames, size=size)  # fmt: skip


def recorded(table: dict, *, fps: float, frames: int, size: int) -> Iterator[Clip]:
    """Recordings of phenomena under table["recordings"]: `folds` of esc10/ in the layout of ESC-50, and `crops` parts
    of each file of ambience/, whose mapping is file => phenomenon."""
    folder, found = Path(table["recordings"]), []
    if table["folds"] and (folder / "esc10" / "meta" / "esc50.csv").is_file():
        for row in read_esc(folder / "esc10"):
            if row["fold"] in table["folds"] and concept_of(row["category"]) in scenes.PHENOMENA:
                found.append((row["path"], concept_of(row["category"]), 1))
    found += [
        (folder / "ambience" / f"{name}.ogg", phenomenon, table["crops"])
        for name, phenomenon in table["ambience"].items()
        if (folder / "ambience" / f"{name}.ogg").is_file()
    ]
    if not found:
        log.warning("No recordings under %s: training on synthesised sounds only.", folder)
    for n, (path, phenomenon, count) in enumerate(found):
        wave, sample_rate = load_audio(path)
        wave, rng = to_mono(wave), np.random.default_rng([table["first_seed"], 100, n])
        length = round(SOUND_SEC * sample_rate)
        for i in range(count):
            first = int(rng.integers(max(wave.shape[-1] - length, 0) + 1))
            part = wave[first : first + length]
            total = int(part.shape[-1] / sample_rate * fps)
            if float(part.abs().max()) < 1e-3 or total < frames:
                continue
            curve = loudness_curve(part, sample_rate, fps, total)
            yield _scene(f"{path.name}#{i}", phenomenon, part, sample_rate, curve, rng,
                         fps=fps, frames=frames, size=size)  # fmt: skip


def _scene(
    name: str, phenomenon: str, wave: Tensor, sample_rate: int, curve: np.ndarray, rng: np.random.Generator, *,
    fps: float, frames: int, size: int,
) -> Clip:  # fmt: skip
    first = int(rng.integers(len(curve) - frames + 1))
    loudness = curves(wave, sample_rate, fps, len(curve))["loudness"]
    strength = np.clip(curve, 0, 1) * (1 - LIVELY + LIVELY * liveliness(loudness))
    layout, part = int(rng.integers(codes.LAYOUTS)), strength[first : first + frames]
    # of the weathers that look different and sound the same always the first: a mean of them is none
    dim = codes.LAYOUTS + scenes.PHENOMENA.index(phenomenon) * codes.WEATHERS

    def pixels() -> np.ndarray:
        return scenes.render(layout, phenomenon, part, size=size, fps=fps, start_sec=first / fps)

    return Clip(
        name, phenomenon, pixels, wave, sample_rate, first / fps, SceneCode(layout, dim, codes.AMPLITUDE * part)
    )


def name_z(layouts: list[int], calm: Tensor, z: Tensor) -> Tensor:
    """z [B,Z] with the signs of scenes of these layouts; where `calm` [B], of scenes in which nothing goes on."""
    z = z.clone()

    def spell(part: slice, numbers: Tensor, rows: Tensor) -> None:
        width = part.stop - part.start
        bits = (numbers[:, None] >> torch.arange(width - 1, -1, -1)) & 1
        z[rows, part] = torch.where(bits[rows] > 0, z[rows, part].abs(), -z[rows, part].abs())

    spell(codes.BITS["layout"], torch.tensor(layouts), torch.ones(len(layouts), dtype=torch.bool))
    spell(codes.BITS["kind"], torch.full((len(layouts),), codes.KINDS.index(None)), calm)
    return z


def scene_clips(table: dict, *, fps: float, frames: int, size: int) -> Iterator[Clip]:
    """Everything that a recipe's [data] asks for."""
    sizes = {"fps": fps, "frames": frames, "size": size}
    yield from synthesised(table["per_phenomenon"], seed=table["first_seed"], **sizes)
    yield from recorded(table, **sizes)
