"""Sounds of the miniature world without pictures: what each of their moments shows is known as a code in w.

Pictures cost a hundred times what a sound does, and where a generator's latents are named none are needed to learn from
sounds. Two sounds are crossfaded in a part of the draws, or one fades into silence; other microphones and the hiss of
recorders are laid over both. Axes: K sounds, B batch, F frames, M mels, T mel time.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..audio.augment import add_power, floor_noise, response
from ..audio.mel import MelSpec
from ..audio.track import FLOOR_DB, MelTrack
from ..files import make_folder, replacing
from ..miniature import codes, sounds
from ..miniature.scenes import PHENOMENA
from ..miniature.strength import strength
from .clips import Batch, SceneCode
from .loop import OnStep
from .scene_clips import SAMPLE_RATE, SOUND_SEC, curve_of, phenomenon_dim, recordings
from .sound_data import raw_key

QUIETEST_PART_DB = -30.0  # a stretch of a recording that is nowhere louder than this below the whole is not drawn


class SceneSounds:
    """`per_phenomenon` synthesised sounds of each phenomenon, and recordings where there are any.

    table: a recipe's [data.sounds]. recorded: share of recordings among the draws of a phenomenon that has some.
    crossfades, silences: shares of the draws in which a second sound follows, or nothing. eq_db, noisy, noisiest_db:
    microphones and recorders (audio/augment).
    """

    def __init__(
        self, table: dict, data: dict, *, spec: MelSpec, fps: float, cache: Path, on_step: OnStep | None = None
    ):
        self.table, self.spec, self.fps = table, spec, fps
        self.total = round(SOUND_SEC * fps)
        self.columns = 1 + round(SOUND_SEC * spec.sample_rate) // spec.hop_length
        made = synthesised(table["per_phenomenon"], table["first_seed"], spec, fps, make_folder(cache), on_step)
        self.pools: dict[str, tuple[list[Tensor], list[Tensor]]] = {p: (made[p], []) for p in PHENOMENA}
        for _, phenomenon, wave, sample_rate in recordings(data):
            self.pools[phenomenon][1].append(MelTrack.of_wave(wave, sample_rate, spec).level_db)

    def draw(self, batch: int, frames: int, rng: torch.Generator, rows: slice = slice(None)) -> Batch:
        """The `rows` of `batch` windows of `frames` frames, each phenomenon as often as another."""
        seeds = torch.randint(2**62, (batch,), generator=rng)[rows]
        mels, known = zip(*(self._one(frames, int(seed)) for seed in seeds))
        return Batch(mels=torch.stack(mels), codes=list(known))

    def _one(self, frames: int, seed: int) -> tuple[Tensor, SceneCode]:
        g, rng = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
        first, second = g.permutation(len(PHENOMENA))[:2]
        start = int(g.integers(self.total - frames + 1))
        level, share = self._sound(PHENOMENA[first], g), np.ones(self.total)
        parts = {int(first): share}
        chance = g.random()
        if chance < self.table["crossfades"] + self.table["silences"]:
            middle = start + g.uniform(-1.5, frames / self.fps + 1.5) * self.fps  # frames
            share = fade(self.total, middle, g.uniform(0.1, 1.5) * self.fps)
            level = level + self._gain_db(1 - share)
            parts = {int(first): 1 - share}
            if chance < self.table["crossfades"]:
                other = self._sound(PHENOMENA[second], g) + float(g.uniform(-4, 4))
                level = add_power(level, other + self._gain_db(share))
                parts[int(second)] = share
        if self.table["eq_db"]:
            level = level + response(1, self.spec.n_mels, rng, spread_db=self.table["eq_db"])[0]
        if g.random() < self.table["noisy"]:
            hiss = floor_noise(1, *level.shape, rng, low_db=-90.0, high_db=self.table["noisiest_db"])[0]
            level = add_power(level, hiss + level.max())
        track = MelTrack(level.clamp(min=FLOOR_DB), self.spec, SOUND_SEC)
        strong = strength(track.loudness(self.fps, self.total), self.fps)
        amounts = {phenomenon_dim(p): codes.AMPLITUDE * (strong * s)[start : start + frames] for p, s in parts.items()}
        return track.windows(start, frames, self.fps), SceneCode(int(g.integers(codes.LAYOUTS)), amounts)

    def _sound(self, phenomenon: str, g: np.random.Generator) -> Tensor:
        """A level [M,T] of six seconds, its loudest column at 0 dB."""
        made, recorded = self.pools[phenomenon]
        if recorded and g.random() < self.table["recorded"]:
            level = recorded[g.integers(len(recorded))].float()
            loudest = level.max()
            for _ in range(8):
                at = int(g.integers(max(level.shape[1] - self.columns, 0) + 1))
                part = level[:, at : at + self.columns]
                if part.max() > loudest + QUIETEST_PART_DB:
                    break
            if part.shape[1] < self.columns:  # what is shorter is followed by itself, backwards and forwards
                part = torch.cat([part, part.flip(1), part], dim=1)[:, : self.columns]
            level = part
        else:
            level = made[g.integers(len(made))].float()
        return level - level.max()

    def _gain_db(self, share: np.ndarray) -> Tensor:
        """[F] of power => [1,T] in dB."""
        at = (np.arange(self.columns) * self.spec.hop_length / self.spec.sample_rate) * self.fps - 0.5
        power = np.interp(at, np.arange(len(share)), share)
        return torch.from_numpy(10 * np.log10(np.maximum(power, 1e-12))).float()[None]


def fade(frames: int, middle: float, width: float) -> np.ndarray:
    """The second sound's share of the power [F]: sin^2 of a quarter turn over `width` frames about `middle`."""
    rise = np.clip((np.arange(frames) + 0.5 - middle) / width + 0.5, 0, 1)
    return np.sin(rise * np.pi / 2) ** 2


def synthesised(
    per_phenomenon: int, first_seed: int, spec: MelSpec, fps: float, cache: Path, on_step: OnStep | None
) -> dict[str, list[Tensor]]:
    """phenomenon => levels [M,T] fp16, made once and kept in a file for each."""
    found, total = {}, per_phenomenon * len(PHENOMENA)
    for k, phenomenon in enumerate(PHENOMENA):
        key = np.array(repr((raw_key(spec), SOUND_SEC, fps, first_seed, per_phenomenon)))
        path = cache / f"{phenomenon}.npz"
        if path.is_file():
            with np.load(path) as kept:
                if str(kept["key"]) == str(key):
                    found[phenomenon] = list(torch.from_numpy(kept["levels"]))
                    continue
        levels = []
        for i in range(per_phenomenon):
            rng = np.random.default_rng([first_seed, 200, k, i])
            wave = sounds.synthesise(
                phenomenon, SOUND_SEC, intensity=curve_of(rng, fps), seed=int(rng.integers(2**31)),
                sample_rate=SAMPLE_RATE, fps=fps,
            )  # fmt: skip
            levels.append(MelTrack.of_wave(torch.from_numpy(wave), SAMPLE_RATE, spec).level_db)
            if on_step is not None:
                on_step(k * per_phenomenon + i, total, {})
        found[phenomenon] = levels
        with replacing(path) as temporary:
            np.savez(temporary, key=key, levels=torch.stack(levels).numpy())
    return found
