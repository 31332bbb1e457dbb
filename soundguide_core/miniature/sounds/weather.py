"""Rain, wind and thunder, each in several kinds, made from an intensity curve.

    f(level [N] in 0..1, sample_rate, rng)  =>  wave [N]

Kinds differ by what the weather meets: leaves, roofs, gutters; a bare microphone, a door gap; a near or a far strike.
"""

from __future__ import annotations

import numpy as np

from .parts import (
    Rng,
    band_noise,
    choose,
    coloured_noise,
    event_times,
    grains,
    limit,
    log_uniform,
    place,
    room,
    unit,
    wander,
)

RAIN = {"shower": 0.3, "leaves": 0.2, "roof": 0.2, "drizzle": 0.15, "gutter": 0.15}
WIND = {"open": 0.3, "microphone": 0.25, "trees": 0.2, "gap": 0.25}
THUNDER = {"crack": 0.4, "roll": 0.42, "far": 0.18}


def rain(level: np.ndarray, sample_rate: int, rng: Rng) -> np.ndarray:
    """Falling water: broad noise, drops on leaves and puddles, patter on a roof, a dripping gutter."""
    n, nyquist, kind = len(level), sample_rate / 2, choose(RAIN, rng)
    knee = log_uniform(rng, 200, 1200) if kind == "roof" else log_uniform(rng, 300, 4000)
    noise = coloured_noise(
        n,
        sample_rate,
        rng,
        [
            (20, rng.uniform(-35, 6)),
            (knee, rng.uniform(-6, 0)),
            (knee * 2.5, 0),
            (nyquist, rng.uniform(-40 if kind == "roof" else -25, 2)),
        ],
    )
    noise *= level ** rng.uniform(0.8, 1.5) * wander(n, sample_rate, rng, 3, 1 - rng.uniform(0, 0.25), 1)
    rate = {"leaves": (200, 3000), "drizzle": (4, 60), "gutter": (4, 100)}.get(kind, (20, 1500))
    drops = grains(n, sample_rate, rng, level * log_uniform(rng, *rate), (900, 8000), (0.0006, 0.006), 7, 8, 0.8)
    gain = {"leaves": (0.5, 2.5), "drizzle": (0.3, 2)}.get(kind, (0.05, 1.2))
    wave = noise + log_uniform(rng, *gain) * unit(drops) * level
    if kind == "roof":
        patter = grains(n, sample_rate, rng, level * log_uniform(rng, 40, 800), (120, 1500), (0.003, 0.02), 6, 8, 0.4)
        wave += log_uniform(rng, 0.3, 2) * unit(patter) * level
    if kind == "gutter" or rng.random() < 0.4:
        drips = grains(n, sample_rate, rng, level * log_uniform(rng, 0.5, 25), (300, 3500), (0.004, 0.03), 6, 5, 0.15)
        wave += log_uniform(rng, *((0.3, 2) if kind == "gutter" else (0.05, 0.5))) * unit(drips) * level
    return room(wave, sample_rate, rng, rng.uniform(0.1, 1.0), rng.uniform(0, 0.4))


def wind(level: np.ndarray, sample_rate: int, rng: Rng) -> np.ndarray:
    """Gusts over open land, on a bare microphone, in leaves, through a gap; one leads and others may join."""
    n, leads = len(level), choose(WIND, rng)
    gust = wander(n, sample_rate, rng, log_uniform(rng, 0.1, 1.5), rng.uniform(0.05, 0.8), 1) * level
    gust = gust * (1 + rng.uniform(0, 0.35) * wander(n, sample_rate, rng, log_uniform(rng, 2, 9), -1, 1))
    parts = {"open": _open_land, "microphone": _buffets, "trees": _trees, "gap": _howl}
    wave = np.zeros(n)
    for kind, part in parts.items():
        if kind == leads or rng.random() < 0.4:
            gain = 1.0 if kind == leads else log_uniform(rng, 0.03, 0.7)
            wave += gain * unit(part(gust, sample_rate, rng))
    return wave


def _open_land(gust: np.ndarray, sample_rate: int, rng: Rng) -> np.ndarray:
    """Dark noise by octaves, the higher ones only when it swells."""
    n = len(gust)
    slope, wave, corner = rng.uniform(3, 12), np.zeros(n), log_uniform(rng, 30, 400)
    brighter = rng.uniform(0, 0.6)
    for octave in range(8):
        band = band_noise(n, sample_rate, rng, corner * 2**octave / 1.4, corner * 2**octave * 1.4, 12)
        wave += 10 ** (-slope * octave / 20) * gust ** (1 + brighter * octave * rng.uniform(0.6, 1.4)) * band
    return wave


def _buffets(gust: np.ndarray, sample_rate: int, rng: Rng) -> np.ndarray:
    """Turbulence on a bare membrane: deep thumps and rumble that now and then drive it to its limit."""
    n = len(gust)
    rough = wander(n, sample_rate, rng, log_uniform(rng, 3, 20)) ** rng.uniform(1, 4)
    deep = band_noise(n, sample_rate, rng, 20, log_uniform(rng, 40, 250), rng.uniform(6, 18))
    wave = gust * (0.15 + rough) * deep
    if rng.random() < 0.4:
        wave = limit(wave, log_uniform(rng, 1, 6))
    return wave + log_uniform(rng, 0.005, 0.1) * wave.std() * gust * coloured_noise(
        n, sample_rate, rng, [(100, 0), (sample_rate / 2, rng.uniform(-40, -10))]
    )


def _trees(gust: np.ndarray, sample_rate: int, rng: Rng) -> np.ndarray:
    """Leaves and grass: a bright rustle that comes and goes with the gusts."""
    n = len(gust)
    low = log_uniform(rng, 300, 3000)
    rustle = band_noise(n, sample_rate, rng, low, low * log_uniform(rng, 2, 8), rng.uniform(4, 10))
    flutter = wander(n, sample_rate, rng, log_uniform(rng, 5, 25), rng.uniform(0.2, 0.8), 1)
    wave = gust ** rng.uniform(1, 2.5) * flutter * rustle
    if rng.random() < 0.5:  # dry leaves that touch
        ticks = grains(n, sample_rate, rng, 400 * gust**2, (1500, 7000), (0.0005, 0.003), 6, 5, 0.9)
        wave += log_uniform(rng, 0.1, 0.6) * unit(ticks) * wave.std()
    return wave + log_uniform(rng, 0.05, 0.6) * wave.std() * _open_land(gust, sample_rate, rng)


def _howl(gust: np.ndarray, sample_rate: int, rng: Rng) -> np.ndarray:
    """A gap, a chimney or a wire: narrow bands whose pitch bends with the gust, over its breath."""
    n = len(gust)
    wave, bend = np.zeros(n), rng.uniform(0, 0.7)
    for _ in range(rng.integers(1, 5)):
        centre = log_uniform(rng, 180, 2200) * (1 + bend * (gust - 0.5) + wander(n, sample_rate, rng, 1.0, -0.1, 0.1))
        # narrow noise: a carrier along the centre times slow complex noise
        width = log_uniform(rng, 15, 200)
        i, q = band_noise(n, sample_rate, rng, 16, width), band_noise(n, sample_rate, rng, 16, width)
        phase = 2 * np.pi * np.cumsum(centre) / sample_rate
        wave += gust ** rng.uniform(1, 2) * (i * np.cos(phase) + q * np.sin(phase)) * rng.uniform(0.2, 1)
    return wave + log_uniform(rng, 0.1, 1) * wave.std() * unit(_open_land(gust, sample_rate, rng))


def thunder(level: np.ndarray, sample_rate: int, rng: Rng) -> np.ndarray:
    """Strikes at the peaks of the intensity: cracks when near, long rolling when far; rain or wind behind them."""
    n, kind = len(level), choose(THUNDER, rng)
    wave = np.zeros(n)
    times = event_times(n, sample_rate, rng, level**3 * log_uniform(rng, 0.1, 0.8))
    first = int(rng.uniform(-0.4, 0.35) * n) if level.std() < 0.08 else int(np.argmax(level))
    for start in np.concatenate([[first], times]).astype(int):
        gain = rng.uniform(0.4, 1.0) * level[max(start, 0)]
        place(wave, gain * _strike(kind, sample_rate, rng), start - int(0.1 * sample_rate))
    if rng.random() < 0.3:
        wave = limit(wave, log_uniform(rng, 1, 4))
    bed = rng.choice(["rain", "wind", "none"], p=[0.45, 0.15, 0.4])
    if bed != "none":
        behind = (rain if bed == "rain" else wind)(np.full(n, 0.7), sample_rate, rng)
        wave = wave + log_uniform(rng, 0.01, 0.4) * unit(behind) * wave.std() * (0.5 + 0.5 * level)
    return room(wave, sample_rate, rng, rng.uniform(0.5, 3.5), rng.uniform(0, 0.5))


def _strike(kind: str, sample_rate: int, rng: Rng) -> np.ndarray:
    """One discharge: its tearing, whose highs die first, and the roll that mountains and clouds send back."""
    if kind == "far":
        return _roll(1.0, sample_rate, rng)
    near = kind == "crack"
    tearing = _tearing(rng.uniform(0, 0.4) if near else 0.7, sample_rate, rng)
    out = np.zeros(int(20 * sample_rate))
    place(out, (1.0 if near else rng.uniform(0, 0.7)) * tearing, 0)
    place(out, (rng.uniform(0.1, 1.0) if near else 1.0) * _roll(0.3 if near else 0.6, sample_rate, rng), 0)
    return out


def _roll(distance: float, sample_rate: int, rng: Rng) -> np.ndarray:
    """Rumble of 3 to 10 s in irregular swells, darker and slower to rise the farther."""
    length = rng.uniform(3, 6 + 4 * distance)
    n = int(length * sample_rate)
    t = np.arange(n) / sample_rate
    swells = wander(n, sample_rate, rng, log_uniform(rng, 0.6, 8)) ** rng.uniform(1, 2.5)
    envelope = np.minimum(t / (0.02 + 1.5 * distance * rng.random()), 1) * np.exp(
        -t / (length * rng.uniform(0.12, 0.32))
    )
    corner = log_uniform(rng, 50, 350 - 150 * distance)
    return (
        envelope
        * (0.2 + swells)
        * band_noise(n, sample_rate, rng, 20, corner, rng.uniform(5 + 4 * distance, 9 + 8 * distance))
    )


def _tearing(distance: float, sample_rate: int, rng: Rng) -> np.ndarray:
    """One to four claps by octaves, each with a sudden start and ragged."""
    lasting, slope_db = log_uniform(rng, 0.4, 2.5), rng.uniform(0, 5) + 8 * distance
    size = int(3 * lasting * sample_rate)
    after = np.arange(size) / sample_rate
    octaves = [band_noise(size, sample_rate, rng, 50 * 2**octave, 100 * 2**octave, 15) for octave in range(7)]
    claps = np.zeros(2 * size)
    for _ in range(rng.integers(1, 5)):
        start, gain = int(rng.exponential(0.6) * sample_rate), rng.uniform(0.3, 1)
        ragged = 0.3 + wander(size, sample_rate, rng, log_uniform(rng, 8, 30)) ** 2
        attack = np.minimum(after / (0.004 + 0.25 * distance * rng.random()), 1)
        for octave, noise in enumerate(octaves):
            fading = np.exp(-after / (lasting * 2 ** (-0.5 * octave)))
            place(claps, gain * 10 ** (-slope_db * octave / 20) * attack * ragged * fading * noise, start)
    return claps
