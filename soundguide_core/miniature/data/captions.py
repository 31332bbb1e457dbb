"""Rendered scenes with captions, for a joint space: soft targets from what captions say and pictures show.

Axes: B pictures, K captions, H W picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...embedding.clip import ClipTowers
from ...training.augment import augment, coarse
from ...training.data.captions import CaptionBatch
from ..world import captions
from ..world.captions import Caption, SceneContent
from ..world.scenes import PHENOMENA
from .scenes import HELD_OUT, SceneLabel, SceneSet, render_scenes


class CaptionedScenes:
    """Scenes that are captioned anew each time, with captions of sounds and pairs that have no scene.

    even_strengths: 0 draws scenes as they come, mostly strong; 1 every strength equally often. softened: share of
    pictures that are blurred until drops, stars and birds are gone; softened_strength: what remains, the light, counts
    for that share of the strength.
    """

    concepts = (*PHENOMENA, captions.CALM)

    def __init__(
        self, scenes: SceneSet, *, even_strengths: float = 0.0, softened: float = 0.0, softened_strength: float = 0.4
    ):
        self.scenes, self.softened, self.softened_strength = scenes, softened, softened_strength
        self.vocabulary = vocabulary()
        # flat over strengths where even_strengths is 1; the scenes themselves are mostly strong, one in nine calm
        strengths = np.array([shown.intensity for shown in scenes.shown])
        self.chances = np.where(strengths > 0, np.sqrt(1 - strengths) + 0.05, 0.5) ** even_strengths
        self.chances /= self.chances.sum()

    def __len__(self) -> int:
        return len(self.scenes)

    def draw(self, pictures: int, texts: int, size: int, rng: np.random.Generator) -> CaptionBatch:
        indices = rng.choice(len(self.scenes), pictures, p=self.chances)
        shown, img = self._pictures(indices, size, rng)
        content = [scene.content for scene in shown]
        first, second = draw_captions(content, texts, rng)
        said, again = ([caption.content for caption in side] for side in (first, second))
        return CaptionBatch(
            img=img,
            texts=[caption.text for caption in first],
            image_text=_affinity(content, said),
            paraphrases=[caption.text for caption in second],
            text_text=_affinity(said, again),
            about=shown,
        )

    def _pictures(self, indices: np.ndarray, size: int, rng: np.random.Generator) -> tuple[list[SceneLabel], Tensor]:
        """Augmented pictures [B,3,size,size] in -1..1, and what they show."""
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        img = F.interpolate(self.scenes.batch(indices), (size, size), mode="bicubic", antialias=True).clamp(-1, 1)
        shown = [self.scenes.shown[k] for k in indices]
        for k in np.flatnonzero(rng.random(len(shown)) < self.softened):
            img[k : k + 1] = coarse(img[k : k + 1], 6)
            shown[k] = replace(shown[k], intensity=shown[k].intensity * self.softened_strength)
        return shown, augment(img, generator)

    def strengths(self, batch: CaptionBatch, rng: np.random.Generator) -> tuple[list[int], list[float]]:
        """The phenomenon and its intensity; of a calm scene any phenomenon, at 0."""
        which = [scene.label if scene.phenomenon else int(rng.integers(len(PHENOMENA))) for scene in batch.about]
        return which, [scene.intensity for scene in batch.about]

    @torch.no_grad()
    def scores(self, towers: ClipTowers, *, above: float = 0.5) -> dict[str, float]:
        """How well towers name pictures and texts by their nearest bare word.

        pictures: share of right names among eight, for calm scenes and phenomena stronger than `above`. phrases: share
        of all captions' phrases that are nearest to their own concept, among all concepts.
        """
        scenes = self.scenes
        chosen = np.array([i for i, s in enumerate(scenes.shown) if s.phenomenon is None or s.intensity > above])
        names = towers.encode_text(list(self.concepts))
        parts = np.array_split(chosen, max(len(chosen) // 64, 1))
        named = torch.cat(
            [(towers.encode_image(scenes.batch(part).to(towers.device)) @ names.T).argmax(1) for part in parts]
        )
        right = named.cpu() == torch.tensor([scenes.shown[i].label for i in chosen])
        plain = towers.encode_text([phrases[0] for phrases in captions.PHRASES.values()])
        known = [
            (towers.encode_text(list(phrases)) @ plain.T).argmax(1) == k
            for k, phrases in enumerate(captions.PHRASES.values())
        ]
        return {"pictures": right.float().mean().item(), "phrases": torch.cat(known).float().mean().item()}


def captioned_scenes(
    *, size: int, cache: Path, count: int, held_out: int, on_step=None, device=None, **options: float
) -> tuple[CaptionedScenes, CaptionedScenes]:
    """The first `count` scenes, and `held_out` others; options: of CaptionedScenes. Scenes are rendered at 128."""
    learned = render_scenes(count, cache, on_step=on_step)
    others = render_scenes(held_out, cache, first=HELD_OUT, on_step=on_step)
    return CaptionedScenes(learned, **options), CaptionedScenes(others, **options)


def vocabulary() -> list[str]:
    """Texts that hold every word of every caption."""
    phrases = [p for group in captions.PHRASES.values() for p in group]
    phrases += [p for bands in captions.STRONG_PHRASES.values() for group in bands.values() for p in group]
    phrases += [p for _, words in captions.STRENGTHS.values() for p in words]
    phrases += [t.format("") or "a" for t in captions.TEMPLATES]
    phrases += [p for group in captions.LAYOUT_PHRASES.values() for p in group]
    return [*phrases, "and then together with mixed with"]


def caption_texts(count: int, seed: int) -> list[str]:
    """Captions of sounds and pairs of sounds, for a bridge between two spaces."""
    first, _ = draw_captions([], count, np.random.default_rng(seed))
    return [caption.text for caption in first]


def draw_captions(
    shown: Sequence[SceneContent], extra: int, rng: np.random.Generator
) -> tuple[list[Caption], list[Caption]]:
    """A caption for each picture and `extra` captions of sounds and pairs; then one of like content for each."""
    first = [captions.caption_for_scene(content, rng) for content in shown]
    for _ in range(extra):
        one, other = (captions.CONCEPTS[i] for i in rng.choice(len(captions.CONCEPTS), 2, replace=False))
        if rng.random() < 0.15:
            first.append(captions.caption_for_pair(one, other, rng))
        else:
            strength = float(rng.random()) if one in captions.STRONG_PHRASES and rng.random() < 0.2 else None
            first.append(captions.caption_for_concept(one, rng, strength=strength))
    return first, [_paraphrase(caption.content, rng) for caption in first]


def _paraphrase(content: SceneContent, rng: np.random.Generator) -> Caption:
    names = list(content.concepts)
    if len(names) == 2:
        first, second = names if rng.random() < 0.5 else names[::-1]
        return captions.caption_for_pair(first, second, rng)
    return captions.caption_for_concept(names[0], rng, strength=content.strength)


def _affinity(rows: Sequence[SceneContent], columns: Sequence[SceneContent]) -> Tensor:
    return torch.from_numpy(captions.affinity(rows, columns)).float()
