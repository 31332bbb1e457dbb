"""Sounds of no meaning, always the same ones: what an encoder says of them is what chance says. Axes: N samples."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

COUNT = 24
SECONDS = 3.0
SAMPLE_RATE = 22050


def random_sounds(count: int = COUNT, seed: int = 0) -> list[Tensor]:
    """Waves [N] at SAMPLE_RATE: in turn tilted noise, pulses of it, bursts, chords, and harmonics that come and go."""
    rng = np.random.default_rng(seed)
    return [torch.from_numpy(KINDS[i % len(KINDS)](rng)) for i in range(count)]


def _noise(rng: np.random.Generator) -> np.ndarray:
    """Noise that falls or rises along the spectrum, by -12 to 3 dB an octave."""
    count = round(SECONDS * SAMPLE_RATE)
    hz = np.fft.rfftfreq(count, 1 / SAMPLE_RATE)
    spectrum = np.fft.rfft(rng.standard_normal(count)) * np.maximum(hz, 20) ** rng.uniform(-2, 0.5)
    return _to_level(np.fft.irfft(spectrum, count))


def _pulses(rng: np.random.Generator) -> np.ndarray:
    return _to_level(_noise(rng) * (np.sin(2 * np.pi * rng.uniform(0.5, 8) * _time()) > rng.uniform(-0.5, 0.5)))


def _bursts(rng: np.random.Generator) -> np.ndarray:
    return _to_level(_noise(rng) * np.exp(-((_time() * rng.uniform(0.5, 6)) % 1) * rng.uniform(3, 30)))


def _chord(rng: np.random.Generator) -> np.ndarray:
    return _to_level(sum(np.sin(2 * np.pi * rng.uniform(100, 4000) * _time() + rng.uniform(0, 6)) for _ in range(4)))


def _harmonics(rng: np.random.Generator) -> np.ndarray:
    hz, swing = np.exp(rng.uniform(np.log(80), np.log(1500))), 2 * np.pi * rng.uniform(1, 6) * _time()
    wave = sum(np.sin(2 * np.pi * hz * k * _time()) / k for k in range(1, 9) if hz * k < SAMPLE_RATE / 2)
    return _to_level(wave * (0.5 - 0.5 * np.cos(swing)))


def _time() -> np.ndarray:
    return np.arange(round(SECONDS * SAMPLE_RATE)) / SAMPLE_RATE


def _to_level(wave) -> np.ndarray:
    return (wave / np.abs(wave).max() * 0.5).astype(np.float32)


KINDS = (_noise, _pulses, _bursts, _chord, _harmonics)
