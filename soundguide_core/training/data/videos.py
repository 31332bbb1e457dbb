"""Clips for a video generator: a folder of videos, or of folders of frames, decoded once to one size and rate.

Axes: B batch of videos, F frames of each, H W picture, D dims, S numbers of a sound.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ...audio.waveform import load_audio, to_mono
from ...common.errors import InputError
from ...common.files import make_folder, replacing
from ...generators.motion import Noise
from ...media.images import from_uint8, resize, to_uint8
from ...media.video import SOUND_FILE, read_frames
from ...systems.continuous_video import sound_curve
from .sources import Skipped, shard_samples
from .tables import FILE_COLUMNS, TEXT_COLUMNS, is_table, table_rows

ENDINGS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".m4v")
FORMAT = 1  # of the decoded files


@dataclass(frozen=True)
class VideoBatch:
    """Frames [B,F,3,H,W] in -1..1 at t [B,F]; latents z [B,D], motion noise and sound [B,F,S] that go with them; of
    labelled videos c [B,K], one-hot.

    Coded videos are those that z, motion noise, t and sound determine.
    """

    z: Tensor
    motion_z: Noise
    t: Tensor
    sound: Tensor | None
    frames: Tensor
    c: Tensor | None = None

    def of(self, rows: slice) -> VideoBatch:
        """Some of the videos; the motion noise is a tensor."""
        assert isinstance(self.motion_z, Tensor)
        sound, c = (None if x is None else x[rows] for x in (self.sound, self.c))
        return VideoBatch(self.z[rows], self.motion_z[rows], self.t[rows], sound, self.frames[rows], c)


class Videos(Protocol):
    """Where videos come from. A warm start, and recon_weight, need coded ones, which have write."""

    def draw(self, times: Tensor, z: Tensor, motion_z: Noise, rng: torch.Generator) -> VideoBatch:
        """Random videos at about times [B,F] in frames; of standard normal z [B,D] only signs may be changed.

        All on the CPU but the frames, which may be anywhere.
        """
        ...


class CodedVideos(Videos, Protocol):
    """Videos that latents stand for."""

    def write(self, mapping: nn.Module, motion: nn.Module) -> None:
        """Sets networks that keep the videos' latents and motions apart."""
        ...


@dataclass(frozen=True)
class Decoded:
    """A clip on disk: uint8 frames [F,H,W,3], what it shows ("" where that is not asked for), and the file of its
    loudness [F] in 0..1, if it has a sound."""

    frames: Path
    label: str = ""
    loudness: Path | None = None


class VideoSet:
    """Decoded clips, memory-mapped, of any lengths.

    longest: frames of the longest; times further apart are not asked for. classes: the labels, sorted; none where clips
    have none.
    """

    def __init__(self, decoded: Sequence[Decoded], classes: Sequence[str] | None = None):
        self.decoded = list(decoded)
        labels = [clip.label for clip in self.decoded]
        self.classes = sorted(set(labels) - {""}) if classes is None else list(classes)
        self.labels = [self.classes.index(label) for label in labels] if self.classes else []
        self.clips = [torch.from_numpy(np.load(clip.frames, mmap_mode="c")) for clip in self.decoded]
        self.loudness = [None if c.loudness is None else torch.from_numpy(np.load(c.loudness)) for c in self.decoded]
        self.lengths = torch.tensor([len(clip) for clip in self.clips])
        self.longest = int(self.lengths.max())

    def __len__(self) -> int:
        return len(self.clips)

    def split(self) -> tuple[VideoSet, VideoSet]:
        """Those to learn from, and every tenth."""
        kept = [clip for i, clip in enumerate(self.decoded) if i % 10 != 9]
        return VideoSet(kept, self.classes), VideoSet(self.decoded[9::10], self.classes)

    def draw(self, times: Tensor, z: Tensor, motion_z: Noise, rng: torch.Generator) -> VideoBatch:
        """Keeps the distances of each row of rising times [B,F]; where in a clip it starts is random."""
        distances = (times - times[:, :1]).round().long()  # [B,F]
        frames, t, sound, chosen = [], [], [], []
        for row in distances:
            fitting = torch.nonzero(self.lengths > row[-1])[:, 0]
            if not len(fitting):
                raise InputError(
                    f"No clip is {int(row[-1]) + 1} frames long.", "Use longer clips, or a smaller max_distance."
                )
            k = int(fitting[torch.randint(len(fitting), (), generator=rng)])
            clip, loudness = self.clips[k], self.loudness[k]
            at = row + torch.randint(len(clip) - int(row[-1]), (), generator=rng)
            frames.append(from_uint8(clip[at]))
            t.append(at.double())
            level = torch.zeros(len(at)) if loudness is None else loudness[at].float()
            sound.append(torch.stack([torch.full_like(level, float(loudness is not None)), level], dim=-1))
            chosen.append(k)
        heard = torch.stack(sound) if any(x is not None for x in self.loudness) else torch.zeros(*times.shape, 0)
        c = torch.eye(len(self.classes))[[self.labels[k] for k in chosen]] if self.classes else None
        return VideoBatch(z, motion_z, torch.stack(t), heard, torch.stack(frames), c)


def open_videos(
    *, folder: str | Path, size: int, fps: float, cache: Path, on_step=None, device=None, labels: bool = False,
    sound: bool = False,
) -> VideoSet:  # fmt: skip
    """All clips of a folder, in any depth: video files, and folders of PNG frames; or those of a table (*.csv, columns
    file and label) or of shards (*.tar, <key>.mp4 beside <key>.txt). One that cannot be read is skipped.

    labels: what a clip shows is the name of the folder that it lies in, or what the table or the shard says. sound: its
    loudness at each frame is kept, too; of a folder of frames that of sound.wav in it.

    Raises:
        InputError: there is no such folder, or no clip of two frames in it; with sound, none that is heard.
    """
    decoded, skipped, found = [], Skipped(), _found(folder)
    for i, (name, path, label) in enumerate(found):
        if on_step is not None:
            on_step(i, len(found) if isinstance(found, list) else i + 1)
        file = make_folder(cache) / f"clip-{_fingerprint(path, size, fps)}.npy"
        try:
            if not file.is_file():
                _decode(path, file, size, fps)
            loudness = _listen(path, file, fps) if sound else None
        except InputError as error:
            skipped.add(name, error.cause)
            continue
        decoded.append(Decoded(file, label if labels else "", loudness))
    if not decoded:
        reason = next(iter(skipped.reasons.values()), "There are none.")
        raise InputError(f"None of the clips of {folder} can be read. {reason}", "Give others.")
    if sound and all(clip.loudness is None for clip in decoded):
        raise InputError(f"None of the clips of {folder} has a sound.", "Give clips with sound, or leave it out.")
    if labels and any(not clip.label for clip in decoded):
        raise InputError(f"Not all clips of {folder} have a label.", "Put them into folders named by what they show.")
    return VideoSet(decoded)


def _found(folder: str | Path) -> list[tuple[str, Path, str]] | Iterator[tuple[str, Path, str]]:
    """(name, path, label) of each clip."""
    if str(folder).endswith(".tar"):
        return _of_shards(str(folder))
    folder = Path(folder)
    if is_table(folder):
        rows = table_rows(folder, {"file": FILE_COLUMNS, "label": TEXT_COLUMNS}, optional=("label",))
        return [(row["file"], folder.parent / row["file"], row["label"]) for row in rows]
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}.", "Check the path.")
    paths = [p for p in sorted(folder.rglob("*")) if p.suffix.lower() in ENDINGS and p.is_file()]
    paths += sorted({p.parent for p in folder.rglob("*.png")})
    if not paths:
        raise InputError(f"{folder} holds no clips.", "Put videos such as MP4 into it, or folders of PNG frames.")
    return [(str(p.relative_to(folder)), p, "" if p.parent == folder else p.parent.name) for p in paths]


def _of_shards(pattern: str) -> Iterator[tuple[str, Path, str]]:
    """A clip is a file for as long as it is looked at."""
    for sample in shard_samples(pattern):
        ending = next((e for e in ENDINGS if e[1:] in sample), None)
        label = " ".join(sample.get("txt", b"").decode("utf-8", errors="replace").split())
        with tempfile.TemporaryDirectory() as unpacked:
            path = Path(unpacked) / f"clip{ending or ''}"
            path.write_bytes(sample[ending[1:]] if ending else b"")
            yield sample["__key__"], path, label


def _listen(path: Path, file: Path, fps: float) -> Path | None:
    """The file of a clip's loudness, made where it is not there; None where nothing is heard."""
    kept = file.with_suffix(".sound.npy")
    if not kept.is_file():
        try:
            wave, sample_rate = load_audio(path / SOUND_FILE if path.is_dir() else path)
        except InputError:
            return None
        count = len(np.load(file, mmap_mode="r"))
        curve = sound_curve(to_mono(wave), sample_rate, count / fps, rate=fps)
        with replacing(kept) as temporary, open(temporary, "wb") as out:
            np.save(out, curve.at(np.arange(count) / fps).astype(np.float32))
    return kept


def _decode(path: Path, file: Path, size: int, fps: float) -> None:
    frames = read_frames(path) if path.is_dir() else read_frames(path, fps=fps)
    pixels = [to_uint8(resize(img, (size, size)))[0].numpy() for img in frames]
    if len(pixels) < 2:
        raise InputError("It has one frame.", "Give longer clips.")
    with replacing(file) as temporary:
        np.save(temporary, np.stack(pixels))


def _fingerprint(path: Path, size: int, fps: float) -> str:
    """Changes with a clip's files, their sizes and times; of one out of a shard with its bytes."""
    temporary = path.stem == "clip" and path.parent.parent == Path(tempfile.gettempdir())
    digest = hashlib.sha256(repr((FORMAT, "" if temporary else str(path), size, fps)).encode())
    for part in sorted(path.glob("*.png")) if path.is_dir() else [path]:
        about = part.read_bytes() if temporary else repr((part.name, part.stat().st_size, part.stat().st_mtime_ns))
        digest.update(about if isinstance(about, bytes) else about.encode())
    return digest.hexdigest()[:20]
