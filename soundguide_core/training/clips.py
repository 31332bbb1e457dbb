"""Videos with their sound, cut to one size and rate, with a segment of sound for every frame.

    folder/<what is heard>/<clip>.<any container>        the name of the folder is the text
    FILE.csv                                             columns file and label; files are beside the table
    shards of WebDataset: <clip>.mp4 (or mov, mkv, webm) beside <clip>.txt

A clip that cannot be used is skipped, counted and named. Axes: K clips, B batch, F frames, H W, N samples, M mels,
T mel time, D dims.
"""

from __future__ import annotations

import copy
import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..audio.mel import MelSpec
from ..audio.track import MelTrack
from ..audio.waveform import load_audio, to_mono
from ..common.errors import InputError
from ..common.files import make_folder, replacing
from ..common.memory import to_device
from ..common.parallel import parallel_map
from ..media.images import from_uint8, resize, to_uint8
from ..media.video import read_frames
from .data.sources import Skipped, shard_samples
from .data.tables import FILE_COLUMNS, TEXT_COLUMNS, is_table, table_rows

STRETCH_SEC = 12.0  # of sound around a window, or as long as the window is
VIDEO_ENDINGS = ("mp4", "mov", "mkv", "webm", "avi", "mpg", "m4v")


@dataclass(frozen=True)
class SceneCode:
    """A scene as a coded generator knows it: the number of its layout, and how strong which of its kinds is in each
    frame, [F,K] in 0..1."""

    layout: int
    amounts: np.ndarray


@dataclass(frozen=True)
class Clip:
    """pixels: called for uint8 [F,H,W,3], the frames from start_sec of the sound on. text: what is heard, in words.

    code: of a rendered scene, where a coded generator knows it; its pixels can be asked for in another process.
    """

    name: str
    text: str
    pixels: Callable[[], np.ndarray]
    wave: Tensor  # [N]
    sample_rate: int
    start_sec: float = 0.0
    code: SceneCode | None = None


def from_folder(folder: Path, *, fps: float, frames: int, size: int, skipped: Skipped) -> Iterator[Clip]:
    """Clips of folder/<text>/*, or of a table, each as many as its length holds, one after the other."""
    folder = Path(folder)
    if is_table(folder):
        for row in table_rows(folder, {"file": FILE_COLUMNS, "text": TEXT_COLUMNS}):
            yield from _of_file(folder.parent / row["file"], row["file"], row["text"], fps, frames, size, skipped)
        return
    paths = [p for p in sorted(folder.glob("*/*")) if p.suffix.lower()[1:] in VIDEO_ENDINGS]
    if not paths:
        raise InputError(f"{folder} holds no <what is heard>/<clip>.mp4.", "Put clips into folders named by sound.")
    for path in paths:
        text = " ".join(path.parent.name.replace("_", " ").split())
        yield from _of_file(path, f"{path.parent.name}/{path.name}", text, fps, frames, size, skipped)


def from_shards(
    pattern: str, *, fps: float, frames: int, size: int, skipped: Skipped, part: int = 0, parts: int = 1
) -> Iterator[Clip]:
    """The same out of WebDataset shards, such as clips-{000..099}.tar, of which every parts-th from `part` on is read:
    a process reads its own."""
    for sample in shard_samples(pattern, part=part, parts=parts):
        name = sample["__key__"]
        ending = next((e for e in VIDEO_ENDINGS if e in sample), None)
        if ending is None or "txt" not in sample:
            skipped.add(name, "the shard holds no video, or no text, of it")
            continue
        with tempfile.NamedTemporaryFile(suffix=f".{ending}") as file:
            file.write(sample[ending])
            file.flush()
            text = sample["txt"].decode("utf-8", errors="replace").strip()
            yield from _of_file(Path(file.name), name, text, fps, frames, size, skipped)


def _of_file(path: Path, name: str, text: str, fps: float, frames: int, size: int, skipped: Skipped) -> Iterator[Clip]:
    try:
        wave, sample_rate = load_audio(path)
        imgs = [to_uint8(resize(img, (size, size)))[0].numpy() for img in read_frames(path, fps=fps)]
    except InputError as error:
        skipped.add(name, error.cause)
        return
    count = min(len(imgs), int(wave.shape[-1] / sample_rate * fps)) // frames
    if not count:
        skipped.add(name, f"It is shorter than {frames} frames at {fps:g} a second.")
    for i in range(count):
        part = np.stack(imgs[i * frames : (i + 1) * frames])
        yield Clip(f"{name}#{i}", text, lambda part=part: part, to_mono(wave), sample_rate, i * frames / fps)


@dataclass(frozen=True)
class Batch:
    """mels [B,F,1,M,T], a segment for each frame. stretch [B,1,M,T']: the sound around all of them; columns [B,F]:
    where in there the frames lie, which may be between two. layouts [B] and amounts [B,F,K]: of scenes, where a coded
    generator knows all of them. Where there are pictures, real [B,F,3,H,W] in -1..1; heard, said [B,F,D] and [B,D],
    unit norm: the meanings of the sound and of the text; loudness [B,F] in 0..1."""

    mels: Tensor
    stretch: Tensor
    columns: Tensor
    layouts: Tensor | None = None
    amounts: Tensor | None = None
    real: Tensor | None = None
    heard: Tensor | None = None
    said: Tensor | None = None
    loudness: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        return replace(self, **{n: x if x is None else to_device(x, device) for n, x in vars(self).items()})


class ClipSet:
    """Clips of equal length, ready for random windows. Of each the pictures lie in a file of their own, uint8
    [F,H,W,3], so that there may be more of them than memory; what is rendered is rendered once, on every core."""

    def __init__(self, clips: Iterable[Clip], *, joint, spec: MelSpec, fps: float, frames: int, size: int, cache: Path):
        self.fps, self.frames = fps, frames
        self.names, self.texts, self.codes, self.tracks, self.first, self.files = [], [], [], [], [], []
        heard, loudness, cache, scenes = [], [], make_folder(cache), []
        for clip in clips:
            track = MelTrack.of_wave(clip.wave, clip.sample_rate, spec)
            first = round(clip.start_sec * fps)
            segments = joint.spec.frame_windows(clip.wave, clip.sample_rate, fps=fps, num_frames=first + frames)
            heard.append(joint.hear(segments[first:]).cpu())
            loudness.append(track.loudness(fps, first + frames)[first:])
            path = _path(clip, (frames, size, size, 3), fps, cache)
            if clip.code is None:
                _write(path, clip.pixels)
            elif not path.is_file():
                scenes.append((path, clip.pixels))
            values = clip.name, clip.text, clip.code, track, first, path
            for kept, value in zip((self.names, self.texts, self.codes, self.tracks, self.first, self.files), values):
                kept.append(value)
        if not self.names:
            raise InputError("No clip could be used.", "Look at the reasons above.")
        for _ in parallel_map(_write_scene, scenes):
            pass
        self.heard, self.loudness = torch.stack(heard), torch.from_numpy(np.stack(loudness))
        known = sorted(set(self.texts))
        meanings = dict(zip(known, joint.encode_labels(known).cpu()))
        self.said = torch.stack([meanings[text] for text in self.texts])

    def __len__(self) -> int:
        return len(self.names)

    def split(self) -> tuple[ClipSet, ClipSet]:
        """Those to learn from, and every tenth."""
        held = torch.arange(len(self)) % 10 == 9
        return self._some(~held), self._some(held)

    def _some(self, which: Tensor) -> ClipSet:
        rows, part = torch.nonzero(which)[:, 0].tolist(), copy.copy(self)
        part.names, part.texts, part.codes, part.tracks, part.first, part.files = (
            [values[k] for k in rows]
            for values in (self.names, self.texts, self.codes, self.tracks, self.first, self.files)
        )
        part.heard, part.loudness, part.said = self.heard[rows], self.loudness[rows], self.said[rows]
        return part

    def draw(self, batch: int, frames: int, rng: torch.Generator, rows: slice = slice(None)) -> Batch:
        """The `rows` of `batch` windows of `frames` frames, 0 for all of a clip's, each text as often as another."""
        frames = frames or self.frames
        clips, starts = self.choose(batch, frames, rng)
        return self.batch(clips[rows], starts[rows], frames)

    def choose(self, batch: int, frames: int, rng: torch.Generator) -> tuple[list[int], list[int]]:
        """Clips, and the first frame of a window in each."""
        texts = sorted(set(self.texts))
        by_text = {text: [i for i, t in enumerate(self.texts) if t == text] for text in texts}

        def one(n: int) -> int:
            return int(torch.randint(n, (), generator=rng))

        clips = [by_text[texts[one(len(texts))]] for _ in range(batch)]
        return [pool[one(len(pool))] for pool in clips], [one(self.frames - frames + 1) for _ in range(batch)]

    def batch(self, clips: list[int], starts: list[int], frames: int) -> Batch:
        """The windows of `frames` frames."""
        real = np.stack([np.load(self.files[k], mmap_mode="r")[s : s + frames] for k, s in zip(clips, starts)])
        at = [(self.tracks[k], self.first[k] + s, frames, self.fps) for k, s in zip(clips, starts)]
        mels = [track.windows(*moments) for track, *moments in at]
        stretch, columns = stretches([(track, track.columns(*moments)) for track, *moments in at])
        known, codes = {}, [self.codes[k] for k in clips]
        if None not in codes:
            amounts = np.stack([code.amounts[s : s + frames] for code, s in zip(codes, starts)])
            known["layouts"] = torch.tensor([code.layout for code in codes])
            known["amounts"] = torch.from_numpy(amounts).float()
        return Batch(
            **known,
            mels=torch.stack(mels),
            stretch=stretch,
            columns=columns,
            real=from_uint8(torch.from_numpy(real).flatten(0, 1)).unflatten(0, real.shape[:2]),
            heard=torch.stack([self.heard[k, s : s + frames] for k, s in zip(clips, starts)]),
            said=self.said[clips],
            loudness=torch.stack([self.loudness[k, s : s + frames] for k, s in zip(clips, starts)]),
        )


def stretches(windows: list[tuple[MelTrack, Tensor]]) -> tuple[Tensor, Tensor]:
    """Tracks, and as many columns [F] in each => a stretch of each, [B,1,M,T], and the columns in there [B,F].

    The columns lie as near its middle as can be. A track that is shorter is followed by silence.
    """
    (track, at), *_ = windows
    spec = track.spec
    length = max(round(STRETCH_SEC * spec.sample_rate / spec.hop_length), int(at[-1] - at[0]) + 2)
    parts, columns = [], []
    for track, at in windows:
        first = int((at[0] + at[-1]) / 2) - length // 2
        first = max(min(first, track.level_db.shape[1] - length), 0)
        part = track.stretch(first, first + length)[0]
        parts.append(F.pad(part, (0, length - part.shape[-1])))
        columns.append((at - first).float())
    return torch.stack(parts), torch.stack(columns)


def _path(clip: Clip, shape: tuple[int, ...], fps: float, cache: Path) -> Path:
    """The file of a clip's pictures. That of a scene is found again where its layout and strength are the same."""
    told = (clip.name, clip.start_sec, fps, shape)
    digest = hashlib.sha256(repr(told).encode())
    if clip.code is not None:
        digest.update(repr(clip.code.layout).encode() + np.asarray(clip.code.amounts, dtype=np.float32).tobytes())
    return cache / f"{digest.hexdigest()[:20]}.npy"


def _write(path: Path, pixels: Callable[[], np.ndarray]) -> None:
    with replacing(path) as temporary:
        np.save(temporary, pixels())


def _write_scene(scene: tuple[Path, Callable[[], np.ndarray]]) -> None:
    _write(*scene)
