"""Pictures with captions for a joint space: a folder with a CSV or a .txt beside each picture, or shards.

Axes: B pictures, K captions, H W picture, D dims.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ...common.errors import InputError
from ...embedding.clip import ClipTowers
from ..augment import augment
from .pictures import PICTURE_COLUMNS, Item, PictureSet, captions_of, decode, folder_items, is_shards, shard_items
from .tables import is_table, table_rows

CAPTION_COLUMNS = ("caption", "text", "title")


@dataclass(frozen=True)
class CaptionBatch:
    """What one step learns from.

    img: augmented pictures [B,3,H,W] in -1..1. texts: K captions. paraphrases: another one of like meaning for each, or
    None. image_text [B,K], text_text [K,K]: how well they fit, 0 or more, soft targets of InfoNCE; of the captions
    with their paraphrases. about: the source's own notes on the pictures.
    """

    img: Tensor
    texts: list[str]
    image_text: Tensor
    paraphrases: list[str] | None = None
    text_text: Tensor | None = None
    about: Any = None


class CaptionedPictures(Protocol):
    """Where pictures with captions come from.

    vocabulary: texts that hold every word of every caption. concepts: names of which pictures show one more or less,
    the last one standing for none; empty where strengths are not known.
    """

    vocabulary: Sequence[str]
    concepts: Sequence[str]

    def __len__(self) -> int: ...

    def draw(self, pictures: int, texts: int, size: int, rng: np.random.Generator) -> CaptionBatch:
        """A batch of `pictures` pictures, scaled to size, and where the source has some, `texts` more captions."""
        ...

    def strengths(self, batch: CaptionBatch, rng: np.random.Generator) -> tuple[list[int], list[float]]:
        """For each picture of a batch an index into concepts, and how strong that is in it, 0..1."""
        ...

    def scores(self, towers: ClipTowers) -> dict[str, float]:
        """How well towers know these pictures."""
        ...


class CaptionedSet:
    """Pictures of a folder with the captions that belong to each; a caption fits the pictures that have it."""

    concepts: Sequence[str] = ()

    def __init__(self, pictures: PictureSet, *, augmentation: float = 0.5):
        self.pictures, self.augmentation = pictures, augmentation
        self.vocabulary = sorted({text for texts in pictures.texts for text in texts})

    def __len__(self) -> int:
        return len(self.pictures)

    def draw(self, pictures: int, texts: int, size: int, rng: np.random.Generator) -> CaptionBatch:
        indices = rng.choice(len(self), pictures, replace=pictures > len(self))
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        img = augment(self._scaled(indices, size), generator, strength=self.augmentation)
        known = [self.pictures.texts[i] for i in indices]
        first = [texts[rng.integers(len(texts))] for texts in known]
        batch = CaptionBatch(img, first, torch.tensor([[float(text in texts) for text in first] for texts in known]))
        if all(len(texts) < 2 for texts in self.pictures.texts):
            return batch
        second = [_another(texts, text, rng) for texts, text in zip(known, first)]
        both = [[float(text in texts) for text in second] for texts in known]
        return replace(batch, paraphrases=second, text_text=torch.tensor(both))

    def _scaled(self, indices: np.ndarray, size: int) -> Tensor:
        img = self.pictures.batch(indices)
        if img.shape[-1] == size:
            return img
        return torch.nn.functional.interpolate(img, (size, size), mode="bicubic", antialias=True).clamp(-1, 1)

    def strengths(self, batch: CaptionBatch, rng: np.random.Generator) -> tuple[list[int], list[float]]:
        raise InputError("Captions of a folder say no strengths.", "Set margin_weight = 0 in [training].")

    @torch.no_grad()
    def scores(self, towers: ClipTowers) -> dict[str, float]:
        """recall_at_1: share of pictures whose nearest caption, of all there are, is one of their own."""
        texts = torch.cat([towers.encode_text(self.vocabulary[i : i + 64]) for i in range(0, len(self.vocabulary), 64)])
        right = 0
        for rows in np.array_split(np.arange(len(self)), -(-len(self) // 64)):
            nearest = (towers.encode_image(self.pictures.batch(rows, towers.device)) @ texts.T).argmax(1).tolist()
            right += sum(self.vocabulary[k] in self.pictures.texts[i] for i, k in zip(rows, nearest))
        return {"recall_at_1": right / len(self)}


def _another(texts: Sequence[str], text: str, rng: np.random.Generator) -> str:
    others = [other for other in texts if other != text]
    return others[rng.integers(len(others))] if others else text


def open_captioned(
    *, folder: str | Path, size: int, cache: Path, on_step=None, device=None, augmentation: float = 0.5
) -> tuple[CaptionedSet, CaptionedSet]:
    """The captioned pictures of a folder or of shards, to learn from and held out.

    Captions are in a CSV file in the folder, with a column of file names (file_name, image, ...) and one of captions
    (caption, text, ...), a row for each; or without one, in <picture>.txt beside each picture, one a line. A picture
    without a caption is left out.

    Raises:
        InputError: no picture with a caption.
    """
    if is_shards(folder):
        items = (item for item in shard_items(str(folder)) if item.texts)
    elif not (items := [item for item in captioned_items(Path(folder)) if item.texts]):
        raise InputError(
            f"{folder} holds no captions.", "Put a CSV with file_name and caption, or a .txt beside each picture."
        )
    learned, held_out = decode(items, str(folder), size, cache, on_step).split()
    return CaptionedSet(learned, augmentation=augmentation), CaptionedSet(held_out, augmentation=augmentation)


def open_told(
    *, folder: str | Path, size: int, cache: Path, on_step=None, device=None
) -> tuple[PictureSet, PictureSet]:
    """All pictures of a folder or of shards, to learn from and held out, with the captions that some of them have."""
    items = shard_items(str(folder)) if is_shards(folder) else captioned_items(Path(folder))
    return decode(items, str(folder), size, cache / "told", on_step).split()


def captioned_items(folder: Path) -> list[Item]:
    """The picture files of a folder or a table with their captions; those without have none."""
    items = folder_items(folder)
    tables = [folder] if is_table(folder) else sorted(folder.glob("*.csv"))
    if not tables:
        return [replace(item, texts=_beside(folder / item.name)) for item in items]
    texts: dict[str, list[str]] = {}
    for path in tables:
        for row in table_rows(path, {"file": PICTURE_COLUMNS, "text": CAPTION_COLUMNS}):
            if row["text"]:
                texts.setdefault(Path(row["file"]).as_posix(), []).append(row["text"])
    once = {item.name: item for item in items}  # a table may name a picture once for each caption
    return [replace(item, texts=tuple(texts.get(Path(name).as_posix(), ()))) for name, item in once.items()]


def _beside(picture: Path) -> tuple[str, ...]:
    path = picture.with_suffix(".txt")
    return captions_of(path.read_bytes()) if path.is_file() else ()
