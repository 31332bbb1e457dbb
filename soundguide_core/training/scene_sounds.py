"""Sounds of the miniature world without pictures: how much of which phenomenon each of their moments shows is known.

Pictures cost a hundred times what a sound does, and where a generator's latents are named none are needed to learn from
sounds. Two sounds are crossfaded in a part of the draws, or one fades into silence; other microphones and the hiss of
recorders are laid over both. All sounds lie as levels on one device, where a batch is made at once.
Axes: S sounds, B batch, F frames of a window, A of a whole sound, K phenomena, M mels, T mel time.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..audio.augment import add_power, floor_noise, response
from ..audio.features import QUIETEST_DB
from ..audio.mel import MelSpec, arrange
from ..audio.track import FLOOR_DB, MelTrack
from ..files import make_folder
from ..miniature import codes, sounds
from ..miniature.scenes import PHENOMENA
from ..miniature.strength import strength
from .clips import Batch
from .loop import OnStep
from .scene_clips import SAMPLE_RATE, SOUND_SEC, curve_of, kept, recordings
from .sound_data import raw_key

QUIETEST_PART_DB = -30.0  # a part of a recording that is nowhere louder than this below the whole is not drawn
PART_SEC = 0.5  # from the begin of one part of a recording to that of the next
NOTHING_DB = -120.0


class SceneSounds:
    """`per_phenomenon` synthesised sounds of each phenomenon, and recordings where there are any.

    table: a recipe's [data.sounds]. recorded: share of recordings among the draws of a phenomenon that has some.
    crossfades, silences: shares of the draws in which a second sound follows, or nothing. louder_db: by how much one
    sound may be louder than the other. eq_db, noisy, noisiest_db: microphones and recorders (audio/augment).
    """

    def __init__(
        self, table: dict, data: dict, *, spec: MelSpec, fps: float, cache: Path, device: torch.device | str = "cpu",
        on_step: OnStep | None = None,
    ):  # fmt: skip
        self.table, self.spec, self.fps, self.device = table, spec, fps, torch.device(device)
        self.total = round(SOUND_SEC * fps)
        self.columns = 1 + round(SOUND_SEC * spec.sample_rate) // spec.hop_length
        made = synthesised(table["per_phenomenon"], table["first_seed"], spec, fps, make_folder(cache), on_step)
        levels, self.pools = [made], _Pools(table["per_phenomenon"])
        for _, phenomenon, wave, sample_rate in recordings(data):
            parts = parts_of(MelTrack.of_wave(wave, sample_rate, spec).level_db, self.columns, self._columns(PART_SEC))
            self.pools.add(PHENOMENA.index(phenomenon), len(parts))
            levels.append(parts)
        self.levels = torch.cat(levels).to(self.device)  # [S,M,T] fp16
        at_frame = (np.arange(self.columns) * spec.hop_length / spec.sample_rate) * fps - 0.5
        between = np.stack([np.interp(at_frame, np.arange(self.total), row) for row in np.eye(self.total)])
        self.between = torch.from_numpy(between).float().to(self.device)  # [A,T]: values of frames, at columns
        self.within = within_frames(spec, fps, self.columns, self.total).to(self.device)  # [T,A]: their mean, in frames

    def draw(self, batch: int, frames: int, rng: torch.Generator, rows: slice = slice(None)) -> Batch:
        """The `rows` of `batch` windows of `frames` frames, each phenomenon as often as another."""
        table, fps = self.table, self.fps
        u = torch.rand(15, batch, generator=rng)
        microphones = response(batch, self.spec.n_mels, rng, spread_db=table["eq_db"])[rows]
        noisy = torch.nonzero(u[0] < table["noisy"])[:, 0]
        hiss = floor_noise(
            len(noisy), self.spec.n_mels, self.columns, rng, low_db=-90.0, high_db=table["noisiest_db"],
            device=self.device,
        )  # fmt: skip
        hiss = self._for_rows(hiss, noisy, batch, rows)
        u = u[:, rows]
        first, start = _below(u[1], len(PHENOMENA)), _below(u[2], self.total - frames + 1)
        second = (first + 1 + _below(u[3], len(PHENOMENA) - 1)) % len(PHENOMENA)
        follows = u[4] < table["crossfades"]
        fades = u[4] < table["crossfades"] + table["silences"]
        middle = start + (-1.5 + u[5] * (frames / fps + 3)) * fps  # frames
        gone = fade(self.total, middle, (0.1 + 1.4 * u[6]) * fps) * fades[:, None]  # [B,A]
        shares = torch.stack([1 - gone, gone * follows[:, None]])  # [2,B,A], of the first and of the second sound
        gains = 10 * torch.log10((shares.to(self.device) @ self.between).clamp(min=1e-12))[:, :, None]  # [2,B,1,T]
        louder = (table["louder_db"] * (2 * u[7] - 1)).to(self.device)[:, None, None]
        level = add_power(
            self._sounds(first, u[8:11]) + gains[0], self._sounds(second, u[11:14]) + gains[1] + louder
        ) + microphones.to(self.device)  # fmt: skip
        level = add_power(level, hiss + level.amax(dim=(1, 2), keepdim=True)).clamp(min=FLOOR_DB)

        loudness = loudness_of(level, self.within, self.spec).cpu().numpy()
        strong = shares * torch.from_numpy(strength(loudness, fps)).float()
        amounts = torch.zeros(*strong.shape[1:], len(PHENOMENA))  # [B,A,K]
        for kind, part in zip((first, second), strong):
            amounts.scatter_add_(2, kind[:, None, None].expand(-1, self.total, 1), part[..., None])
        shown = start[:, None] + torch.arange(frames)  # [B,F]
        return Batch(
            mels=windows_of(level, shown, self.spec, fps),
            layouts=_below(u[14], codes.LAYOUTS),
            amounts=amounts.gather(1, shown[..., None].expand(-1, -1, len(PHENOMENA))),
        )

    def _sounds(self, kinds: Tensor, u: Tensor) -> Tensor:
        """A sound of each of the kinds [B], by three numbers in 0..1 [3,B]: levels [B,M,T], the loudest bin at 0 dB."""
        level = self.levels[self.pools.choose(kinds, u, self.table["recorded"]).to(self.device)].float()
        return level - level.amax(dim=(1, 2), keepdim=True)

    def _for_rows(self, x: Tensor, of: Tensor, batch: int, rows: slice) -> Tensor:
        """x [n,M,T] of the samples `of` [n] of a batch => that of its `rows`, with nothing for the others."""
        full = x.new_full((batch, *x.shape[1:]), NOTHING_DB)
        full[of.to(x.device)] = x
        return full[rows]

    def _columns(self, seconds: float) -> int:
        return max(round(seconds * self.spec.sample_rate / self.spec.hop_length), 1)


class _Pools:
    """Which levels are of which phenomenon: first `made` synthesised ones of each, then recordings in parts."""

    def __init__(self, made: int):
        self.made, self.end = made, made * len(PHENOMENA)
        self.recorded: list[list[tuple[int, int]]] = [[] for _ in PHENOMENA]  # (first part, number of parts)

    def add(self, kind: int, parts: int) -> None:
        self.recorded[kind].append((self.end, parts))
        self.end += parts

    def choose(self, kinds: Tensor, u: Tensor, share: float) -> Tensor:
        """Numbers of levels [B] of these kinds [B]: recordings in that share, each as often, and each of its parts."""
        out = kinds * self.made + _below(u[2], self.made)
        for i, kind in enumerate(kinds.tolist()):
            found = self.recorded[kind]
            if found and u[0, i] < share:
                first, parts = found[int(_below(u[1, i], len(found)))]
                out[i] = first + _below(u[2, i], parts)
        return out


def _below(u: Tensor, count: int) -> Tensor:
    """Numbers in 0..1 => whole numbers below count."""
    return (u * count).long().clamp(max=count - 1)


def fade(frames: int, middle: Tensor, width: Tensor) -> Tensor:
    """The second sound's share of the power [B,F]: sin^2 of a quarter turn over `width` frames about `middle` [B]."""
    rise = ((torch.arange(frames) + 0.5 - middle[:, None]) / width[:, None] + 0.5).clamp(0, 1)
    return torch.sin(rise * torch.pi / 2).square()


def parts_of(level: Tensor, columns: int, step: int) -> Tensor:
    """A recording's level [M,T'] => its parts [S,M,T] of `columns`, `step` apart, without those where it is silent.

    What is shorter is followed by itself, backwards and forwards.
    """
    if level.shape[1] < columns:
        again = -(-columns // level.shape[1])
        level = torch.cat([level.flip(1) if i % 2 else level for i in range(again)], dim=1)
    parts = level.unfold(1, columns, step).transpose(0, 1)
    return parts[parts.amax(dim=(1, 2)) > level.max() + QUIETEST_PART_DB]


def within_frames(spec: MelSpec, fps: float, columns: int, frames: int) -> Tensor:
    """[T,A], the mean over the columns that begin in each frame, or of the next one where none does."""
    edges = np.searchsorted(np.arange(columns) * spec.hop_length / spec.sample_rate, np.arange(frames + 1) / fps)
    out = torch.zeros(columns, frames)
    for i, (first, last) in enumerate(pairwise(edges)):
        out[first : max(last, first + 1), i] = 1 / max(last - first, 1)
    return out


def loudness_of(level: Tensor, within: Tensor, spec: MelSpec) -> Tensor:
    """MelTrack.loudness of many sounds at once: levels [B,M,T] in dB => [B,A] in 0..1."""
    width = torch.linspace(0, 1, spec.n_mels, device=level.device).clamp(min=1000 / spec.sample_rate)
    decibels = np.log(10) / 10
    loud = torch.logsumexp((level + 10 * torch.log10(width)[:, None]) * decibels, dim=1) / decibels  # [B,T]
    return (1 + (loud - loud.amax(dim=1, keepdim=True)) / QUIETEST_DB).clamp(0, 1) @ within


def windows_of(level: Tensor, frames: Tensor, spec: MelSpec, fps: float) -> Tensor:
    """MelTrack.windows of many sounds at once: levels [B,M,T], numbers of frames [B,F] => [B,F,1,M,columns] in 0..1."""
    columns, last = spec.frame_columns or spec.columns, level.shape[2] - 1
    starts = ((frames.double() + 0.5) / fps * spec.sample_rate / spec.hop_length).round().long() - columns // 2
    index = (starts[..., None] + torch.arange(columns)).to(level.device)  # [B,F,columns]
    beyond = columns // 2 if spec.fill == "mirror" else 0
    inside = (index >= -beyond) & (index <= last + beyond)
    turned = index.remainder(2 * last)
    index = torch.minimum(turned, 2 * last - turned).flatten(1)[:, None].expand(-1, level.shape[1], -1)
    mel = ((level - level.amax(dim=(1, 2), keepdim=True)) / spec.top_db + 1).clamp(0, 1)
    found = mel.gather(2, index).unflatten(2, inside.shape[1:]).transpose(1, 2)  # [B,F,M,columns]
    return arrange((found * inside[:, :, None]).flatten(0, 1)[:, None], spec).unflatten(0, frames.shape)


def synthesised(
    per_phenomenon: int, first_seed: int, spec: MelSpec, fps: float, cache: Path, on_step: OnStep | None
) -> Tensor:
    """Levels [S,M,T] fp16, `per_phenomenon` of one phenomenon after the other; made once and kept in a file."""
    plan = [(first_seed, 200, k, i) for k in range(len(PHENOMENA)) for i in range(per_phenomenon)]
    key = (raw_key(spec), SOUND_SEC, fps, first_seed, per_phenomenon)
    levels = kept(cache / "levels.npz", key, partial(_level, spec=spec, fps=fps), plan, on_step)
    return torch.from_numpy(levels)


def _level(seeds: tuple[int, ...], *, spec: MelSpec, fps: float) -> np.ndarray:
    """The level [M,T] of the sound of those seeds, the second last of which is the phenomenon's number."""
    rng = np.random.default_rng(seeds)
    wave = sounds.synthesise(
        PHENOMENA[seeds[-2]], SOUND_SEC, intensity=curve_of(rng, fps), seed=int(rng.integers(2**31)),
        sample_rate=SAMPLE_RATE, fps=fps,
    )  # fmt: skip
    return MelTrack.of_wave(torch.from_numpy(wave), SAMPLE_RATE, spec).level_db.numpy()
