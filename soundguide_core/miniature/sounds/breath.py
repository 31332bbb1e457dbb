"""Sounds of breath and of cloth, close to a microphone: noise in the shape of a mouth, which what has never heard it
takes for birds, fire or waves.

Same form as `synthesis.SOUNDS`: a function of (level [N] in 0..1, sample_rate, rng) that returns a wave [N].
"""

from __future__ import annotations

import numpy as np

from .outside import VOWELS_HZ
from .parts import Rng, band_noise, hump, log_uniform, place, room, unit


def whisper(level: np.ndarray, sample_rate: int, rng: Rng) -> np.ndarray:
    """A whispered voice: formants without a pitch, consonants, often the hiss or the rumble of a recorder."""
    n, size = len(level), rng.uniform(0.8, 1.35)
    width, loud = log_uniform(rng, 1.02, 1.2), [log_uniform(rng, low, 2) for low in (0.05, 0.3, 0.3)]
    wave, pace, at = np.zeros(n), rng.uniform(2.5, 7), int(rng.exponential(0.3) * sample_rate)
    while at < n:
        for _ in range(int(rng.integers(3, 14))):
            count = int(sample_rate / pace * rng.uniform(0.5, 1.5))
            formants = np.array(VOWELS_HZ[rng.integers(len(VOWELS_HZ))]) * size
            bands = [unit(band_noise(count, sample_rate, rng, f / width, f * width)) for f in formants]
            vowel = sum(g * band for g, band in zip(loud, bands)) * hump(count, rng.uniform(0.1, 0.4), 0.5)
            place(wave, 0.5 * vowel, at)
            if rng.random() < 0.65:
                low, short = log_uniform(rng, 800, 6000), int(rng.uniform(0.02, 0.2) * sample_rate)
                burst = band_noise(short, sample_rate, rng, low, low * rng.uniform(1.5, 4))
                place(wave, burst * hump(short, rng.uniform(0.05, 0.6)) * log_uniform(rng, 0.05, 0.8), at - short // 2)
            at += int(count * rng.uniform(0.75, 1.2))
        at += int(rng.exponential(0.5) * sample_rate)
    tilt = rng.choice([0.0, 0.5, 0.9])
    wave = unit(np.append(wave[0], wave[1:] - tilt * wave[:-1]))
    if rng.random() < 0.6:
        low = log_uniform(rng, 200, 3000)
        wave += log_uniform(rng, 0.02, 0.3) * unit(band_noise(n, sample_rate, rng, low, rng.uniform(5000, 10000)))
    if rng.random() < 0.5:
        wave += log_uniform(rng, 0.02, 1) * unit(band_noise(n, sample_rate, rng, 15, 120))
    return room(wave * level, sample_rate, rng, log_uniform(rng, 0.05, 1), rng.uniform(0, 0.4))


def breath(level: np.ndarray, sample_rate: int, rng: Rng) -> np.ndarray:
    """Somebody breathes in and out, with pauses or panting."""
    n, gap, size = len(level), rng.uniform(0.1, 1.2), rng.uniform(0.8, 1.4)
    wave, at = np.zeros(n), int(rng.random() * sample_rate)
    while at < n:
        for inwards in (True, False):
            count = int(sample_rate * rng.uniform(0.4, 1.6))
            low = rng.uniform(300, 900) * size * (1.5 if inwards else 1)
            air = band_noise(count, sample_rate, rng, low, low * rng.uniform(2, 6))
            air += 0.3 * band_noise(count, sample_rate, rng, 1500 * size, 4000 * size)
            place(wave, air * hump(count, rng.uniform(0.2, 0.7)) * (0.6 if inwards else 1), at)
            at += int(count * rng.uniform(0.9, 1.4))
        at += int(gap * sample_rate)
    return room(wave * level, sample_rate, rng, log_uniform(rng, 0.1, 1), rng.uniform(0, 0.3))


def rustle(level: np.ndarray, sample_rate: int, rng: Rng) -> np.ndarray:
    """Paper, cloth or a hand on the microphone: short bursts of noise, close to one another."""
    n, wave, at = len(level), np.zeros(len(level)), 0
    while at < n:
        count, low = int(sample_rate * rng.uniform(0.03, 0.3)), log_uniform(rng, 800, 4000)
        burst = band_noise(count, sample_rate, rng, low, low * rng.uniform(1.5, 3))
        place(wave, burst * hump(count, rng.uniform(0.05, 0.8)) * log_uniform(rng, 0.1, 1), at)
        at += int(sample_rate * rng.exponential(0.12))
    return room(wave * level, sample_rate, rng, log_uniform(rng, 0.1, 1), rng.uniform(0, 0.3))


SOUNDS = {"whisper": whisper, "breath": breath, "rustle": rustle}
