"""The last seconds of a live picture with its sound, kept as they come: for whoever wants them when it ends.

Axes: F frames, H W, N samples.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..media.images import from_uint8, to_uint8

FPS = 24.0
SAMPLE_RATE = 44100  # of the silence where nothing was ever heard


class Clip(NamedTuple):
    """frames [F,3,H,W] in -1..1 at FPS, wave [1,N] as long, sample_rate in Hz."""

    frames: Tensor
    wave: Tensor
    sample_rate: int


class Reel:
    """Keeps the last `seconds` of what a LiveSession paints and hears."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.began: float | None = None  # when the first picture was painted
        self._lock = threading.Lock()
        self._pictures: deque[tuple[float, np.ndarray]] = deque()
        self._blocks: deque[tuple[float, np.ndarray]] = deque()
        self._sample_rate = 0.0

    @property
    def latest(self) -> Tensor | None:
        """The last picture [1,3,H,W], or None before the first."""
        with self._lock:
            return from_uint8(torch.from_numpy(self._pictures[-1][1])[None]) if self._pictures else None

    def clip(self) -> Clip | None:
        """Pictures at even times and the sound under them; None where no picture was painted."""
        with self._lock:
            pictures, blocks, rate = list(self._pictures), list(self._blocks), round(self._sample_rate) or SAMPLE_RATE
        if not pictures:
            return None
        times = np.array([when for when, _ in pictures])
        end = max(times[-1], blocks[-1][0] if blocks else 0.0)
        count = max(round(min(end - times[0], self.seconds) * FPS), 1)
        shown = np.searchsorted(times, end - (count - 1 - np.arange(count)) / FPS, side="right") - 1
        frames = torch.from_numpy(np.stack([pictures[max(i, 0)][1] for i in shown]))
        samples = round(count / FPS * rate)
        heard = np.concatenate([np.zeros(samples, np.float32), *(block for _, block in blocks)])
        quiet = round((end - blocks[-1][0]) * rate) if blocks else 0  # since the last block
        heard = np.concatenate([heard, np.zeros(quiet, np.float32)])[-samples:]
        return Clip(from_uint8(frames), torch.from_numpy(heard)[None], rate)

    def painted(self, img: Tensor) -> None:
        """A picture [3,H,W], shown from now on."""
        pixels, now = to_uint8(img[None])[0].cpu().numpy(), time.monotonic()
        with self._lock:
            self.began = now if self.began is None else self.began
            self._pictures.append((now, pixels))
            _forget(self._pictures, now - self.seconds)

    def heard(self, block: np.ndarray, sample_rate: float) -> None:
        """A block [N] of samples that ends now; a change of the rate begins anew."""
        now = time.monotonic()
        with self._lock:
            if sample_rate != self._sample_rate:
                self._blocks.clear()
                self._sample_rate = sample_rate
            self._blocks.append((now, block.astype(np.float32)))
            _forget(self._blocks, now - self.seconds)


def _forget(kept: deque, before: float) -> None:
    """All that ended before, but for the last of them: it is shown, or heard, until the next."""
    while len(kept) > 1 and kept[1][0] < before:
        kept.popleft()
