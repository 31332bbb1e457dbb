"""How loud a band of pitches is at each video frame.

Axes: N samples, F video frames.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .curve_config import BANDS
from .features import AUDIBLE, QUIETEST_DB
from .waveform import resample

SAMPLE_RATE = 32000
N_FFT, HOP_LENGTH = 2048, 256
BLOCK = 1 << 20  # samples transformed at once


def band_loudness(wave: Tensor, sample_rate: float, fps: float, num_frames: int, band: str) -> np.ndarray:
    """wave [N] => [F] in 0..1: dB over the 60 below the band's loudest moment, the mean over each frame.

    A band that is nowhere within 60 dB of the loudest moment of the whole sound is silent: 0.
    """
    power, whole = _power(resample(wave.float(), sample_rate, SAMPLE_RATE), *BANDS[band])
    if float(wave.abs().max()) < AUDIBLE or power.max() < whole * 10 ** (-QUIETEST_DB / 10):
        return np.zeros(num_frames, dtype=np.float32)
    level = np.clip(1 + 10 * np.log10(np.maximum(power, 1e-20) / power.max()) / QUIETEST_DB, 0, 1)
    at_sec = np.arange(len(level)) * HOP_LENGTH / SAMPLE_RATE
    edges = np.searchsorted(at_sec, np.arange(num_frames + 1) / fps)
    first, count = edges[:-1], np.maximum(np.diff(edges), 1)  # a frame without a column has the next one
    below = np.concatenate([[0.0], np.cumsum(level)])
    mean = (below[np.minimum(first + count, len(level))] - below[np.minimum(first, len(level))]) / count
    return np.where(first < len(level), mean, 0).astype(np.float32)


def _power(wave: Tensor, low_hz: float, high_hz: float) -> tuple[np.ndarray, float]:
    """wave [N] => (power of the band in each column [T], the largest power of a whole column)."""
    window = torch.hann_window(N_FFT)
    hz = torch.fft.rfftfreq(N_FFT, 1 / SAMPLE_RATE)
    inside = (hz >= low_hz) & (hz < high_hz)
    padded = torch.nn.functional.pad(wave, (N_FFT // 2, N_FFT // 2))
    columns = len(wave) // HOP_LENGTH + 1
    parts, loudest, step = [], 0.0, BLOCK // HOP_LENGTH
    for first in range(0, columns, step):
        count = min(step, columns - first)
        piece = padded[first * HOP_LENGTH : (first + count - 1) * HOP_LENGTH + N_FFT]
        spectrum = torch.stft(piece, N_FFT, HOP_LENGTH, window=window, center=False, return_complex=True)
        power = spectrum.abs().square()
        parts.append(power[inside].sum(0))
        loudest = max(loudest, float(power.sum(0).max()))
    return torch.cat(parts).double().numpy(), loudest
