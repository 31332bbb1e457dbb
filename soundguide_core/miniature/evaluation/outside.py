"""Videos of sounds that are none of the miniature's phenomena, judged: does the picture stay calm, and does it flip?

Axes: F frames, K classes of the judge, N samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...audio.track import MelTrack
from ...audio.waveform import load_audio, resample, to_mono
from ...common.errors import InputError
from ...metrics.zero_shot import read_esc
from ...systems.sound_to_video import VideoConfig, stream_video
from ..data.outside_sounds import EVERY, outside_wave
from ..world.captions import CALM, concept_of
from ..world.scenes import PHENOMENA
from .sound_video import FIRST_SEED, SAMPLE_RATE, WINDOW, Models

SOUNDS = (".wav", ".ogg", ".mp3", ".flac", ".m4a")


@dataclass(frozen=True)
class Watched:
    """One video: the kind of its sound, what the judge names in each frame, and every WINDOW-th frame for a sheet."""

    kind: str
    named: list[str]
    fps: float
    frames: Tensor

    @property
    def calm(self) -> float:
        """Share of the frames in which the judge sees nothing going on."""
        return self.named.count(CALM) / len(self.named)

    @property
    def flips(self) -> int:
        """How often what is named changes from a frame to the next."""
        return sum(a != b for a, b in zip(self.named, self.named[1:]))

    @property
    def minutes(self) -> float:
        return len(self.named) / self.fps / 60


def watch(
    models: Models, sounds: Iterable[tuple[str, np.ndarray]], count: int, *, config: VideoConfig, psi: float, seed: int,
    on_step: Callable[..., None] | None = None,
) -> Iterator[Watched]:  # fmt: skip
    """`count` sounds (kind, wave [N] at SAMPLE_RATE), each over a picture of its own."""
    for k, (kind, wave) in enumerate(sounds):
        track = MelTrack.of_wave(torch.from_numpy(wave), SAMPLE_RATE, models.trajectory.spec)
        ws_src = models.generator.sample_ws([seed + k], psi)
        named, kept = [], []
        for part in stream_video(
            track, ws_src, generator=models.generator, trajectory=models.trajectory, config=config
        ):
            kept += [frame for i, frame in enumerate(part.frames.cpu(), len(named)) if i % WINDOW == 0]
            named += models.judge.name(part.frames.clamp(-1, 1))
        if on_step is not None:
            on_step(k, count)
        yield Watched(kind, named, config.fps, torch.stack(kept))


def figures(videos: list[Watched]) -> dict:
    """The figures as plain numbers, over all frames alike."""
    frames, minutes = sum(len(v.named) for v in videos), sum(v.minutes for v in videos)
    by_kind = {kind: [v for v in videos if v.kind == kind] for kind in dict.fromkeys(v.kind for v in videos)}
    seen = [name for v in videos for name in v.named]
    return {
        "videos": len(videos),
        "calm": seen.count(CALM) / frames,
        "flips_per_minute": sum(v.flips for v in videos) / minutes,
        "calm_per_kind": {kind: float(np.mean([v.calm for v in found])) for kind, found in by_kind.items()},
        "named": {name: seen.count(name) / frames for name in sorted(set(seen))},
    }


def new_outside(per_kind: int, seconds: float, *, fps: float, seed: int) -> Iterator[tuple[str, np.ndarray]]:
    """(kind, wave) of synthesised sounds that no training uses, and digital silence."""
    for kind in EVERY:
        for i in range(per_kind):
            yield kind, outside_wave(kind, FIRST_SEED + seed + i, seconds, fps)
    yield "silence", np.zeros(round(seconds * SAMPLE_RATE), np.float32)


def recorded_outside(folder: Path, folds: list[int]) -> Iterator[tuple[str, np.ndarray]]:
    """Recordings of no phenomenon in these folds of a folder in the layout of ESC-50."""
    for row in read_esc(folder):
        if row["fold"] in folds and concept_of(row["category"]) not in PHENOMENA:
            yield row["category"].replace("_", " "), _loaded(row["path"])


def own_files(folder: Path, seconds: float) -> Iterator[tuple[str, np.ndarray]]:
    """The first `seconds` of every sound file in a folder, under the name of the folder that it lies in."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SOUNDS)
    if not paths:
        raise InputError(f"{folder} holds no sound.", f"Give a folder with {', '.join(SOUNDS)} files.")
    for path in paths:
        yield path.parent.name, _loaded(path)[: round(seconds * SAMPLE_RATE)]


def _loaded(path) -> np.ndarray:
    wave, sample_rate = load_audio(path)
    return resample(to_mono(wave)[None], sample_rate, SAMPLE_RATE)[0].numpy()
