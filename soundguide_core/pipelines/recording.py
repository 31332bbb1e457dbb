"""A recording, from a file or from memory: its samples in blocks, its log-mel, its curves over video frames.

Both kinds are cut into the same blocks before anything is computed, so they give the same numbers to the bit.
Axes: C channels, N samples, F video frames.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..audio.curve_config import BANDS
from ..audio.mel import MelSpec
from ..audio.silence import Loudest
from ..audio.track import MelTrack
from ..audio.waveform import check_wave, mono_blocks, stream_audio, to_mono
from ..common.errors import InputError, check_number, check_whole
from ..common.stop import check_stop
from ..systems.configs.continuous_video import FEATURES
from ..systems.configs.video_editing import DECIBELS, SONES

if TYPE_CHECKING:
    import numpy as np


BLOCK = 1 << 16  # samples worked on at once
HEARD_AT_LEAST_SEC = 60.0  # of a recording that is longer than the video, for what it means and how loud it gets
BEYOND_SEC = 10.0  # of what follows the video's end: the windows of its last frames reach into it
STRETCH_SEC = 600.0  # of a long recording that is encoded at once
MAX_FRAMES = 10_000_000
CURVES = (*FEATURES, *BANDS)


class Recording:
    """One sound: a file, read in blocks whenever it is needed, or samples [C,N] in memory.

    Raises:
        InputError: on construction or on reading, for what is no sound.
    """

    def __init__(
        self, path: str | os.PathLike | None, wave: Tensor | None = None, sample_rate: float = 0,
        repeat_sec: float | None = None, most_sec: float | None = None,
    ):  # fmt: skip
        self.path, self.wave, self.sample_rate = path, wave, sample_rate
        self.repeat_sec, self.most_sec = repeat_sec, most_sec
        self._tracks: dict[MelSpec, MelTrack] = {}

    @classmethod
    def of_file(cls, path: str | os.PathLike, repeat_sec: float | None = None) -> Recording:
        """The sound of any container that FFmpeg reads. repeat_sec: repeat it up to this length, and cut it there."""
        return cls(path, repeat_sec=repeat_sec)

    @classmethod
    def of_wave(cls, wave: Tensor, sample_rate: float) -> Recording:
        """Samples [N] or [C,N]."""
        check_wave(wave, sample_rate)
        if wave.ndim > 2:
            raise InputError(f"The sound has shape {list(wave.shape)}.", "Pass one sound, [N] or [C,N].")
        wave = wave.detach().float().cpu().reshape(-1, wave.shape[-1])
        to_mono(wave[:, :1])  # refuses swapped axes
        return cls(None, wave, sample_rate)

    def first(self, seconds: float) -> Recording:
        """What a video of that length hears: so much and BEYOND_SEC, HEARD_AT_LEAST_SEC at least. No more is read."""
        return Recording(
            self.path, self.wave, self.sample_rate, self.repeat_sec, max(seconds + BEYOND_SEC, HEARD_AT_LEAST_SEC)
        )  # fmt: skip

    def blocks(self) -> tuple[Iterator[Tensor], float]:
        """(blocks [C,n] of BLOCK samples each but the last, sample rate in Hz)."""
        if self.wave is not None:
            blocks, sample_rate = [self.wave], self.sample_rate
        else:
            blocks, sample_rate = stream_audio(self.path)  # type: ignore[arg-type]
        if self.repeat_sec is not None:
            blocks = self._repeated(blocks, round(self.repeat_sec * sample_rate))
        if self.most_sec is not None:
            blocks = _up_to(blocks, max(round(self.most_sec * sample_rate), 1))
        return _even(blocks), sample_rate

    def mono_blocks(self) -> tuple[Iterator[Tensor], float]:
        """The same blocks with their channels as one, [1,n]: see audio.waveform.mono_blocks."""
        blocks, sample_rate = self.blocks()
        return mono_blocks(blocks, sample_rate), sample_rate

    def _repeated(self, blocks: Iterable[Tensor], left: int) -> Iterator[Tensor]:
        while True:
            for block in blocks:
                yield block[:, :left]
                left -= block.shape[-1]
                if left <= 0:
                    return
            blocks, _ = stream_audio(self.path)  # type: ignore[arg-type]

    def mono(self, seconds: float | None = None) -> tuple[Tensor, float]:
        """(wave [N], sample rate): its channels as one; at most its first `seconds`, and little more is read."""
        blocks, sample_rate = self.mono_blocks()
        most = None if seconds is None else max(round(seconds * sample_rate), 1)
        parts, have = [], 0
        for block in blocks:
            parts.append(block[0])
            have += block.shape[-1]
            if most is not None and have >= most:
                break
        wave = torch.cat(parts)[:most]
        check_wave(wave, sample_rate)
        return wave, sample_rate

    def stretches(self, seconds: float = STRETCH_SEC) -> Iterator[tuple[Tensor, float]]:
        """(wave [N], sample rate) of one stretch after the other, each of so many seconds but the last."""
        blocks, sample_rate = self.mono_blocks()
        for stretch in _even(blocks, round(seconds * sample_rate)):
            check_wave(stretch, sample_rate)
            yield stretch[0], sample_rate

    @cached_property
    def silent(self) -> bool:
        """Whether nothing is heard in it: see audio/silence.py."""
        loudest, (blocks, _) = Loudest(), self.mono_blocks()
        return all(loudest.silent for _ in loudest.of(blocks))  # no more is read than needed

    def mel_track(self, spec: MelSpec) -> MelTrack:
        """Its log-mel, kept: specs that differ in how windows are cut share one."""
        key = replace(spec, columns=1, stride=1, layout="plain", fill="mirror", focus=0.0, frame_columns=None, side=1)
        if key not in self._tracks:
            self._tracks[key] = MelTrack.of_blocks(*self.mono_blocks(), key)
        track = self._tracks[key]
        return MelTrack(track.level_db, spec, track.seconds)

    def loudness(self, fps: float, num_frames: int, spec: MelSpec) -> np.ndarray:
        """[F] in 0..1: dB over the 60 below the loudest moment, by the mel that spec describes; 0 beyond the end."""
        return self.mel_track(spec).loudness(fps, num_frames)


def frame_count(
    seconds: float, fps: float, *, num_frames: int | None = None, video_seconds: float | None = None
) -> int:
    """How many frames a video of a recording has: num_frames, else video_seconds, else as long as the sound.

    seconds: of the recording.
    """
    check_number(fps, "The frame rate", low=0.01, high=1000)
    if num_frames:
        check_whole(num_frames, "The number of frames", low=1, high=MAX_FRAMES)
        return num_frames
    length = seconds if video_seconds is None else video_seconds
    check_number(length, "The length in seconds", low=0, high=MAX_FRAMES / fps)
    return max(round(length * fps), 1)


def feature_curve(
    recording: Recording,
    name: str,
    fps: float,
    *,
    num_frames: int | None = None,
    low: float = 0.0,
    high: float = 1.0,
    smoothing_sec: float = 0.0,
    law: str = DECIBELS,
) -> np.ndarray:
    """One of audio.features.curves or the loudness of one of audio.curve_config.BANDS [F], from low where it is 0 to
    high where it is 1.

    num_frames: None for as long as the sound lasts. smoothing_sec: seconds over which it is averaged. law: of loudness,
    whole or of a band: "sones" or "decibels"; digital silence is 0 in both.
    """
    from scipy.ndimage import gaussian_filter1d

    from ..audio.bands import band_loudness
    from ..audio.features import curves, loudness, sones

    for value, what in ((low, "The lowest value"), (high, "The highest value")):
        check_number(value, what, low=-1e6, high=1e6)
    check_number(smoothing_sec, "The smoothing in seconds", low=0, high=600)
    if name not in CURVES:
        raise InputError(f"A sound has no curve {name!r}.", f"Use one of {', '.join(CURVES)}.")
    wave, sample_rate = recording.mono()
    count = frame_count(len(wave) / sample_rate, fps, num_frames=num_frames)
    if name in BANDS:
        values = band_loudness(wave, sample_rate, fps, count, name)
    elif name == "loudness":
        values = loudness(wave, sample_rate, fps, count)
    else:
        values = curves(wave, sample_rate, fps, count)[name]
    if law == SONES and (name in BANDS or name == "loudness"):
        values = sones(torch.from_numpy(values)).numpy() * (values > 0)
    if smoothing_sec:
        values = gaussian_filter1d(values, smoothing_sec * fps / 2, mode="nearest")
    return low + (high - low) * values.astype("float64")


def _up_to(blocks: Iterable[Tensor], left: int) -> Iterator[Tensor]:
    """The first `left` samples of blocks [C,n]; no block after them is asked for."""
    for block in blocks:
        yield block[:, :left]
        left -= block.shape[-1]
        if left <= 0:
            return


def _even(blocks: Iterable[Tensor], size: int = BLOCK) -> Iterator[Tensor]:
    """Blocks [C,n] of any size => blocks of `size` samples, contiguous, the last one shorter."""
    held: list[Tensor] = []
    have = 0
    for block in blocks:
        check_stop()
        while have + block.shape[-1] >= size:
            take = size - have
            yield torch.cat([*held, block[..., :take]], dim=-1).contiguous()
            block, held, have = block[..., take:], [], 0
        if block.shape[-1]:
            held.append(block)
            have += block.shape[-1]
    if have:
        yield torch.cat(held, dim=-1).contiguous()
