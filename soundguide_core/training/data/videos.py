"""Clips for a video generator: a folder of videos, or of folders of frames, decoded once to one size and rate.

Axes: B batch of videos, F frames of each, H W picture, D dims, S numbers of a sound.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ...common.errors import InputError
from ...common.files import make_folder, replacing
from ...generators.motion import Noise
from ...media.images import from_uint8, resize, to_uint8
from ...media.video import read_frames
from .sources import Skipped

ENDINGS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".m4v")
FORMAT = 1  # of the decoded files


@dataclass(frozen=True)
class VideoBatch:
    """Frames [B,F,3,H,W] in -1..1 at t [B,F]; latents z [B,D], motion noise and sound [B,F,S] that go with them.

    Coded videos are those that z, motion noise, t and sound determine.
    """

    z: Tensor
    motion_z: Noise
    t: Tensor
    sound: Tensor
    frames: Tensor


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


class VideoSet:
    """Decoded clips, uint8 [F,H,W,3] each, memory-mapped, of any lengths.

    longest: frames of the longest; times further apart are not asked for.
    """

    def __init__(self, files: list[Path]):
        self.clips = [torch.from_numpy(np.load(path, mmap_mode="c")) for path in files]
        self.lengths = torch.tensor([len(clip) for clip in self.clips])
        self.longest = int(self.lengths.max())

    def __len__(self) -> int:
        return len(self.clips)

    def draw(self, times: Tensor, z: Tensor, motion_z: Noise, rng: torch.Generator) -> VideoBatch:
        """Keeps the distances of each row of rising times [B,F]; where in a clip it starts is random."""
        distances = (times - times[:, :1]).round().long()  # [B,F]
        frames, t = [], []
        for row in distances:
            fitting = torch.nonzero(self.lengths > row[-1])[:, 0]
            if not len(fitting):
                raise InputError(
                    f"No clip is {int(row[-1]) + 1} frames long.", "Use longer clips, or a smaller max_distance."
                )
            clip = self.clips[fitting[torch.randint(len(fitting), (), generator=rng)]]
            at = row + torch.randint(len(clip) - int(row[-1]), (), generator=rng)
            frames.append(from_uint8(clip[at]))
            t.append(at.double())
        sound = torch.zeros(*times.shape, 0)
        return VideoBatch(z, motion_z, torch.stack(t), sound, torch.stack(frames))


def open_videos(*, folder: str | Path, size: int, fps: float, cache: Path, on_step=None, device=None) -> VideoSet:
    """All clips of a folder, in any depth: video files, and folders of PNG frames. One that cannot be read is skipped.

    Raises:
        InputError: there is no such folder, or no clip of two frames in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}.", "Check the path.")
    paths = [p for p in sorted(folder.rglob("*")) if p.suffix.lower() in ENDINGS and p.is_file()]
    paths += sorted({p.parent for p in folder.rglob("*.png")})
    if not paths:
        raise InputError(f"{folder} holds no clips.", "Put videos such as MP4 into it, or folders of PNG frames.")
    files, skipped = [], Skipped()
    for i, path in enumerate(paths):
        if on_step is not None:
            on_step(i, len(paths))
        file = make_folder(cache) / f"clip-{_fingerprint(path, size, fps)}.npy"
        try:
            if not file.is_file():
                _decode(path, file, size, fps)
            files.append(file)
        except InputError as error:
            skipped.add(str(path.relative_to(folder)), error.cause)
    if not files:
        reason = next(iter(skipped.reasons.values()))
        raise InputError(f"None of the clips of {folder} can be read. {reason}", "Give others.")
    return VideoSet(files)


def _decode(path: Path, file: Path, size: int, fps: float) -> None:
    frames = read_frames(path) if path.is_dir() else read_frames(path, fps=fps)
    pixels = [to_uint8(resize(img, (size, size)))[0].numpy() for img in frames]
    if len(pixels) < 2:
        raise InputError("It has one frame.", "Give longer clips.")
    with replacing(file) as temporary:
        np.save(temporary, np.stack(pixels))


def _fingerprint(path: Path, size: int, fps: float) -> str:
    """Changes with a clip's files, their sizes and times."""
    digest = hashlib.sha256(repr((FORMAT, str(path), size, fps)).encode())
    for part in sorted(path.glob("*.png")) if path.is_dir() else [path]:
        digest.update(repr((part.name, part.stat().st_size, part.stat().st_mtime_ns)).encode())
    return digest.hexdigest()[:20]
