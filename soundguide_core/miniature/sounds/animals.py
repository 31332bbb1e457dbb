"""Birds and crickets, many species each, made from an intensity curve.

f(level [N] in 0..1, sample_rate, rng)  =>  wave [N]

What glides is a bird; an insect keeps its pitch.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .parts import Rng, band_noise, choose, coloured_noise, hump, log_uniform, place, ring, room, tone, unit, wander

# share; pitch in Hz; syllables in a phrase; seconds of a syllable; harmonics at most
SPECIES = {
    "whistle": (0.2, (1600, 7000), (1, 6), (0.12, 0.5), 3),
    "trill": (0.16, (1600, 7500), (5, 25), (0.02, 0.1), 3),
    "warble": (0.2, (1600, 7000), (6, 16), (0.04, 0.15), 3),
    "chirp": (0.18, (1600, 8000), (1, 6), (0.03, 0.12), 5),
    "coo": (0.05, (300, 800), (1, 6), (0.2, 0.5), 3),
    "caw": (0.06, (450, 1100), (1, 5), (0.2, 0.5), 10),
    "gull": (0.08, (700, 2000), (1, 9), (0.15, 0.9), 8),
    "quack": (0.03, (200, 600), (1, 8), (0.08, 0.25), 16),
    "knock": (0.04, (700, 2500), (8, 25), (0.03, 0.06), 1),
}
INSECTS = {"chirp": 0.5, "trill": 0.25, "rasp": 0.1, "cicada": 0.1, "chorus": 0.05}


def birds(level: np.ndarray, sample_rate: int, rng: Rng) -> np.ndarray:
    """One caller, a few, or a dawn chorus; each species with its own phrase, at some distance among trees."""
    n = len(level)
    wave = np.zeros(n)
    for _ in range(rng.choice([1, int(rng.integers(2, 5)), int(rng.integers(5, 10))], p=[0.35, 0.45, 0.2])):
        song, distance = _species(sample_rate, rng), rng.uniform(0.0, 1.0)
        part, position = np.zeros(n), int(rng.exponential(0.5) * sample_rate)
        pause_sec = log_uniform(rng, 0.15, 2.5)
        while position < n:
            phrase = song()
            place(part, phrase * rng.uniform(0.5, 1), position)
            pause = min(rng.exponential(pause_sec) / (0.3 + level[position]), 1.5)
            position += len(phrase) + int((0.05 + pause) * sample_rate)
        wave += room(part * level, sample_rate, rng, rng.uniform(0.2, 1.8), 0.1 + 0.7 * distance) * (1.1 - distance)
    bed = (0.3 + 0.7 * level) * _outdoors(n, sample_rate, rng)
    return wave + log_uniform(rng, 0.01, 0.7) * (wave.std() + 1e-4) * bed


def _outdoors(n: int, sample_rate: int, rng: Rng) -> np.ndarray:
    """What lies behind an animal: far traffic, air, leaves; unit rms, mostly dark."""
    points = [(20, rng.uniform(0, 35)), (500, rng.uniform(0, 6)), (2000, 0), (sample_rate / 2, rng.uniform(-30, 0))]
    return coloured_noise(n, sample_rate, rng, points) * wander(n, sample_rate, rng, 0.5, rng.uniform(0.4, 1), 1)


def _species(sample_rate: int, rng: Rng) -> Callable[[], np.ndarray]:
    """A song: a call that returns one phrase, the same motif with small changes each time."""
    kind = choose({name: row[0] for name, row in SPECIES.items()}, rng)
    _, hz, counts, lengths, harmonics = SPECIES[kind]
    centre, count, length = log_uniform(rng, *hz), int(rng.integers(*counts)), log_uniform(rng, *lengths)
    if kind == "knock":
        return lambda: _knocks(centre, count, length, sample_rate, rng)
    falling = kind in ("gull", "caw", "quack")
    syllables = [
        (
            rng.normal(0, 0.2 if kind == "warble" else 0.06),
            (-1 if falling else rng.choice([-1, 1])) * rng.uniform(0.15, 0.7),
            rng.uniform(0, 0.7 if kind == "gull" else 0.4),
            rng.uniform(0.7, 1.3),
        )
        for _ in range(count if kind in ("whistle", "warble", "coo") else 1)
    ]
    vibrato, gap = rng.uniform(0, 0.08), length * rng.uniform(0.15, 1.2)
    overtones = (
        (1.0, *rng.uniform(0, 0.4, 2)[: harmonics - 1]) if harmonics < 6 else tuple(rng.uniform(0.2, 1, harmonics))
    )
    rough_hz = rng.uniform(50, 90) if kind in ("caw", "quack") else 0

    def song() -> np.ndarray:
        pieces, key = [], centre * np.exp(rng.normal(0, 0.02))
        for k in range(count):
            offset, bend, curve, stretch = syllables[k % len(syllables)]
            size = int(length * stretch * sample_rate)
            x = np.linspace(-0.5, 0.5, size)
            shake = vibrato * np.sin(2 * np.pi * x * size / sample_rate * 28)
            pitch = key * np.exp(offset + bend * x + curve * (0.25 - x**2) * 2 + shake)
            piece = tone(pitch, sample_rate, overtones) * hump(size, rng.uniform(0.2, 0.6))
            if rough_hz:
                piece *= 1 + 0.9 * np.sin(2 * np.pi * rough_hz * np.arange(size) / sample_rate)
            pieces += [piece, np.zeros(int(gap * rng.uniform(0.9, 1.1) * sample_rate))]
        return np.concatenate(pieces)

    return song


def _knocks(hz: float, count: int, pause_sec: float, sample_rate: int, rng: Rng) -> np.ndarray:
    """A woodpecker's drum on one trunk."""
    knock = ring(sample_rate, hz, 0.006) + 0.6 * ring(sample_rate, hz * 0.6, 0.006)
    out = np.zeros(int((count + 1) * pause_sec * sample_rate) + len(knock))
    for k in range(count):
        place(out, knock * rng.uniform(0.6, 1), int(k * pause_sec * sample_rate))
    return out


def crickets(level: np.ndarray, sample_rate: int, rng: Rng) -> np.ndarray:
    """Insects: pulse trains on carriers of 2 to 9 kHz, cicadas that buzz, near and far, over a dark bed."""
    n = len(level)
    wave = np.zeros(n)
    for k in range(rng.integers(1, 6)):
        wave += (1.0 if k == 0 else log_uniform(rng, 0.03, 0.8)) * unit(_insect(n, sample_rate, rng))
    if rng.random() < 0.5:  # the far chorus
        low = log_uniform(rng, 2200, 6000)
        chorus = band_noise(n, sample_rate, rng, low, low * rng.uniform(1.05, 1.6), 30)
        wave += rng.uniform(0.1, 0.6) * wave.std() * chorus
    wave = room(wave * level, sample_rate, rng, rng.uniform(0.1, 1.2), rng.uniform(0, 0.5))
    bed = (0.3 + 0.7 * level) * _outdoors(n, sample_rate, rng)
    return wave + log_uniform(rng, 0.01, 1.0) * wave.std() * bed


def _insect(n: int, sample_rate: int, rng: Rng) -> np.ndarray:
    t = np.arange(n) / sample_rate
    carrier, kind = log_uniform(rng, 2200, 8500), choose(INSECTS, rng)
    if kind == "chorus":
        return band_noise(n, sample_rate, rng, carrier, carrier * rng.uniform(1.02, 1.15), 40)
    if kind == "cicada":
        return _cicada(carrier, n, sample_rate, rng)
    pulse_hz = log_uniform(rng, 18, 90)
    beat = (pulse_hz * (t + 0.002 * wander(n, sample_rate, rng, 2))) % 1
    pulses = np.clip(np.sin(np.pi * np.minimum(beat / rng.uniform(0.4, 0.9), 1)), 0, 1) ** rng.uniform(0.7, 2)
    if kind == "chirp":
        chirp_hz, fill = log_uniform(rng, 0.5, 5), rng.uniform(0.1, 0.7)
        drift = 1 + wander(n, sample_rate, rng, 1, -0.08, 0.08)
        phase = (np.cumsum(chirp_hz * drift) / sample_rate + rng.random()) % 1
        pulses = pulses * np.clip(np.sin(np.pi * np.minimum(phase / fill, 1)), 0, 1) ** 0.5
    if kind == "rasp":
        burst = (log_uniform(rng, 1, 12) * t + rng.random()) % 1 < rng.uniform(0.2, 0.9)
        return pulses * burst * band_noise(n, sample_rate, rng, carrier, carrier * rng.uniform(1.15, 1.8), 20)
    strength = wander(n, sample_rate, rng, 0.5, 0.7, 1)
    return strength * pulses * (np.sin(2 * np.pi * carrier * t) + rng.uniform(0, 0.2) * np.sin(4 * np.pi * carrier * t))


def _cicada(carrier: float, n: int, sample_rate: int, rng: Rng) -> np.ndarray:
    """A buzz of clicks far faster than a cricket's, that swells and sinks."""
    t = np.arange(n) / sample_rate
    buzz = 1 + np.sin(2 * np.pi * log_uniform(rng, 60, 300) * t)
    swell = wander(n, sample_rate, rng, log_uniform(rng, 0.2, 2), rng.uniform(0.1, 0.9), 1)
    return swell * buzz * band_noise(n, sample_rate, rng, carrier, carrier * rng.uniform(1.1, 1.7), rng.uniform(12, 30))
