"""The sounds that the encoder learns from, as raw log-mels computed once: recordings at hand, and synthesised ones.

    recordings folder: esc10/ in the layout of ESC-50, ambience/ with one file a label; either may be absent
    Clip.level [M,T] in dB below the file's loudest bin, fp16, not yet cut at top_db: gains and rooms come later

Axes: M mels, T mel time, L columns of a crop.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..audio.mel import AMIN, MelSpec, mel_power
from ..audio.waveform import load_audio, resample, to_mono
from ..metrics.zero_shot import read_esc
from ..miniature.sounds import other as sounds_other
from ..miniature.sounds import synthesis as sounds
from ..miniature.world.captions import concept_of
from .scene_clips import draw_curve, kept

CURVE_FPS = 12.0
FLOOR_DB = -110.0
ACTIVE_DB = -30.0  # a crop is placed over a column at least this loud, never over the silence beside a bark

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Clip:
    """One recording: what it is called, where it is from, what it sounds like. fold 0 has none."""

    label: str
    source: str  # "esc", "ambience" or "synthesised"
    fold: int
    level: np.ndarray  # [M,T] fp16

    @cached_property
    def active(self) -> np.ndarray:
        """The columns in which there is something to hear."""
        return np.flatnonzero(self.level.max(axis=0) > ACTIVE_DB)

    def crop(self, columns: int, rng: np.random.Generator) -> np.ndarray:
        """[M,L] with something to hear in it; a shorter recording is played again."""
        have = self.level.shape[1]
        if have <= columns:
            return np.tile(self.level, (1, -(-columns // have)))[:, :columns]
        first = int(self.active[rng.integers(len(self.active))] - rng.integers(columns))
        first = min(max(first, 0), have - columns)
        return self.level[:, first : first + columns]


def raw_level(wave: Tensor, sample_rate: float, spec: MelSpec) -> np.ndarray:
    """wave [N] => level [M,T] fp16, 0 dB the loudest bin."""
    power = mel_power(resample(wave.float(), sample_rate, spec.sample_rate)[None], spec)[0, 0]
    level_db = 10 * torch.log10(power.clamp(min=AMIN / 100) / power.max().clamp(min=AMIN))
    return level_db.clamp(min=FLOOR_DB).half().numpy()


def raw_key(spec: MelSpec) -> tuple:
    """What raw levels depend on."""
    return spec.sample_rate, spec.n_fft, spec.hop_length, spec.n_mels, spec.fmin, spec.fmax


def recorded(folder: Path, spec: MelSpec, *, folds: list[int], ambience: dict[str, str]) -> list[Clip]:
    """Clips of `folds` of esc10/ under their classes, and the files of ambience/ under the labels of the mapping."""
    clips = []
    if folds and (folder / "esc10" / "meta" / "esc50.csv").is_file():
        for row in read_esc(folder / "esc10"):
            if row["fold"] in folds:
                wave, sample_rate = load_audio(row["path"])
                label = concept_of(row["category"]) or row["category"].replace("_", " ")
                clips.append(Clip(label, "esc", row["fold"], raw_level(to_mono(wave), sample_rate, spec)))
    for name, label in ambience.items():
        path = folder / "ambience" / f"{name}.ogg"
        if path.is_file():
            wave, sample_rate = load_audio(path)
            clips.append(Clip(label, "ambience", 0, raw_level(to_mono(wave), sample_rate, spec)))
    if not clips:
        log.warning("No recordings under %s: training on synthesised sounds only.", folder)
    return clips


def synthesised(
    spec: MelSpec,
    *,
    seconds: float,
    per_phenomenon: int,
    per_other: int,
    first_seed: int,
    cache: Path,
    on_step: Callable[[int, int], None] | None = None,
) -> list[Clip]:
    """`per_phenomenon` sounds of each phenomenon and `per_other` of each other class, kept in the file `cache`."""
    plan = [
        (label, first_seed + i)
        for label in (*sounds.SOUNDS, *sounds_other.SOUNDS)
        for i in range(per_phenomenon if label in sounds.SOUNDS else per_other)
    ]
    key = (raw_key(spec), seconds, plan[-1], len(plan))
    told = None if on_step is None else lambda i, n, _: on_step(i, n)
    levels = kept(cache, key, partial(synthesised_level, seconds=seconds, spec=spec), plan, told)
    return [Clip(label, "synthesised", 0, level) for (label, _), level in zip(plan, levels)]


def synthesised_level(what: tuple[str, int], *, seconds: float, spec: MelSpec) -> np.ndarray:
    """The level [M,T] of the sound (label, seed). Half of the phenomena swell, pulse or switch, the others and all
    other classes come as they are."""
    label, seed = what
    rng = np.random.default_rng([seed, 300])
    frames = max(round(seconds * CURVE_FPS), 2)
    curve = draw_curve(rng, frames, CURVE_FPS) if label in sounds.SOUNDS and rng.random() < 0.5 else None
    sound = {**sounds.SOUNDS, **sounds_other.SOUNDS}[label]
    wave = sounds.render(sound, seconds, intensity=curve, seed=seed, sample_rate=spec.sample_rate, fps=CURVE_FPS)
    return raw_level(torch.from_numpy(wave), spec.sample_rate, spec)


class Draw:
    """Balanced draws: a label by its weight, then a recorded or a synthesised clip of it, then a crop.

    Of a label with n recordings a share `recorded_share` n / (n + 2) is recorded, so that the one wind at hand does not
    become what wind is.
    """

    def __init__(self, clips: list[Clip], *, recorded_share: float, weights: dict[str, float]) -> None:
        self.pools: dict[str, tuple[list[Clip], list[Clip]]] = {}
        for clip in clips:
            self.pools.setdefault(clip.label, ([], []))[clip.source == "synthesised"].append(clip)
        self.labels = sorted(self.pools)
        chance = np.array([weights.get(label, 1.0) for label in self.labels])
        self.chance = chance / chance.sum()
        self.recorded_share = recorded_share

    def batch(self, size: int, columns: int, rng: np.random.Generator) -> tuple[Tensor, list[str]]:
        """levels [B,M,L] fp16 and their labels."""
        levels, labels = [], []
        for k in rng.choice(len(self.labels), size, p=self.chance):
            real, made = self.pools[self.labels[k]]
            share = self.recorded_share * len(real) / (len(real) + 2) if made else 1.0
            pool = real if rng.random() < share else made
            levels.append(pool[rng.integers(len(pool))].crop(columns, rng))
            labels.append(self.labels[k])
        return torch.from_numpy(np.stack(levels)), labels
