"""Pictures of rendered scenes, cached on disk, with what each shows; and the sources that recipes name.

Axes: N scenes, B batch, H W picture.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...common.files import make_folder, replacing
from ...common.memory import to_device
from ...common.parallel import parallel_map
from ...media.images import from_uint8
from ..world import captions, codes, scenes

HELD_OUT = 1_000_000  # the first scene number that no training uses


@dataclass(frozen=True)
class SceneLabel:
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
    def content(self) -> captions.SceneContent:
        """For soft targets against captions."""
        layout = frozenset(scenes.random_layout(self.seed).words())
        if self.phenomenon is None:
            return captions.SceneContent({captions.CALM: 1.0}, None, layout, is_picture=True)
        present = captions.presence(self.intensity)
        concepts = {self.phenomenon: present, captions.CALM: 1 - present}
        return captions.SceneContent(concepts, self.intensity, layout, is_picture=True)


@dataclass(frozen=True)
class SceneSet:
    """Pictures uint8 [N,H,W,3] (memory-mapped) and what they show."""

    pixels: np.ndarray
    shown: list[SceneLabel]

    def __len__(self) -> int:
        return len(self.shown)

    def batch(self, indices: np.ndarray, device: str | torch.device = "cpu") -> Tensor:
        """Pictures [B,3,H,W] in -1..1."""
        return from_uint8(to_device(torch.from_numpy(self.pixels[indices]), torch.device(device)))

    def captions(self, indices: np.ndarray, rng: np.random.Generator) -> list[str]:
        """One for each of indices [B]: its phenomenon, or calm; half of the time how strong, a quarter where."""
        return [_caption(self.shown[i], rng) for i in indices]


def _caption(shown: SceneLabel, rng: np.random.Generator) -> str:
    content = replace(shown.content, concepts={shown.phenomenon or captions.CALM: 1.0})
    return captions.caption_for_scene(content, rng, say_strength=0.5, say_layout=0.25).text


def draw(index: int, seed: int = 77) -> SceneLabel:
    """Scene number `index` of an endless set: each number its own layout, mostly strong phenomena, one in nine calm.

    Training takes numbers from 0, held-out pictures are numbers from HELD_OUT: no layout is in both.
    """
    rng = np.random.default_rng([index, seed])
    kind = int(rng.integers(0, 8))
    calm = kind == 7 and rng.random() < 0.9
    intensity = float(1 - 0.75 * rng.random() ** 2)
    variant, start_sec = int(rng.integers(1000)), float(rng.uniform(0, 8))
    if calm:
        return SceneLabel(index, None, 0.0, variant, start_sec)
    return SceneLabel(index, scenes.PHENOMENA[kind % len(scenes.PHENOMENA)], intensity, variant, start_sec)


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
            for i, picture in enumerate(parallel_map(partial(scenes.render_still, size=size), what)):
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


# ---- sources


def pictures(
    *, size: int, cache: Path, on_step=None, device=None, count: int = 0, coded: bool = False
) -> SceneSet | codes.CodedScenes:
    """Pictures for a GAN: the first `count` scenes, or with coded the finite part that latents stand for."""
    if coded:
        return codes.CodedScenes(cache, size, on_step)
    return render_scenes(count, cache, size=size, on_step=on_step)


def split_pictures(
    *, size: int, cache: Path, count: int, held_out: int, on_step=None, device=None
) -> tuple[SceneSet, SceneSet]:
    """The first `count` scenes, and `held_out` others."""
    return (
        render_scenes(count, cache, size=size, on_step=on_step),
        render_scenes(held_out, cache, first=HELD_OUT, size=size, on_step=on_step),
    )
