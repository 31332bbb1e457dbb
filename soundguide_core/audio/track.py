"""A recording as one small log-mel, read as a stream, from which the window of any video frame is cut.

Ten minutes of sound take 53 MB as samples at 22 kHz and 3 MB as this; the windows of all its frames would take 160.
Axes: N samples, M mels, T mel time, F video frames.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from ..common.errors import InputError, check_number
from ..common.stop import check_stop
from .features import QUIETEST_DB
from .mel import AMIN, MelSpec, arrange, cut_windows, mel_power, piece_power
from .silence import Loudest
from .waveform import check_samples, check_wave, mono_blocks, resampled_blocks, stream_audio, to_mono

BLOCK = 1 << 16  # samples turned into columns at once
COLUMNS = 1 << 12  # of a whole recording worked on at once
FLOOR_DB = 10 * float(np.log10(AMIN))


class MelTrack:
    """level_db [M,T] fp16. All windows are measured against the loudest bin of the whole recording, so what is louder
    within it stays louder. seconds: its length."""

    def __init__(self, level_db: Tensor, spec: MelSpec, seconds: float):
        self.level_db, self.spec, self.seconds = level_db, spec, seconds
        self.ref_db = float(level_db.max())

    @classmethod
    def of_wave(cls, wave: Tensor, sample_rate: float, spec: MelSpec) -> MelTrack:
        """wave [N], or [C,N] of which the mean is heard."""
        check_wave(wave, sample_rate)
        wave = (wave if wave.ndim == 1 else to_mono(wave)).detach().float().cpu()
        return cls.of_blocks((part[None] for part in wave.split(BLOCK)), sample_rate, spec)

    @classmethod
    def of_file(cls, path: str | os.PathLike, spec: MelSpec) -> MelTrack:
        """The sound of any container that FFmpeg reads, never whole in memory."""
        blocks, sample_rate = stream_audio(path)
        return cls.of_blocks(mono_blocks(blocks, sample_rate), sample_rate, spec)

    @classmethod
    def of_blocks(cls, blocks: Iterable[Tensor], sample_rate: float, spec: MelSpec) -> MelTrack:
        """blocks [C,n], one after the other, at sample_rate. Of a silent sound (silence.py) nothing is kept."""
        count, loudest = 0, Loudest()

        def counted() -> Iterator[Tensor]:
            nonlocal count
            for block in blocks:
                check_stop()
                check_samples(block)
                count += block.shape[-1]
                yield block

        resampled = resampled_blocks(loudest.of(counted()), sample_rate, spec.sample_rate)
        whole = _joined((10 * torch.log10(power.clamp(min=AMIN))).half() for power in _power(resampled, spec))
        if whole is None or not count:
            raise InputError("The sound has no samples.", "Give a recording of at least one sample.")
        return cls(torch.full_like(whole, FLOOR_DB) if loudest.silent else whole, spec, count / sample_rate)

    def frames(self, fps: float) -> int:
        """How many video frames it lasts, one at least."""
        return max(round(self.seconds * fps), 1)

    def columns(self, first: int, count: int, fps: float) -> Tensor:
        """Where the middles of video frames first .. first + count - 1 lie: [F], double."""
        check_number(fps, "The frame rate", low=0.01, high=1000)
        middle_sec = (torch.arange(first, first + count, dtype=torch.float64) + 0.5) / fps
        return middle_sec * self.spec.sample_rate / self.spec.hop_length

    def stretch(self, first: int, last: int) -> Tensor:
        """Columns first .. last - 1 as they are, whatever the spec's layout: [1,1,M,T] in 0..1."""
        return against_loudest(self.level_db[None, None, :, first:last].float(), self.ref_db, self.spec)

    def windows(self, first: int, count: int, fps: float) -> Tensor:
        """The windows centred on video frames first .. first + count - 1: [F,1,M,T] in 0..1, as spec.layout has them.

        Beyond the recording the spec's fill goes on for half a window, and then there is silence.
        """
        spec, last = self.spec, self.level_db.shape[1] - 1
        columns = spec.frame_columns or spec.columns
        starts = self.columns(first, count, fps).round().long() - columns // 2
        mel = against_loudest(cut_windows(self.level_db, starts, columns, spec).float(), self.ref_db, spec)
        index = starts[:, None] + torch.arange(columns)
        outside = (index < -(columns // 2)) | (index > last + columns // 2)
        if spec.fill == "silence":
            outside = (index < 0) | (index > last)
        return arrange(mel * ~outside[:, None, None], spec)

    def hops(self, fps: float, count: int) -> Tensor:
        """The mean log-mel within each of `count` frames: [F,M] in 0..1, the last one's beyond the end."""
        width = self.spec.sample_rate / self.spec.hop_length / fps  # columns of a frame, not whole
        last = self.level_db.shape[1] - 1
        rows = []
        for i in range(count):
            first = min(round(i * width), last)
            rows.append(self.stretch(first, max(round((i + 1) * width), first + 1))[0, 0].mean(dim=1))
        return torch.stack(rows)

    def loudness(self, fps: float, num_frames: int) -> np.ndarray:
        """[F] in 0..1: dB over the 60 below the loudest moment, the mean over each frame; 0 beyond the end."""
        spec = self.spec
        hz = torch.linspace(0, 1, spec.n_mels)  # bands are of unit area: weighed by their width they add up to power
        width_db = 10 * torch.log10(torch.maximum(hz, torch.tensor(1000 / spec.sample_rate)))
        scale = np.log(10) / 10
        level = torch.cat([
            torch.logsumexp((part.float() + width_db[:, None]) * scale, dim=0) / scale
            for part in self.level_db.split(COLUMNS, dim=1)
        ])  # in parts, for the whole as float32 is several times what is kept
        if self.ref_db <= FLOOR_DB + 0.1:
            return np.zeros(num_frames, dtype=np.float32)
        curve = (1 + (level - level.max()) / QUIETEST_DB).clamp(0, 1).numpy()
        at_sec = np.arange(len(curve)) * spec.hop_length / spec.sample_rate
        edges = np.searchsorted(at_sec, np.arange(num_frames + 1) / fps)
        first, count = edges[:-1], np.maximum(np.diff(edges), 1)  # where no column falls into a frame, the next one
        below = np.concatenate([[0.0], np.cumsum(curve, dtype=np.float64)])
        mean = (below[np.minimum(first + count, len(curve))] - below[np.minimum(first, len(curve))]) / count
        return np.where(first < len(curve), mean, 0).astype(np.float32)


def against_loudest(level_db: Tensor, loudest_db: Tensor | float, spec: MelSpec) -> Tensor:
    """A level in dB against the loudest bin of its recording => a mel in 0..1; silence is 0."""
    return ((level_db - loudest_db) / spec.top_db + 1).clamp(0, 1) * (loudest_db > FLOOR_DB + 0.1)


def _joined(pieces: Iterable[Tensor]) -> Tensor | None:
    """pieces [M,n] as one [M,T], in memory that doubles as it fills; None of none. Were the pieces themselves kept,
    each would lie between the large blocks that are freed around it, and the heap would grow by ten times as much."""
    whole, count = None, 0
    for piece in pieces:
        if whole is None:
            whole = piece.new_empty(len(piece), COLUMNS)
        while count + piece.shape[1] > whole.shape[1]:
            wider = whole.new_empty(len(whole), 2 * whole.shape[1])
            wider[:, :count] = whole[:, :count]
            whole = wider
        whole[:, count : count + piece.shape[1]] = piece
        count += piece.shape[1]
    return None if whole is None else whole[:, :count]


def _power(blocks: Iterable[Tensor], spec: MelSpec) -> Iterator[Tensor]:
    """mel_power, of a stream: blocks [n] => pieces [M,T'] which in a row are the power of the whole."""
    half, hop = spec.n_fft // 2, spec.hop_length
    held, tail, begun = torch.zeros(0), torch.zeros(0), False
    for block in blocks:
        held, tail = torch.cat([held, block]), torch.cat([tail, block])[-spec.n_fft :]
        if not begun and len(held) > spec.n_fft:
            held, begun = torch.cat([held[1 : half + 1].flip(0), held]), True
        if begun and len(held) >= BLOCK + spec.n_fft:
            columns = (len(held) - spec.n_fft) // hop + 1
            yield piece_power(held[None], spec)[0]
            held = held[columns * hop :]
    if not begun:
        if len(held):
            yield mel_power(held[None], spec)[0, 0]
        return
    held = torch.cat([held, tail[-half - 1 : -1].flip(0)])
    if len(held) >= spec.n_fft:
        yield piece_power(held[None], spec)[0]
