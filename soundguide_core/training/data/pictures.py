"""Pictures for a generator: a folder in any depth, or shards, decoded once to one size.

Axes: N pictures, B batch, H W picture.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ...common.errors import InputError
from ...common.files import make_folder, read_json, replacing
from ...common.memory import to_device
from ...media.images import from_uint8, load_image, resize, to_uint8
from .sources import Skipped, shard_samples
from .tables import is_table, table_rows

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
PICTURE_COLUMNS = ("file_name", "filename", "file", "image", "picture", "path")
FORMAT = 1  # of the decoded files
MOST_HELD_OUT = 128
FEWEST_SPLIT = 10  # of fewer nothing is held out


class Pictures(Protocol):
    """Where pictures come from."""

    def __len__(self) -> int: ...

    def batch(self, indices, device: str | torch.device = "cpu") -> Tensor:
        """indices [B] => [B,3,H,W] in -1..1"""
        ...


@dataclass(frozen=True)
class Item:
    """A picture that has not been read yet: load() => [1,3,H,W] in -1..1; its captions, if any."""

    name: str
    load: Callable[[], Tensor]
    texts: tuple[str, ...] = ()


@dataclass(frozen=True)
class PictureSet:
    """Decoded pictures, uint8 [N,H,W,3], memory-mapped; texts: the captions of each, if they have any."""

    pixels: np.ndarray
    names: Sequence[str]
    texts: Sequence[tuple[str, ...]]

    def __len__(self) -> int:
        return len(self.names)

    def batch(self, indices, device: str | torch.device = "cpu") -> Tensor:
        """indices [B] => [B,3,H,W] in -1..1"""
        pixels = torch.from_numpy(self.pixels[np.asarray(indices)])
        return from_uint8(to_device(pixels, torch.device(device)))

    def captions(self, indices: np.ndarray, rng: np.random.Generator) -> list[str | None]:
        """One of those of each, None where it has none."""
        known = [self.texts[i] for i in indices]
        return [texts[rng.integers(len(texts))] if texts else None for texts in known]

    def split(self) -> tuple[PictureSet, PictureSet]:
        """Those to learn from, and every tenth of the others up to MOST_HELD_OUT; of fewer than ten all are both."""
        if len(self) < FEWEST_SPLIT:
            return self, self
        held = np.arange(len(self)) % max(10, len(self) // MOST_HELD_OUT) == 9
        return self._subset(np.flatnonzero(~held)), self._subset(np.flatnonzero(held))

    def _subset(self, rows: np.ndarray) -> PictureSet:
        kept: list[int] = rows.tolist()
        return _Subset(self.pixels, [self.names[i] for i in kept], [self.texts[i] for i in kept], rows)


@dataclass(frozen=True)
class _Subset(PictureSet):
    rows: np.ndarray

    def batch(self, indices, device: str | torch.device = "cpu") -> Tensor:
        return super().batch(self.rows[np.asarray(indices)], device)


def open_pictures(*, folder: str | Path, size: int, cache: Path, on_step=None, device=None) -> PictureSet:
    """All pictures of a folder, in any depth, of a table (*.csv) or of shards (*.tar); each is scaled and cropped to a
    square of size."""
    items = shard_items(str(folder)) if is_shards(folder) else folder_items(Path(folder))
    return decode(items, str(folder), size, cache, on_step)


def split_off(pictures: Any) -> tuple[Any, Any]:
    """(to learn from, held out) of pictures or clips that can be split and are enough; else all of them, and None."""
    if not hasattr(pictures, "split") or len(pictures) < FEWEST_SPLIT:
        return pictures, None
    return pictures.split()


def open_split(*, folder: str | Path, size: int, cache: Path, on_step=None, device=None):
    """The same as two sets: to learn from, and held out."""
    return open_pictures(folder=folder, size=size, cache=cache, on_step=on_step).split()


def is_shards(folder: str | Path) -> bool:
    return str(folder).endswith(".tar") or str(folder).startswith("pipe:")


def folder_items(folder: Path) -> list[Item]:
    """The picture files of a folder, in the order of their paths, or of a table, in its order.

    Raises:
        InputError: there is no such folder, or no picture file in it.
    """
    if is_table(folder):
        rows = table_rows(folder, {"file": PICTURE_COLUMNS})
        return [Item(row["file"], lambda path=folder.parent / row["file"]: load_image(path)) for row in rows]
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}.", "Check the path.")
    paths = [p for p in sorted(folder.rglob("*")) if p.suffix.lower() in ENDINGS and not p.name.startswith(".")]
    if not paths:
        raise InputError(f"{folder} holds no pictures.", "Put PNG, JPEG or WebP files into it.")
    return [Item(str(path.relative_to(folder)), lambda path=path: load_image(path)) for path in paths]


def shard_items(pattern: str) -> Iterator[Item]:
    """Samples <key>.jpg (png, webp), with captions in <key>.txt, one a line, where there is one."""
    for sample in shard_samples(pattern):
        ending = next((e for e in ENDINGS if e[1:] in sample), None)
        texts = captions_of(sample["txt"]) if "txt" in sample else ()
        yield Item(sample["__key__"], lambda s=sample, e=ending: _from_bytes(s, e), texts)


def _from_bytes(sample: dict, ending: str | None) -> Tensor:
    if ending is None:
        raise InputError("The shard holds no picture of it.", "Put <key>.jpg into it.")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{sample['__key__'].rpartition('/')[2]}{ending}"
        path.write_bytes(sample[ending[1:]])
        return load_image(path)


def captions_of(content: bytes) -> tuple[str, ...]:
    """The lines of a caption file that are not empty."""
    lines = content.decode("utf-8", errors="replace").splitlines()
    return tuple(" ".join(line.split()) for line in lines if line.strip())


def decode(items: Iterable[Item], source: str, size: int, cache: Path, on_step=None) -> PictureSet:
    """Reads items into a file in cache, or opens the file that an earlier run has made of the same data.

    An item that cannot be read is skipped and named.

    Raises:
        InputError: none can be read.
    """
    path = make_folder(cache) / f"pictures-{_fingerprint(source, size)}"
    listing, raw = path.with_suffix(".json"), path.with_suffix(".u8")
    if not (listing.is_file() and raw.is_file()):
        names, texts, skipped = [], [], Skipped()
        total = len(items) if isinstance(items, list) else 0  # shards do not say
        with replacing(raw) as temporary, open(temporary, "wb") as file:
            for i, item in enumerate(items):
                if on_step is not None and i % 50 == 0:
                    on_step(i, total or i + 1)
                try:
                    file.write(to_uint8(resize(item.load(), (size, size)))[0].numpy().tobytes())
                except InputError as error:
                    skipped.add(item.name, error.cause)
                    continue
                names.append(item.name)
                texts.append(item.texts)
            if not names:
                reason = next(iter(skipped.reasons.values()), "There are none.")
                raise InputError(f"None of the pictures of {source} can be read. {reason}", "Give others.")
        with replacing(listing) as temporary:
            temporary.write_text(json.dumps({"names": names, "texts": texts}), encoding="utf-8")
    told = read_json(listing)
    names, texts = told["names"], [tuple(lines) for lines in told["texts"]]
    return PictureSet(np.memmap(raw, np.uint8, "c", shape=(len(names), size, size, 3)), names, texts)


def _fingerprint(source: str, size: int) -> str:
    """Changes with the files of a folder, their sizes and times, so that stale pictures are not trained on."""
    digest = hashlib.sha256(repr((FORMAT, source, size)).encode())
    for path in sorted(Path(source).rglob("*")) if Path(source).is_dir() else (Path(source),):
        if path.is_file():
            about = path.stat()
            digest.update(repr((str(path), about.st_size, about.st_mtime_ns)).encode())
    return digest.hexdigest()[:16]
