"""Sounds of the miniature world without pictures: how much of which phenomenon each of their moments shows is known.

Pictures cost a hundred times what a sound does, and where a generator's latents are named none are needed to learn from
sounds. A stretch is up to three of them, crossfaded one into the other or into silence; other microphones and the hiss
of recorders are laid over all. All sounds lie as levels on one device, where a batch is made at once.
Axes: S sounds, B batch, J sounds of a stretch, F frames of a window, A of a stretch, K phenomena, M mels, T mel time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial, reduce
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...audio.augment import add_power, floor_noise, response
from ...audio.mel import MelSpec
from ...audio.track import FLOOR_DB, MelTrack, against_loudest
from ...common.errors import InputError
from ...common.files import make_folder
from ...training.clips import Batch
from ...training.engine.loop import OnStep
from ...training.recipe import check_entries
from ...training.sound_data import raw_key
from ..sounds import synthesis as sounds
from ..sounds.strength import strength
from ..world import codes
from ..world.scenes import PHENOMENA
from . import outside_sounds
from .outside_sounds import OutsideSounds
from .scene_clips import SAMPLE_RATE, SOUND_SEC, curve_of, kept, recordings
from .sound_batches import (
    NOTHING_DB,
    begin_sec,
    below,
    loudness_of,
    parts_of,
    placed,
    shares,
    windows_of,
    within_frames,
)

PART_SEC = 0.5  # from the begin of one part of a recording to that of the next
TABLE = {
    "per_phenomenon", "first_seed", "recorded", "shortest_sec", "longest_sec", "another", "silences", "louder_db",
    "eq_db", "noisy", "noisiest_db",
}  # fmt: skip
DRAWN = {  # what is drawn for each stretch, and how many numbers in 0..1 that takes
    "noisy": 1, "first": 1, "then": 4, "turns": 3, "widths": 2, "sounds": 9, "begins": 3, "gains": 3, "window": 1,
    "layout": 1,
}  # fmt: skip


class SceneSounds:
    """`per_phenomenon` synthesised sounds of each phenomenon, and recordings where there are any.

    table: a recipe's [data.sounds]. recorded: share of recordings among the draws of a phenomenon that has some.
    shortest_sec, longest_sec: of a stretch. another, silences: how often what follows a sound is of another phenomenon,
    or nothing. louder_db: by how much a sound may be louder or softer. eq_db, noisy, noisiest_db: microphones and
    recorders (audio/augment). outside: a table of OutsideSounds, which are one kind more, of number K; there may be
    none.
    """

    def __init__(
        self, table: Mapping, data: Mapping, *, spec: MelSpec, fps: float, cache: Path,
        device: torch.device | str = "cpu", on_step: OnStep | None = None,
    ):  # fmt: skip
        known = {"data": None, "data.sounds": TABLE | {"outside"}, "data.sounds.outside": outside_sounds.TABLE}
        check_entries({"data": {"sounds": table}}, known)
        missing = sorted(TABLE - table.keys())
        if missing or table["shortest_sec"] > table["longest_sec"]:
            raise InputError(
                f"[data.sounds] does not say {missing[0]}." if missing else "The shortest stretch is the longer one.",
                "Start from the shipped recipe.",
            )
        self.table, self.spec, self.fps, self.device = table, spec, fps, torch.device(device)
        self.columns = 1 + round(SOUND_SEC * spec.sample_rate) // spec.hop_length  # of one sound
        made = synthesised(table["per_phenomenon"], table["first_seed"], spec, fps, make_folder(cache), on_step)
        levels, self.pools = [made], _Pools(table["per_phenomenon"])
        for _, phenomenon, wave, sample_rate in recordings(data):
            parts = parts_of(MelTrack.of_wave(wave, sample_rate, spec).level_db, self.columns, self._columns(PART_SEC))
            self.pools.add(PHENOMENA.index(phenomenon), len(parts))
            levels.append(parts)
        self.outside = None
        if "outside" in table:
            self.outside = OutsideSounds(
                table["outside"], Path(data["recordings"]), spec, fps, cache=cache, on_step=on_step,
                parts=lambda level: parts_of(level, self.columns, self._columns(PART_SEC)),
            )  # fmt: skip
            levels.append(self.outside.levels)
        self.levels = torch.cat(levels).to(self.device)  # [S,M,T] fp16

    @property
    def kinds(self) -> int:
        """K, and one more where there are sounds from outside."""
        return len(PHENOMENA) + (self.outside is not None)

    def draw(self, batch: int, frames: int, rng: torch.Generator, rows: slice = slice(None)) -> Batch:
        """The `rows` of `batch` windows of `frames` frames, 0 for all of the stretch, each phenomenon as often as
        another."""
        table, spec, fps = self.table, self.spec, self.fps
        shortest, longest = (max(round(table[f"{name}_sec"] * fps), frames) for name in ("shortest", "longest"))
        total = int(torch.randint(shortest, longest + 1, (), generator=rng))
        columns = 1 + round(total / fps * spec.sample_rate) // spec.hop_length
        u = dict(zip(DRAWN, torch.rand(sum(DRAWN.values()), batch, generator=rng).split([*DRAWN.values()])))
        microphones = response(batch, spec.n_mels, rng, spread_db=table["eq_db"])[rows].to(self.device)
        hiss = self._hiss(u["noisy"][0] < table["noisy"], columns, rng)[rows]
        u = {name: numbers[:, rows] for name, numbers in u.items()}

        course = self._course(total / fps, u)
        level = reduce(add_power, self._levels(course, columns, u)) + microphones
        level = add_power(level, hiss + level.amax(dim=(1, 2), keepdim=True)).clamp(min=FLOOR_DB)
        amounts = self._amounts(course, level, total)
        first = below(u["window"][0], total - (frames or total) + 1)
        shown = first[:, None] + torch.arange(frames or total)  # [B,F]
        mel = against_loudest(level, level.amax(dim=(1, 2), keepdim=True), spec)
        return Batch(
            mels=windows_of(mel, shown, spec, fps),
            stretch=mel[:, None],
            columns=((shown.double() + 0.5) / fps * spec.sample_rate / spec.hop_length).float(),
            layouts=below(u["layout"][0], codes.LAYOUTS),
            amounts=amounts.gather(1, shown[..., None].expand(-1, -1, self.kinds)),
        )

    def _course(self, seconds: float, u: dict[str, Tensor]) -> Course:
        kinds, there = [self._kind(u["first"][0])], [torch.ones_like(u["first"][0])]
        for changes, which in u["then"].split(2):
            other = self._kind(which, kinds[-1])
            kinds.append(torch.where(changes < self.table["another"], other, kinds[-1]))
            there.append((changes < 1 - self.table["silences"]).float())
        # the stretch lies anywhere in the longest one
        before, first, lasting = u["turns"]
        turn = 0.5 + (SOUND_SEC - 1) * first - before * max(self.table["longest_sec"] - seconds, 0)
        turns, widths = torch.stack([turn, turn + 2 + (SOUND_SEC - 2.5) * lasting]), 0.1 + 1.4 * u["widths"]
        return Course(
            torch.stack(kinds), torch.stack(there), turns, widths, begin_sec(turns, widths, seconds, u["begins"])
        )

    def _kind(self, u: Tensor, last: Tensor | None = None) -> Tensor:
        """Numbers in 0..1 [B] => kinds, another than the last: a phenomenon, or in its share what is from outside."""
        share, count = (0.0 if self.outside is None else self.outside.share), len(PHENOMENA)
        rest = ((u - share) / (1 - share)).clamp(min=0)
        if last is None:
            kind = below(rest, count)
        else:
            inside = (last + 1 + below(rest, count - 1)) % count
            kind = torch.where(last < count, inside, below(rest, count))
        return torch.where(u < share, torch.full_like(kind, count), kind)

    def _levels(self, course: Course, columns: int, u: dict[str, Tensor]) -> Iterator[Tensor]:
        """Of each of the three sounds, in dB [B,M,T]."""
        hop_sec = self.spec.hop_length / self.spec.sample_rate
        share_db = 10 * torch.log10(course.shares(torch.arange(columns) * hop_sec).clamp(min=1e-12))
        share_db = share_db + self.table["louder_db"] * (2 * u["gains"][..., None] - 1)
        for kind, which, begin, db in zip(course.kinds, u["sounds"].split(3), course.begins, share_db):
            yield placed(self._sounds(kind, which), begin / hop_sec, columns) + db[:, None].to(self.device)

    def _amounts(self, course: Course, level: Tensor, total: int) -> Tensor:
        """How much of each phenomenon each frame shows [B,A,K]."""
        within = within_frames(self.spec, self.fps, level.shape[2], total).to(self.device)
        strong = torch.from_numpy(strength(loudness_of(level, within, self.spec).cpu().numpy(), self.fps)).float()
        at_sec = (torch.arange(total) + 0.5) / self.fps
        begins = course.begins[..., None]
        sounding = (at_sec >= begins) & (at_sec < begins + SOUND_SEC)  # [J,B,A]
        amounts = torch.zeros(*strong.shape, self.kinds)
        for kind, part in zip(course.kinds, course.shares(at_sec) * sounding * strong):
            amounts.scatter_add_(2, kind[:, None, None].expand(-1, total, 1), part[..., None])
        return amounts

    def _sounds(self, kinds: Tensor, u: Tensor) -> Tensor:
        """A sound of each of the kinds [B], by three numbers in 0..1 [3,B]: levels [B,M,T], the loudest bin at 0 dB."""
        outside = kinds >= len(PHENOMENA)
        which = self.pools.choose(kinds.clamp(max=len(PHENOMENA) - 1), u, self.table["recorded"])
        if self.outside is not None:
            which = torch.where(outside, self.pools.end + self.outside.choose(u), which)
        level = self.levels[which.to(self.device)].float()
        return level - level.amax(dim=(1, 2), keepdim=True)

    def _hiss(self, noisy: Tensor, columns: int, rng: torch.Generator) -> Tensor:
        """Of recorders, below the loudest bin, in dB [B,M,T]; nothing where it is not `noisy` [B]."""
        mels, at = self.spec.n_mels, torch.nonzero(noisy)[:, 0]
        hiss = floor_noise(
            len(at), mels, columns, rng, low_db=-90.0, high_db=self.table["noisiest_db"], device=self.device
        )
        full = hiss.new_full((len(noisy), mels, columns), NOTHING_DB)
        full[at.to(self.device)] = hiss
        return full

    def _columns(self, seconds: float) -> int:
        return max(round(seconds * self.spec.sample_rate / self.spec.hop_length), 1)


@dataclass(frozen=True)
class Course:
    """What follows what in a batch of stretches: the numbers of the phenomena kinds [3,B], whether there is anything to
    hear of each there [3,B], when the second and the third take over turns [2,B] and how long that takes widths [2,B],
    and when each sound begins [3,B]; in seconds."""

    kinds: Tensor
    there: Tensor
    turns: Tensor
    widths: Tensor
    begins: Tensor

    def shares(self, at_sec: Tensor) -> Tensor:
        """Of the power, what each sound has at moments [T]: [3,B,T]"""
        return shares(self.turns, self.widths, at_sec) * self.there[..., None]


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
        out = kinds * self.made + below(u[2], self.made)
        for i, kind in enumerate(kinds.tolist()):
            found = self.recorded[kind]
            if found and u[0, i] < share:
                first, parts = found[int(below(u[1, i], len(found)))]
                out[i] = first + below(u[2, i], parts)
        return out


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
