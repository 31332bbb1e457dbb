"""A finite part of the miniature world in which every scene has its own share of the standard normal distribution.

A generator that has minutes to learn and not days is first shown which z stands for which scene (training/warm_start).
z ~ N(0, I) names one: the largest of some of its numbers picks the layout, the largest of others the phenomenon and the
weather, one tells the intensity by its quantile, the sign of one mirrors the picture. All other numbers are free.
Axes: B batch, D dims, H W.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..files import make_folder
from ..images import from_uint8
from .scenes import PHENOMENA, render

LAYOUTS, WEATHERS = 24, 3
POWERS = (0.45, 0.65, 0.85, 1.0)
KINDS = (*PHENOMENA, None)
# where each choice is read in z
LAYOUT, KIND, WEATHER = slice(0, LAYOUTS), slice(LAYOUTS, LAYOUTS + 8), slice(LAYOUTS + 8, LAYOUTS + 8 + WEATHERS)
MIRROR, POWER = LAYOUTS + 8 + WEATHERS, LAYOUTS + 9 + WEATHERS

# (layout, kind, weather, power) of every scene; a calm one has no weather and no power
SCENES = [
    code for code in product(range(LAYOUTS), range(len(KINDS)), range(WEATHERS), range(len(POWERS)))
    if KINDS[code[1]] is not None or code[2:] == (0, 0)
]  # fmt: skip


class CodedScenes:
    """Every scene of SCENES, rendered once into a memory-mapped file, with latents that name them."""

    def __init__(self, folder: str | os.PathLike, size: int = 128, on_step: Callable[[int, int], None] | None = None):
        path = make_folder(folder) / f"coded-{size}.npy"
        if not path.is_file():
            _render_all(path, size, on_step)
        self.pixels = np.load(path, mmap_mode="r")  # [S,H,W,3] uint8
        kinds = np.array([KINDS[kind] is None for _, kind, _, _ in SCENES])
        self.chance = np.where(kinds, WEATHERS * len(POWERS) / 2, 1.0)  # calm half as often as a phenomenon
        self.chance /= self.chance.sum()

    def __len__(self) -> int:
        return len(SCENES)

    def batch(self, indices) -> Tensor:
        """indices [B] => [B,3,H,W] in -1..1"""
        return from_uint8(torch.from_numpy(self.pixels[np.asarray(indices)]))

    @property
    def factors(self) -> tuple[int, int]:
        """How many values each factor has: layout and its mirror image; kind, weather and power."""
        return 2 * LAYOUTS, len(KINDS) * WEATHERS * len(POWERS)

    def draw(self, batch: int, dims: int, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """z [B,D] standard normal, the factors [B,2] of the scenes that they name, and the scenes' indices [B]."""
        indices = torch.multinomial(torch.from_numpy(self.chance), batch, replacement=True, generator=rng)
        z = torch.randn(batch, dims, generator=rng)
        codes = torch.tensor(SCENES)[indices]  # [B,4]
        _raise(z[:, LAYOUT], codes[:, 0])
        _raise(z[:, KIND], codes[:, 1])
        calm = codes[:, 1] == KINDS.index(None)
        weather = z[:, WEATHER].clone()
        _raise(weather, codes[:, 2])
        z[:, WEATHER] = torch.where(calm[:, None], z[:, WEATHER], weather)
        quantile = (codes[:, 3] + torch.rand(batch, generator=rng)) / len(POWERS)
        power = torch.special.ndtri(quantile.clamp(1e-4, 1 - 1e-4))
        z[:, POWER] = torch.where(calm, z[:, POWER], power)
        place = 2 * codes[:, 0] + (z[:, MIRROR] > 0)
        return z, torch.stack([place, (codes[:, 1] * WEATHERS + codes[:, 2]) * len(POWERS) + codes[:, 3]], 1), indices

    def picture(self, factors: Tensor, indices: Tensor) -> Tensor:
        """The pictures [B,3,H,W] of draws."""
        img = self.batch(indices)
        return torch.where((factors[:, 0] % 2 == 1)[:, None, None, None], img.flip(3), img)


def _raise(group: Tensor, choice: Tensor) -> None:
    """Exchange numbers in group [B,K], in place, so that the largest is at choice [B]: a draw from that share."""
    rows, best = torch.arange(len(group)), group.argmax(dim=1)
    largest, other = group[rows, best].clone(), group[rows, choice].clone()
    group[rows, best] = other
    group[rows, choice] = largest


def _render_all(path: Path, size: int, on_step: Callable[[int, int], None] | None) -> None:
    temporary = path.with_suffix(".part.npy")
    pixels = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=(len(SCENES), size, size, 3))
    for i, (layout, kind, weather, power) in enumerate(SCENES):
        pixels[i] = render(layout, KINDS[kind], POWERS[power], size=size, variant=weather)[0]
        if on_step is not None:
            on_step(i, len(SCENES))
    pixels.flush()
    os.replace(temporary, path)
