"""Fire and waves, each in several kinds, made from an intensity curve.

f(level [N] in 0..1, sample_rate, rng)  =>  wave [N]
"""

from __future__ import annotations

import numpy as np

from .parts import Rng, band_noise, choose, coloured_noise, grains, hump, log_uniform, place, room, unit, wander

FIRE = {"campfire": 0.4, "fireplace": 0.3, "blaze": 0.15, "embers": 0.15}
WAVES = {"breakers": 0.5, "surf": 0.2, "lake": 0.15, "pebbles": 0.15}
# crackles a second; gains of crackles, flutter and hiss
FIRE_PARTS = {
    "campfire": ((6, 150), (0.5, 1.0), (0.05, 1.0), (0.01, 0.3)),
    "fireplace": ((3, 60), (0.2, 0.8), (0.5, 2.0), (0.01, 0.3)),
    "blaze": ((10, 150), (0.1, 0.6), (0.7, 2.0), (0.05, 0.8)),
    "embers": ((1, 12), (0.7, 1.0), (0.01, 0.1), (0.02, 0.3)),
}


def fire(level: np.ndarray, sample_rate: int, rng: Rng) -> np.ndarray:
    """Crackles in clusters, single snaps, a low flutter of flame; a blaze roars, embers tick."""
    n, kind = len(level), choose(FIRE, rng)
    rates, crackles, flutters, hisses = FIRE_PARTS[kind]
    burst = wander(n, sample_rate, rng, rng.uniform(1, 6)) ** rng.uniform(1, 3)
    rate = level * burst * log_uniform(rng, *rates)
    crackle = grains(
        n, sample_rate, rng, rate, (900, 9000), (0.0002, 0.003), rng.uniform(8, 14), 9, rng.uniform(0.5, 3)
    )
    snaps = grains(
        n, sample_rate, rng, level * log_uniform(rng, 0.3, 5), (300, 4000), (0.0008, 0.008), 6, 5, rng.uniform(0.5, 2)
    )
    top = log_uniform(rng, 400, 2500) if kind == "blaze" else log_uniform(rng, 80, 600)
    flutter = band_noise(n, sample_rate, rng, 30, top, rng.uniform(5, 14))
    flutter *= wander(n, sample_rate, rng, log_uniform(rng, 3, 14), rng.uniform(0.1, 0.8), 1) * level
    hiss = band_noise(n, sample_rate, rng, log_uniform(rng, 1000, 6000), log_uniform(rng, 6000, 16000), 6) * level
    wave = rng.uniform(*crackles) * (unit(crackle) + rng.uniform(0.2, 1.0) * unit(snaps))
    wave += log_uniform(rng, *flutters) * unit(flutter) + log_uniform(rng, *hisses) * unit(hiss)
    return room(wave, sample_rate, rng, rng.uniform(0.05, 0.8), rng.uniform(0, 0.4)) * level**0.5


def waves(level: np.ndarray, sample_rate: int, rng: Rng) -> np.ndarray:
    """Breakers that rise, crash and run out as bright foam; steady surf; lapping; pebbles that roll back."""
    n, kind = len(level), choose(WAVES, rng)
    period = log_uniform(rng, 0.6, 2.5) if kind == "lake" else log_uniform(rng, 1.8, 11)
    swell, crash, foam = _swells(n, sample_rate, rng, period)
    top = log_uniform(rng, 1200, 12000)
    low = band_noise(n, sample_rate, rng, 60, log_uniform(rng, 200, 900), rng.uniform(3, 9))
    middle = band_noise(n, sample_rate, rng, log_uniform(rng, 120, 500), top / 3, rng.uniform(3, 9))
    high = band_noise(n, sample_rate, rng, log_uniform(rng, 700, 2500), max(top, 3000), rng.uniform(3, 10))
    wave = rng.uniform(0.3, 1.5) * swell * low + rng.uniform(0.6, 1.4) * crash * middle
    wave += log_uniform(rng, 0.03, 0.7) * foam * high
    if kind == "lake":
        wave *= log_uniform(rng, 0.05, 0.6)
    roar = coloured_noise(
        n, sample_rate, rng, [(30, 0), (log_uniform(rng, 100, 1500), 0), (sample_rate / 2, rng.uniform(-50, -20))]
    )
    roar *= wander(n, sample_rate, rng, 0.6, rng.uniform(0.3, 1), 1)
    wave += (log_uniform(rng, 0.3, 2) if kind == "surf" else log_uniform(rng, 0.02, 0.3)) * roar
    if kind == "lake" or rng.random() < 0.2:
        rate = log_uniform(rng, 3, 20) + 30 * foam
        lap = grains(n, sample_rate, rng, rate, (200, 1800), (0.006, 0.04), 6, 6, rng.uniform(0.1, 0.6))
        wave += log_uniform(rng, *((0.4, 2) if kind == "lake" else (0.1, 0.6))) * unit(lap) * wave.std()
    if kind == "pebbles":
        rattle = grains(n, sample_rate, rng, 10 + 1200 * foam, (1500, 7000), (0.0005, 0.004), 6, 8, 0.6)
        wave += log_uniform(rng, 0.2, 1) * unit(rattle) * wave.std()
    return wave * level


def _swells(n: int, sample_rate: int, rng: Rng, period: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Envelopes [N] of the rise, the crash and the foam of one breaker after another."""
    swell, crash, foam = np.zeros(n), np.zeros(n), np.zeros(n)
    position = -rng.uniform(0, 1.5) * period * sample_rate
    while position < n:
        length, gain = period * rng.uniform(0.9, 2.0), rng.uniform(0.35, 1.0)
        size = int(length * sample_rate)
        peak = rng.uniform(0.2, 0.5)
        place(swell, gain * hump(size, peak, 1.5), int(position))
        place(crash, gain * hump(size, peak + 0.08, rng.uniform(2, 4)), int(position))
        place(foam, gain * hump(int(1.4 * size), 0.35, rng.uniform(1.5, 3)), int(position + peak * size * 0.8))
        position += period * rng.uniform(0.6, 1.4) * sample_rate
    return swell, crash, foam
