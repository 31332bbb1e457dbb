"""The sounds that the encoder learns from, as log-mels before any gain, computed once.

    FILE.csv, or a folder with one      columns file and label, or file and caption; files are beside the table
    a folder in the layout of ESC-50    meta/esc50.csv, audio/
    folder/<label>/<sound>.wav          the name of the folder is the label
    x-{000..099}.tar                    shards of WebDataset: <key>.wav (flac, mp3, ...) beside <key>.txt, its label

Clip.level [M,T] in dB below the file's loudest bin, fp16, not yet cut at top_db: gains and rooms come later.
Axes: M mels, T mel time, L columns of a crop, P pictures, D dims.
"""

from __future__ import annotations

import csv
import logging
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..audio.mel import AMIN, MelSpec, mel_power
from ..audio.waveform import load_audio, resample, to_mono
from ..common.errors import InputError
from ..metrics.zero_shot import read_esc
from .data.sources import shard_samples

FEWEST_SPLIT = 5  # clips of a label, of which one is held out
FLOOR_DB = -110.0
ACTIVE_DB = -30.0  # a crop is placed over a column at least this loud, never over the silence beside a bark
SOUND_ENDINGS = (".wav", ".flac", ".ogg", ".oga", ".mp3", ".m4a", ".aac", ".opus", ".aif", ".aiff")
TEMPLATES = ("{}", "the sound of {}", "a recording of {}")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Clip:
    """One recording: what it is called, where it is from, what it sounds like. fold 0 has none."""

    label: str
    source: str  # "own", "esc", "ambience" or "synthesised"
    fold: int
    level: np.ndarray  # [M,T] fp16

    @cached_property
    def active(self) -> np.ndarray:
        """The columns in which there is something to hear."""
        return np.flatnonzero(self.level.max(axis=0) > ACTIVE_DB)

    def crop(self, columns: int, rng: np.random.Generator) -> np.ndarray:
        """[M,L] with something to hear in it; a shorter recording is played again."""
        have = self.level.shape[1]
        if have <= columns:
            return np.tile(self.level, (1, -(-columns // have)))[:, :columns]
        first = int(self.active[rng.integers(len(self.active))] - rng.integers(columns))
        first = min(max(first, 0), have - columns)
        return self.level[:, first : first + columns]


def raw_level(wave: Tensor, sample_rate: float, spec: MelSpec) -> np.ndarray:
    """wave [N] => level [M,T] fp16, 0 dB the loudest bin."""
    power = mel_power(resample(wave.float(), sample_rate, spec.sample_rate)[None], spec)[0, 0]
    level_db = 10 * torch.log10(power.clamp(min=AMIN / 100) / power.max().clamp(min=AMIN))
    return level_db.clamp(min=FLOOR_DB).half().numpy()


def raw_key(spec: MelSpec) -> tuple:
    """What raw levels depend on."""
    return spec.sample_rate, spec.n_fft, spec.hop_length, spec.n_mels, spec.fmin, spec.fmax


@dataclass(frozen=True)
class SoundData:
    """Labelled clips; caption(label, rng) => a text that describes a sound of that label; pictures: {label: embeds
    [P,D]} of pictures that show what the label names, for some labels or none."""

    clips: list[Clip]
    caption: Callable[[str, np.random.Generator], str]
    pictures: dict[str, Tensor] = field(default_factory=dict)

    def split(self) -> tuple[SoundData, list[Clip]]:
        """Those to learn from, and of each label with FEWEST_SPLIT clips or more every tenth, or its last one."""
        by_label: dict[str, list[Clip]] = {}
        for clip in self.clips:
            by_label.setdefault(clip.label, []).append(clip)
        held = [c for clips in by_label.values() if len(clips) >= FEWEST_SPLIT for c in clips[9::10] or clips[-1:]]
        kept = {id(clip) for clip in held}
        return replace(self, clips=[clip for clip in self.clips if id(clip) not in kept]), held


def open_sounds(path: str | Path, spec: MelSpec, *, on_step: Callable[[int, int], None] | None = None) -> SoundData:
    """Somebody's own sounds, in one of the layouts above. A sound that cannot be read is skipped and named.

    Raises:
        InputError: no such layout, or nothing in it can be read.
    """
    if str(path).endswith(".tar"):
        items, described, total = _of_shards(str(path)), False, 0
    else:
        rows, described = _listed(Path(path))
        items, total = ((str(file), label, partial(load_audio, file)) for file, label in rows), len(rows)
    clips = []
    for i, (name, label, load) in enumerate(items):
        if on_step is not None:
            on_step(i, total or i + 1)
        try:
            wave, sample_rate = load()
        except InputError as error:
            log.warning("Skipped %s: %s", name, error.cause)
            continue
        clips.append(Clip(label, "own", 0, raw_level(to_mono(wave), sample_rate, spec)))
    if len({clip.label for clip in clips}) < 2:
        raise InputError(f"{path} has sounds of fewer than two labels that can be read.", "Give more sounds.")
    return SoundData(clips, _as_it_is if described else _in_a_template)


def _of_shards(pattern: str) -> Iterator[tuple[str, str, Callable[[], tuple[Tensor, float]]]]:
    for sample in shard_samples(pattern):
        ending = next((e for e in SOUND_ENDINGS if e[1:] in sample), None)
        if ending is None or "txt" not in sample:
            log.warning("Skipped %s: the shard holds no sound, or no label, of it.", sample["__key__"])
            continue
        label = " ".join(sample["txt"].decode("utf-8", errors="replace").split())
        yield sample["__key__"], label, partial(_load_bytes, sample[ending[1:]], ending)


def _load_bytes(content: bytes, ending: str) -> tuple[Tensor, float]:
    with tempfile.NamedTemporaryFile(suffix=ending) as file:
        file.write(content)
        file.flush()
        return load_audio(Path(file.name))


def _listed(path: Path) -> tuple[list[tuple[Path, str]], bool]:
    """(file, label) of every sound, and whether the labels are whole captions."""
    if (path / "meta" / "esc50.csv").is_file():
        return [(row["path"], row["category"].replace("_", " ")) for row in read_esc(path)], False
    tables = [path] if path.is_file() else sorted(path.glob("*.csv"))
    if len(tables) > 1:
        raise InputError(f"{path} has {len(tables)} tables.", "Give the path of one of them.")
    if tables:
        return _table(tables[0])
    files = [file for file in sorted(path.glob("*/*")) if file.suffix.lower() in SOUND_ENDINGS]
    if not files:
        raise InputError(
            f"{path} holds no sounds.", "Give a table with the columns file and label, or <label>/<sound>.wav."
        )
    return [(file, " ".join(file.parent.name.replace("_", " ").split())) for file in files], False


def _table(table: Path) -> tuple[list[tuple[Path, str]], bool]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns, rows = set(reader.fieldnames or ()), list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table} is not a table ({error}).", "Save it as CSV in UTF-8.") from error
    text = next((name for name in ("label", "caption") if name in columns), None)
    if "file" not in columns or text is None:
        raise InputError(f"{table} lacks a column.", "It needs file and label, or file and caption.")
    found = [(table.parent / row["file"], " ".join((row[text] or "").split())) for row in rows if row["file"]]
    if empty := next((file for file, words in found if not words), None):
        raise InputError(f"{table} says nothing of {empty.name}.", f"Fill in its {text}.")
    return found, text == "caption"


def _as_it_is(label: str, rng: np.random.Generator) -> str:
    return label


def _in_a_template(label: str, rng: np.random.Generator) -> str:
    return TEMPLATES[rng.integers(len(TEMPLATES))].format(label)


class ClipDraw:
    """Balanced draws: a label by its weight, then a recorded or a synthesised clip of it, then a crop.

    Of a label with n recordings a share `recorded_share` n / (n + 2) is recorded, so that the one wind at hand does not
    become what wind is.
    """

    def __init__(self, clips: list[Clip], *, recorded_share: float, weights: dict[str, float]) -> None:
        self.pools: dict[str, tuple[list[Clip], list[Clip]]] = {}
        for clip in clips:
            self.pools.setdefault(clip.label, ([], []))[clip.source == "synthesised"].append(clip)
        self.labels = sorted(self.pools)
        chance = np.array([weights.get(label, 1.0) for label in self.labels])
        self.chance = chance / chance.sum()
        self.recorded_share = recorded_share

    def batch(self, size: int, columns: int, rng: np.random.Generator) -> tuple[Tensor, list[str]]:
        """levels [B,M,L] fp16 and their labels."""
        levels, labels = [], []
        for k in rng.choice(len(self.labels), size, p=self.chance):
            real, made = self.pools[self.labels[k]]
            share = self.recorded_share * len(real) / (len(real) + 2) if made else 1.0
            pool = real if rng.random() < share else made
            levels.append(pool[rng.integers(len(pool))].crop(columns, rng))
            labels.append(self.labels[k])
        return torch.from_numpy(np.stack(levels)), labels
