"""What a recipe of sound-guided video generation learns from: clips of some kind, sounds alone, and source pictures.

Axes: B batch, F frames, K phenomena, L layers, D dims, Z dims of z.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ..audio.mel import MelSpec
from ..common.errors import InputError
from ..common.files import make_folder
from ..miniature.world import codes
from .clips import ClipSet, Skipped, from_folder, from_shards
from .engine import distributed, loop
from .scene_clips import name_z, phenomenon_dim, scene_clips
from .scene_sounds import SceneSounds


def gather(table: dict, joint, spec: MelSpec, generator, cache: Path, on_step: loop.OnStep | None) -> ClipSet:
    """The clips of a recipe's [data]: kind = "scenes", "folder" or "shards". Of shards every process reads its own."""
    sizes = {"fps": table["fps"], "frames": table["frames"], "size": generator.resolution}
    skipped, count = Skipped(), 0
    mine = {"part": distributed.rank(), "parts": distributed.num_processes()}
    kinds = {
        "scenes": lambda: scene_clips(table, cache=make_folder(cache), **sizes),
        "folder": lambda: from_folder(Path(table["path"]), skipped=skipped, **sizes),
        "shards": lambda: from_shards(table["path"], skipped=skipped, **mine, **sizes),
    }
    if table["kind"] not in kinds:
        raise InputError(f"There are no clips of the kind {table['kind']!r}.", f"Use one of: {', '.join(kinds)}.")

    def counted():
        nonlocal count
        for clip in kinds[table["kind"]]():
            if on_step is not None:
                on_step(count, count + 1, {})
            count += 1
            yield clip

    clips = distributed.rank0_first(lambda: ClipSet(counted(), joint=joint, spec=spec, cache=cache, **sizes))
    if skipped.reasons:
        print(skipped)
    return clips


def gather_sounds(
    table: dict, spec: MelSpec, cache: Path, device: torch.device | str, on_step: loop.OnStep | None
) -> SceneSounds | None:
    """Those of a recipe's [data.sounds], if there is one."""
    if "sounds" not in table:
        return None
    if table["kind"] != "scenes":
        raise InputError("[data.sounds] go with clips of the kind 'scenes'.", "Leave the table out.")
    return distributed.rank0_first(
        lambda: SceneSounds(
            table["sounds"], table, spec=spec, fps=table["fps"], cache=cache, device=device, on_step=on_step
        )
    )


class Sources:
    """Source pictures of a batch, and what their latents become where the codes of the scenes are known.

    psi, calm, jitter: see sound_video_recipe.Settings.
    """

    def __init__(self, generator, *, psi: float, calm: float, jitter: float):
        self.generator, self.psi, self.calm, self.jitter = generator, psi, calm, jitter

    def draw(
        self, layouts: Tensor | None, size: int, rows: slice, device: torch.device, rng: torch.Generator
    ) -> tuple[Tensor, Tensor | None]:
        """The `rows` of `size` sources: ws [B,L,D]. With the layouts [B] of those rows, also the same sources with
        nothing going on in them [B,L,D]."""
        generator = self.generator
        calm = torch.rand(size, generator=rng) < self.calm
        psi = (self.psi + (1 - self.psi) * torch.rand(size, 1, generator=rng))[rows].to(device)
        z = torch.randn(size, generator.z_dim, generator=rng)
        jitter = torch.randn(size, generator.num_ws, generator.w_dim, generator=rng)[rows].to(device)
        jitter = self.jitter * jitter * generator.w_std

        def source(z: Tensor) -> Tensor:
            w = generator.mapping(z.to(device))
            return generator.broadcast(torch.lerp(generator.w_avg, w, psi)) + jitter

        with torch.no_grad():
            z, calm = z[rows], calm[rows]
            if layouts is None:
                return source(z), None
            shown, quiet = (name_z(layouts, which, z) for which in (calm, torch.ones_like(calm)))
            return source(shown), source(quiet)


def departures(amounts: Tensor, w_dim: int) -> Tensor:
    """How far frames with so much of each phenomenon [B,F,K] lie from a source without, in w: [B,F,1,D]"""
    out = amounts.new_zeros(*amounts.shape[:2], 1, w_dim)
    out[..., [phenomenon_dim(k) for k in range(amounts.shape[-1])]] = codes.AMPLITUDE * amounts[:, :, None]
    return out
