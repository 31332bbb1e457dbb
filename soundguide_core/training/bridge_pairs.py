"""Pairs that a bridge learns from: captions in two text towers, or sounds with their pictures.

Axes: N pairs, D dims.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..audio.waveform import load_audio, to_mono
from ..checkpoints import safetensors_io
from ..common.errors import InputError
from ..common.files import check_input
from ..embedding.clip import ClipTowers
from ..embedding.hearing.vocabulary import plain, read_vocabulary
from ..media.images import READ_SUFFIXES, load_image
from .bridge_sources import Source
from .data.sources import shard_samples
from .data.tables import FILE_COLUMNS, is_table, table_rows
from .engine.loop import OnStep
from .recipe import named_function

FEATURES = "features.safetensors"
SOUND_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".aac")
TEXTS_AT_ONCE = 256


@dataclass(frozen=True)
class Pairs:
    """source [N,D1] and target [N,D2], unit norm: the same thing in two spaces."""

    source: Tensor
    target: Tensor

    def of(self, rows: Tensor) -> Pairs:
        return Pairs(self.source[rows], self.target[rows])


def open_pairs(
    table: Mapping, source: Source, target: ClipTowers, out: Path, *, seed: int, on_step: OnStep | None = None
) -> Pairs:
    """The pairs of a recipe's [data], encoded once and kept in out.

    table: folder: sounds and pictures of the same name ("a.wav", "a.png"), a table of both (*.csv), shards of both
    (*.tar), or a text file of captions, one a line; or source, a function (count, seed) => captions, with its count;
    nothing: the words and prompts of AudioSet's table.

    Raises:
        InputError: entries that are not known, or nothing to pair.
    """
    if unknown := sorted(set(table) - {"folder", "source", "count"}):
        raise InputError(
            f"The recipe's [data] has an unknown entry {unknown[0]!r}.", "Use folder, or source and count."
        )
    folder = Path(table["folder"]) if "folder" in table else None
    if folder is not None and str(folder).endswith(".tar"):
        with tempfile.TemporaryDirectory() as unpacked:  # whole: shards are read one after the other
            files = paired_files(unpack_pairs(str(table["folder"]), Path(unpacked)))
            items = [f"{sound.name} {sound.stat().st_size}" for sound, _ in files]
            return _kept(out, items, source, target, lambda: _of_files(files, source, target, on_step))
    if folder is not None and (folder.is_dir() or is_table(folder)):
        files = paired_files(folder)
        items = [f"{sound.name} {sound.stat().st_mtime_ns} {sound.stat().st_size}" for sound, _ in files]
        return _kept(out, items, source, target, lambda: _of_files(files, source, target, on_step))
    captions = captions_of(table, seed)
    return _kept(out, captions, source, target, lambda: _of_texts(captions, source, target))


def captions_of(table: Mapping, seed: int) -> list[str]:
    """The captions of a text file, of a function or of AudioSet's table, each once."""
    if "folder" in table:
        path = check_input(table["folder"], "text file of captions")
        try:
            captions = path.read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is no text.", "Give a folder, or a text file with a caption a line.") from error
    elif "source" in table:
        captions = named_function(table["source"])(int(table.get("count", 10_000)), seed)
    else:
        entries = read_vocabulary().entries
        captions = [text for entry in entries for text in (plain(entry.word), *entry.also, entry.prompt)]
    return list(dict.fromkeys(line.strip() for line in captions if line.strip()))


def unpack_pairs(pattern: str, folder: Path) -> Path:
    """The sounds and pictures of WebDataset shards as files of a folder, numbered."""
    endings = {suffix[1:] for suffix in (*SOUND_SUFFIXES, *READ_SUFFIXES)}
    for i, sample in enumerate(shard_samples(pattern)):
        for ending in endings & sample.keys():
            (folder / f"{i:08d}.{ending}").write_bytes(sample[ending])
    return folder


def paired_files(folder: Path) -> list[tuple[Path, Path]]:
    """(sound, picture) of the same name in a folder, by name; or of a table's columns file and picture."""
    if is_table(folder):
        rows = table_rows(folder, {"sound": (*FILE_COLUMNS, "sound"), "picture": ("picture", "image")})
        return [(folder.parent / row["sound"], folder.parent / row["picture"]) for row in rows]
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    pictures = {path.with_suffix(""): path for path in files if path.suffix.lower() in READ_SUFFIXES}
    sounds = [path for path in files if path.suffix.lower() in SOUND_SUFFIXES]
    found = [(sound, pictures[sound.with_suffix("")]) for sound in sounds if sound.with_suffix("") in pictures]
    if not found:
        raise InputError(
            f"{folder} has no sound with a picture of the same name.", "Put a.wav beside a.png, and so on."
        )
    return found


@torch.no_grad()
def _of_texts(captions: Sequence[str], source: Source, target: ClipTowers) -> Pairs:
    parts = [list(captions[i : i + TEXTS_AT_ONCE]) for i in range(0, len(captions), TEXTS_AT_ONCE)]
    made = [torch.cat([side.encode_text(part) for part in parts]).cpu() for side in (source, target)]
    return Pairs(*made)


@torch.no_grad()
def _of_files(files: Sequence[tuple[Path, Path]], source: Source, target: ClipTowers, on_step: OnStep | None) -> Pairs:
    heard, seen = [], []
    for i, (sound, picture) in enumerate(files):
        wave, sample_rate = load_audio(sound)
        heard.append(source.encode_audio(to_mono(wave), sample_rate).cpu())
        seen.append(target.encode_image(load_image(picture).to(target.device)).cpu())
        if on_step is not None:
            on_step(i, len(files), {})
    return Pairs(torch.cat(heard), torch.cat(seen))


def _kept(out: Path, items: Sequence[str], source: Source, target: ClipTowers, make) -> Pairs:
    """The features in out where they are of the same items and models; else new ones, which are kept there."""
    sides = [f"{float(sum(p.double().abs().sum() for p in side.parameters())):.9e}" for side in (source.module, target)]
    stamp = hashlib.sha256(json.dumps([list(items), sides]).encode()).hexdigest()
    path = out / FEATURES
    if path.is_file() and safetensors_io.has_config(path):
        tensors, config = safetensors_io.load(path)
        if config.get("of") == stamp:
            return Pairs(tensors["source"], tensors["target"])
    pairs = make()
    safetensors_io.save(path, {"source": pairs.source, "target": pairs.target}, {"of": stamp})
    return pairs
