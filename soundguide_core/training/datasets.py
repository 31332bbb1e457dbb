"""Rendered scenes with what they show, cached on disk, and the picture augmentations that training shares.

Axes: N scenes, B batch, H W picture.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..common.files import make_folder, replacing
from ..common.parallel import parallel_map
from ..media.images import from_uint8
from ..miniature.world import captions, scenes

HELD_OUT = 1_000_000  # the first scene number that no training uses


@dataclass(frozen=True)
class Shown:
    """What one rendered picture shows; phenomenon None is calm, with intensity 0."""

    seed: int
    phenomenon: str | None
    intensity: float
    variant: int
    start_sec: float

    @property
    def label(self) -> int:
        """Index into (*PHENOMENA, calm)."""
        return len(scenes.PHENOMENA) if self.phenomenon is None else scenes.PHENOMENA.index(self.phenomenon)

    @property
    def meaning(self) -> captions.Meaning:
        """For soft targets against captions."""
        layout = frozenset(scenes.random_layout(self.seed).words())
        if self.phenomenon is None:
            return captions.Meaning({captions.CALM: 1.0}, None, layout, is_picture=True)
        present = captions.presence(self.intensity)
        concepts = {self.phenomenon: present, captions.CALM: 1 - present}
        return captions.Meaning(concepts, self.intensity, layout, is_picture=True)


@dataclass(frozen=True)
class SceneSet:
    """Pictures uint8 [N,H,W,3] (memory-mapped) and what they show."""

    pixels: np.ndarray
    shown: list[Shown]

    def __len__(self) -> int:
        return len(self.shown)

    def batch(self, indices: np.ndarray, device: str | torch.device = "cpu") -> Tensor:
        """Pictures [B,3,H,W] in -1..1."""
        return from_uint8(torch.from_numpy(self.pixels[indices]).to(device))


def draw(index: int, seed: int = 77) -> Shown:
    """Scene number `index` of an endless set: each number its own layout, mostly strong phenomena, one in nine calm.

    Training takes numbers from 0, held-out pictures are numbers from HELD_OUT: no layout is in both.
    """
    rng = np.random.default_rng([index, seed])
    kind = int(rng.integers(0, 8))
    calm = kind == 7 and rng.random() < 0.9
    intensity = float(1 - 0.75 * rng.random() ** 2)
    variant, start_sec = int(rng.integers(1000)), float(rng.uniform(0, 8))
    if calm:
        return Shown(index, None, 0.0, variant, start_sec)
    return Shown(index, scenes.PHENOMENA[kind % len(scenes.PHENOMENA)], intensity, variant, start_sec)


def render_scenes(
    count: int,
    folder: Path,
    *,
    first: int = 0,
    seed: int = 77,
    size: int = 128,
    on_step: Callable[[int, int], None] | None = None,
) -> SceneSet:
    """Render scenes first .. first + count into folder, or open them if the same painter has rendered them before."""
    path = make_folder(folder) / f"scenes-{first}-{count}-{seed}-{size}-{_fingerprint(size)}.npy"
    shown = [draw(first + i, seed) for i in range(count)]
    if not path.is_file():
        with replacing(path) as temporary:
            pixels = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=(count, size, size, 3))
            what = [(s.seed, s.phenomenon, s.intensity, s.variant, s.start_sec) for s in shown]
            for i, picture in enumerate(parallel_map(partial(scenes.still, size=size), what)):
                if on_step is not None and i % 50 == 0:
                    on_step(i, count)
                pixels[i] = picture
            pixels.flush()
            del pixels
    return SceneSet(np.load(path, mmap_mode="r"), shown)


def _fingerprint(size: int) -> str:
    """Changes when the painter does, so that stale pictures are not trained on."""
    digest = hashlib.sha256(json.dumps(scenes.PHENOMENA).encode())
    for phenomenon in (None, *scenes.PHENOMENA):
        digest.update(scenes.render(1, phenomenon, 0.7, size=size, start_sec=1.0).tobytes())
    return digest.hexdigest()[:10]


def augment(img: Tensor, generator: torch.Generator, *, strength: float = 1.0, far: float = 0.0) -> Tensor:
    """Another camera's picture of the same scene: warped, recoloured, blurred or grainy.

    img [B,3,H,W] in -1..1 => the same shape, in -1..1. generator: a CPU generator. far: share of pictures that are
    softened as much as a young generator's.
    """
    img = _warp(img, generator, strength)
    img = _recolour(img, generator, strength)
    return _degrade(img, generator, strength, far).clamp(-1, 1)


def _uniform(shape: tuple[int, ...], generator: torch.Generator, low: float = -1.0, high: float = 1.0) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator)


def _warp(img: Tensor, generator: torch.Generator, strength: float) -> Tensor:
    """Crop, mirror, turn, and bend as rubber, in one resampling."""
    count = img.shape[0]
    zoom = 1 - 0.35 * strength * torch.rand(count, generator=generator)
    angle = math.radians(8) * strength * _uniform((count,), generator)
    mirror = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    shift = (1 - zoom)[:, None] * _uniform((count, 2), generator)
    stretch = 1 + 0.12 * strength * _uniform((count,), generator)
    cos, sin = zoom * angle.cos(), zoom * angle.sin()
    theta = torch.stack(
        [
            torch.stack([mirror * cos, -sin * stretch, shift[:, 0]], 1),
            torch.stack([mirror * sin, cos * stretch, shift[:, 1]], 1),
        ],
        1,
    )
    grid = F.affine_grid(theta, list(img.shape), align_corners=False)
    rubber = F.interpolate(
        0.035 * strength * torch.randn(count, 2, 7, 7, generator=generator),
        img.shape[2:],
        mode="bicubic",
        align_corners=False,
    )
    grid = grid + rubber.permute(0, 2, 3, 1)  # [B,2,H,W] => [B,H,W,2]
    return F.grid_sample(img, grid.to(img), mode="bilinear", padding_mode="reflection", align_corners=False)


def _recolour(img: Tensor, generator: torch.Generator, strength: float) -> Tensor:
    """Saturation, a colour cast, contrast, brightness; one picture in ten loses its colour."""
    count = img.shape[0]
    saturation = 1 + 0.5 * strength * _uniform((count, 1, 1), generator)
    saturation = torch.where(torch.rand(count, 1, 1, generator=generator) < 0.1 * strength, torch.zeros(()), saturation)
    luma = torch.tensor([0.299, 0.587, 0.114]).expand(3, 3)
    matrix = luma + saturation * (torch.eye(3) - luma)
    matrix = matrix + 0.12 * strength * _uniform((count, 3, 3), generator)
    matrix = matrix * (1 + 0.25 * strength * _uniform((count, 1, 1), generator))
    offset = 0.15 * strength * _uniform((count, 1, 1, 1), generator) + 0.06 * strength * _uniform(
        (count, 3, 1, 1), generator
    )
    return torch.einsum("bij,bjhw->bihw", matrix.to(img), img) + offset.to(img)


def _degrade(img: Tensor, generator: torch.Generator, strength: float, far: float) -> Tensor:
    """Soften or sharpen, add fine and coarse grain."""
    count, _, h, w = img.shape
    is_far = torch.rand(count, 1, 1, 1, generator=generator) < far
    soft = torch.where(is_far.to(img.device), coarse(img, 6), coarse(img, 2))
    amount = _uniform((count, 1, 1, 1), generator, -0.3 * strength, 0.9 * strength).to(img)
    img = torch.lerp(img, soft, amount.clamp(max=1.0))
    level = 0.12 * strength * torch.rand(count, 1, 1, 1, generator=generator).square()
    fine = torch.randn(img.shape, generator=generator)
    broad = F.interpolate(torch.randn(count, 3, h // 4, w // 4, generator=generator), (h, w), mode="bilinear")
    return img + (level * (fine + broad)).to(img)


def coarse(img: Tensor, factor: int) -> Tensor:
    """The picture as one `factor` times smaller shows it."""
    h, w = img.shape[2:]
    small = F.interpolate(img, (h // factor, w // factor), mode="bilinear", antialias=True)
    return F.interpolate(small, (h, w), mode="bilinear", align_corners=False)
