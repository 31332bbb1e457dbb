"""The sounds of the seven phenomena, made from a seed and an intensity curve.

    intensity [F] in 0..1, at fps  =>  wave [N] in -1..1

Intensity moves both the level and the character (more drops, faster gusts, more thunder), so that picture and sound
of one scene swell together. Everything else (kinds, spectra, distances, species, rooms, microphones) is drawn from the
seed.
"""

from __future__ import annotations

import numpy as np

from .animals import birds, crickets
from .fire_sea import fire, waves
from .parts import microphone, wander
from .weather import rain, thunder, wind

SOUNDS = {
    "rain": rain,
    "waves": waves,
    "fire": fire,
    "wind": wind,
    "thunder": thunder,
    "birds": birds,
    "crickets": crickets,
}

# how far these sink by themselves: what swells slowly is waves or wind
SWELL = {rain: (0.75, 1.0), crickets: (0.7, 1.0)}


def synthesise(
    phenomenon: str,
    seconds: float,
    *,
    intensity: np.ndarray | None = None,
    seed: int,
    sample_rate: int = 44100,
    fps: float = 12,
) -> np.ndarray:
    """A recording of one phenomenon.

    Args:
        intensity: [F] in 0..1 at `fps`, or None for a slow curve drawn from the seed. Zero is silence but for the bed.
    Returns: wave [N] float32 in -1..1 with N = round(seconds * sample_rate); the same for the same arguments.
    """
    return render(SOUNDS[phenomenon], seconds, intensity=intensity, seed=seed, sample_rate=sample_rate, fps=fps)


def render(
    sound, seconds: float, *, intensity: np.ndarray | None, seed: int, sample_rate: int, fps: float
) -> np.ndarray:
    """Runs a sound function along an intensity curve, through a microphone, to a peak of 0.3 to 0.95."""
    rng = np.random.default_rng(seed)
    n = max(round(seconds * sample_rate), 1)
    if intensity is None:
        level = wander(n, sample_rate, rng, 0.3, rng.uniform(*SWELL.get(sound, (0.3, 0.9))), 1.0)
    else:
        curve = np.clip(np.asarray(intensity, dtype=float), 0, 1)
        level = np.interp(np.arange(n) / sample_rate, (np.arange(len(curve)) + 0.5) / fps, curve)
    wave = microphone(sound(level, sample_rate, rng), sample_rate, rng)
    return (wave / (np.abs(wave).max() + 1e-9) * rng.uniform(0.3, 0.95)).astype(np.float32)
