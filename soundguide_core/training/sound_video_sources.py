"""What sound-guided video generation learns from: clips, sounds alone, and source pictures.

Axes: B batch, F frames, K things that go on, L layers, D dims, Z dims of z.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from ..audio.mel import MelSpec
from ..common.files import make_folder
from ..common.memory import to_device
from .clips import Batch, Clip, ClipSet, Skipped, from_folder, from_shards
from .data.pictures import split_off
from .engine import distributed, loop
from .recipe import check_entries, data_source


class SceneCodes(Protocol):
    """How the latents of a coded generator are told: scenes have a number, their layout, and an amount in 0..1 of each
    of K things that go on in them."""

    def name_z(self, layouts: Tensor, calm: Tensor, z: Tensor) -> Tensor:
        """z [B,Z] changed to mean scenes of these layouts [B], with nothing going on where `calm` [B]."""
        ...

    def departures(self, amounts: Tensor, w_dim: int) -> Tensor:
        """How far frames with these amounts [B,F,K] lie from the calm scene, in w: [B,F,1,D]"""
        ...


class Stretches(Protocol):
    """What batches are drawn from: ClipSet, or sounds alone."""

    def draw(self, batch: int, frames: int, rng: torch.Generator, rows: slice = slice(None)) -> Batch:
        """The `rows` of `batch` windows of `frames` frames, 0 for all that there are."""
        ...


@dataclass(frozen=True)
class SoundVideoData:
    """clips: with pictures. sounds: for the stages that need no pictures; None, the clips' own. codes: where clips and
    sounds are of scenes that a coded generator knows. held_out: clips that nothing is learned from."""

    clips: ClipSet
    sounds: Stretches | None = None
    codes: SceneCodes | None = None
    held_out: ClipSet | None = None


def open_data(
    table: Mapping, *, joint, spec: MelSpec, generator, cache: Path, device: torch.device | str,
    on_step: loop.OnStep | None,
) -> SoundVideoData:  # fmt: skip
    """A recipe's [data]: fps and frames of the clips, and

    folder: clips in the layouts of training/clips, or shards ("x-{000..099}.tar"), of which every process reads its own
    source: a function with the arguments of this one, table, ... => SoundVideoData
    """
    table = dict(table)
    if table.pop("kind", "") in ("folder", "shards"):  # recipes of earlier versions
        table["folder"] = table.pop("path")
    known = {"joint": joint, "spec": spec, "generator": generator, "cache": cache, "on_step": on_step}
    if "folder" not in table:
        return data_source(table, "sound_video")(table=table, device=device, **known)
    check_entries({"data": table}, {"data": ("folder", "fps", "frames", "cache")})
    sizes = {"fps": table.get("fps", 12.0), "frames": table.get("frames", 24), "size": generator.resolution}
    folder, skipped = str(table["folder"]), Skipped()
    if folder.endswith(".tar"):
        mine = {"part": distributed.rank(), "parts": distributed.num_processes()}
        clips = from_shards(folder, skipped=skipped, **mine, **sizes)
    else:
        clips = from_folder(Path(folder), skipped=skipped, **sizes)
    found = clip_set(clips, joint=joint, spec=spec, cache=cache, on_step=on_step, **sizes)
    if skipped.reasons:
        print(skipped)
    learned, held_out = split_off(found)
    return SoundVideoData(learned, held_out=held_out)


def clip_set(
    clips: Iterable[Clip], *, on_step: loop.OnStep | None, joint, spec: MelSpec, fps: float, frames: int, size: int,
    cache: Path,
) -> ClipSet:  # fmt: skip
    """A ClipSet, made by the first process first; on_step counts the clips as they come."""

    def counted() -> Iterator[Clip]:
        for count, clip in enumerate(clips):
            if on_step is not None:
                on_step(count, count + 1, {})
            yield clip

    return distributed.rank0_first(
        lambda: ClipSet(counted(), joint=joint, spec=spec, fps=fps, frames=frames, size=size, cache=make_folder(cache))
    )


class Sources:
    """Source pictures of a batch, and what their latents become where the codes of the scenes are known.

    psi, calm, jitter: see sound_video_recipe.Settings.
    """

    def __init__(self, generator, codes: SceneCodes | None, *, psi: float, calm: float, jitter: float):
        self.generator, self.codes, self.psi, self.calm, self.jitter = generator, codes, psi, calm, jitter
        self.w_std = generator.w_std  # asked for once: it looks whether it has been measured

    def draw(
        self, layouts: Tensor | None, size: int, rows: slice, device: torch.device, rng: torch.Generator
    ) -> tuple[Tensor, Tensor | None]:
        """The `rows` of `size` sources: ws [B,L,D]. With the layouts [B] of those rows, also the same sources with
        nothing going on in them [B,L,D]."""
        generator = self.generator
        calm = torch.rand(size, generator=rng) < self.calm
        psi = to_device((self.psi + (1 - self.psi) * torch.rand(size, 1, generator=rng))[rows], device)
        z = torch.randn(size, generator.z_dim, generator=rng)
        jitter = torch.randn(size, generator.num_ws, generator.w_dim, generator=rng)[rows]
        jitter = self.jitter * to_device(jitter, device) * self.w_std

        def source(z: Tensor) -> Tensor:
            w = generator.mapping(to_device(z, device))
            return generator.broadcast(torch.lerp(generator.w_avg, w, psi)) + jitter

        with torch.no_grad():
            z, calm = z[rows], calm[rows]
            if layouts is None or self.codes is None:
                return source(z), None
            shown, quiet = (self.codes.name_z(layouts, which, z) for which in (calm, torch.ones_like(calm)))
            return source(shown), source(quiet)


@dataclass(frozen=True)
class TrainBatch:
    """Windows of clips or sounds, their source latents ws [B,L,D] and noise [B,F,Z]. Of scenes that are known: the same
    sources with nothing going on in them, and how far each frame departs from there [B,F,1,D]."""

    batch: Batch
    ws: Tensor
    noise: Tensor
    calm_ws: Tensor | None
    departure: Tensor | None
