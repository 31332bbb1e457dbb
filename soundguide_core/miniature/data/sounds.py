"""Sounds for the sound encoder: recordings under the world's words for them, synthesised ones, captions, pictures.

    recordings folder: esc10/ in the layout of ESC-50, ambience/ with one file a label; either may be absent

Axes: M mels, T mel time, P pictures, D dims.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...audio.mel import MelSpec
from ...audio.waveform import load_audio, to_mono
from ...embedding.clip import ClipTowers
from ...metrics.zero_shot import read_esc
from ...training.recipe import check_entries
from ...training.sound_data import Clip, SoundData, raw_key, raw_level
from ..sounds import other as sounds_other
from ..sounds import synthesis as sounds
from ..world import captions
from ..world.captions import concept_of
from .scene_clips import draw_curve, kept
from .scenes import render_scenes

CURVE_FPS = 12.0
ROOT = Path(__file__).resolve().parents[3]

log = logging.getLogger(__name__)


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


@torch.no_grad()
def picture_pools(
    towers: ClipTowers, count: int, folder: Path, on_step: Callable[[int, int], None] | None = None
) -> dict[str, Tensor]:
    """Embeds of rendered scenes by what they show, {phenomenon or calm: [P,D]}; weak phenomena are left out."""
    scenes = render_scenes(count, folder, on_step=on_step)
    pools: dict[str, list[Tensor]] = {}
    for part in np.array_split(np.arange(count), max(count // 64, 1)):
        embeds = towers.encode_image(scenes.batch(part).to(towers.device))
        for k, embed in zip(part, embeds):
            shown = scenes.shown[k]
            if shown.phenomenon is None or shown.intensity >= 0.5:
                pools.setdefault(shown.phenomenon or captions.CALM, []).append(embed)
    return {label: torch.stack(pool) for label, pool in pools.items()}


def sounds_of(
    *, config: dict, spec: MelSpec, towers: ClipTowers, out: Path, on_step: Callable[[int, int], None] | None = None
) -> SoundData:
    """What a recipe's [data] and [synthesised] name; relative folders are taken from the project's. Silence is calm."""
    about = {
        "data": ("source", "clip", "recordings", "folds", "ambience", "scenes"),
        "synthesised": ("seconds", "per_phenomenon", "per_other", "first_seed"),
    }
    check_entries({name: config[name] for name in about}, about)
    data = config["data"]
    clips = recorded(ROOT / data["recordings"], spec, folds=data["folds"], ambience=data["ambience"])
    clips += synthesised(spec, **config["synthesised"], cache=out / "synthesised.npz", on_step=on_step)
    clips.append(Clip(captions.CALM, "synthesised", 0, np.full((spec.n_mels, 4), -110.0, dtype=np.float16)))
    return SoundData(clips, captions.caption_for_sound, picture_pools(towers, data["scenes"], out, on_step))
