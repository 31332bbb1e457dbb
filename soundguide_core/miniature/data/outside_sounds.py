"""Sounds that show nothing in the miniature world, for what hears there to learn to leave alone (outlier exposure:
D. Hendrycks et al., "Deep Anomaly Detection with Outlier Exposure", ICLR 2019).

Synthesised ones (sounds/outside.py, sounds/other.py, sounds/breath.py), and the recordings of ESC-10 and of the
ambience that are of no phenomenon. Axes: S sounds, M mels, T mel time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...audio.mel import MelSpec
from ...audio.track import MelTrack
from ...audio.waveform import load_audio, to_mono
from ...common.errors import InputError
from ...common.files import make_folder
from ...metrics.zero_shot import read_esc
from ...training.engine.loop import OnStep
from ...training.sound_data import raw_key
from ..sounds import breath, other, outside
from ..sounds.synthesis import render
from ..world.captions import concept_of
from ..world.scenes import PHENOMENA
from .scene_clips import SAMPLE_RATE, SOUND_SEC, curve_of, kept
from .sound_batches import below

SYNTHESISED = {**outside.SOUNDS, **other.SOUNDS}
EVERY = {**SYNTHESISED, **breath.SOUNDS}
TABLE = {"share", "per_kind", "first_seed", "recorded", "folds", "ambience", "without"}


class OutsideSounds:
    """`per_kind` synthesised sounds of each kind, and recordings: levels [S,M,T], each kind as often as another.

    table: a recipe's [data.sounds.outside]. share: of all draws. recorded: share of recordings among these. folds of
    esc10/ and files of ambience/. without: kinds, classes and files that are left out, to be measured on.
    parts: a recording's level [M,T'] => its parts [S,M,T].
    """

    def __init__(
        self, table: Mapping, folder: Path, spec: MelSpec, fps: float, *, parts: Callable[[Tensor], Tensor],
        cache: Path, on_step: OnStep | None = None,
    ):  # fmt: skip
        if missing := sorted(TABLE - table.keys()):
            raise InputError(f"[data.sounds.outside] does not say {missing[0]}.", "Start from the shipped recipe.")
        self.share, self.recorded_share = table["share"], table["recorded"]
        left_out = set(table["without"])
        per_kind, kinds = table["per_kind"], [kind for kind in EVERY if kind not in left_out]
        made = synthesised(per_kind, table["first_seed"], spec, fps, make_folder(cache), on_step, kinds)
        self.made = [(i * per_kind, per_kind) for i in range(len(kinds))]
        levels, self.recorded, end = [made], [], len(made)
        for waves in recorded(folder, table["folds"], table["ambience"], left_out).values():
            found = torch.cat([parts(MelTrack.of_wave(wave, rate, spec).level_db) for wave, rate in waves])
            levels.append(found)
            self.recorded.append((end, len(found)))
            end += len(found)
        self.levels = torch.cat(levels)

    def choose(self, u: Tensor) -> Tensor:
        """Numbers of levels [B] by three numbers in 0..1 [3,B]."""
        out = torch.zeros(u.shape[1], dtype=torch.long)
        for i, (which, kind, sound) in enumerate(u.T):
            pools = self.recorded if self.recorded and which < self.recorded_share else self.made
            first, count = pools[int(below(kind, len(pools)))]
            out[i] = first + below(sound, count)
        return out


def recorded(
    folder: Path, folds: list[int], ambience: list[str], without: set[str]
) -> dict[str, list[tuple[Tensor, int]]]:
    """Recordings of no phenomenon by class or file: (wave [N], sample rate) of each."""
    found: dict[str, list[tuple[Tensor, int]]] = {}
    if folds and (folder / "esc10" / "meta" / "esc50.csv").is_file():
        for row in read_esc(folder / "esc10"):
            kind = row["category"].replace("_", " ")
            if row["fold"] in folds and kind not in without and concept_of(row["category"]) not in PHENOMENA:
                wave, sample_rate = load_audio(row["path"])
                found.setdefault(kind, []).append((to_mono(wave), sample_rate))
    for name in ambience:
        path = folder / "ambience" / f"{name}.ogg"
        if path.is_file() and name not in without:
            wave, sample_rate = load_audio(path)
            found[name] = [(to_mono(wave), sample_rate)]
    return found


def synthesised(
    per_kind: int, first_seed: int, spec: MelSpec, fps: float, cache: Path, on_step: OnStep | None,
    kinds: Iterable[str] = tuple(SYNTHESISED),
) -> Tensor:  # fmt: skip
    """Levels [S,M,T] fp16, `per_kind` of one of the kinds after the other; made once and kept in a file."""
    kinds = list(kinds)
    plan = [(kind, first_seed + i) for kind in kinds for i in range(per_kind)]
    key = (raw_key(spec), SOUND_SEC, fps, first_seed, per_kind, kinds)
    return torch.from_numpy(kept(cache / "outside.npz", key, partial(_level, spec=spec, fps=fps), plan, on_step))


def outside_wave(kind: str, seed: int, seconds: float, fps: float) -> np.ndarray:
    """A sound of EVERY kind [N] at SAMPLE_RATE; most as they come, some rising and falling."""
    rng = np.random.default_rng([seed, 400])
    curve = curve_of(rng, fps) if rng.random() < 0.3 else None
    level = np.ones(2) if curve is None and kind == "noise" else curve
    return render(EVERY[kind], seconds, intensity=level, seed=seed, sample_rate=SAMPLE_RATE, fps=fps)


def _level(what: tuple[str, int], *, spec: MelSpec, fps: float) -> np.ndarray:
    wave = outside_wave(*what, SOUND_SEC, fps)
    return MelTrack.of_wave(torch.from_numpy(wave), SAMPLE_RATE, spec).level_db.numpy()
