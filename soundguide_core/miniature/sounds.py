"""The sounds of the seven phenomena, made from a seed and an intensity curve.

    intensity [F] in 0..1, at fps  =>  wave [N] in -1..1

Intensity moves both the level and the character (more drops, faster gusts, more thunder), so that picture and sound
of one scene swell together. Everything else (spectra, distances, species, rooms, microphones) is drawn from the seed.
"""

from __future__ import annotations

import numpy as np

from .sound_parts import (
    Rng,
    band_noise,
    coloured_noise,
    event_times,
    grains,
    hump,
    log_uniform,
    microphone,
    place,
    room,
    tone,
    wander,
)


def rain(level: np.ndarray, sample_rate: int, rng: Rng) -> np.ndarray:
    """Falling water: broad noise, drops on leaves, roofs and puddles."""
    n, nyquist = len(level), sample_rate / 2
    knee = log_uniform(rng, 300, 4000)
    noise = coloured_noise(
        n,
        sample_rate,
        rng,
        [(20, rng.uniform(-35, 0)), (knee, rng.uniform(-6, 0)), (knee * 2.5, 0), (nyquist, rng.uniform(-25, 2))],
    )
    noise *= level ** rng.uniform(0.8, 1.5) * wander(n, sample_rate, rng, 3, 1 - rng.uniform(0, 0.25), 1)
    drops = grains(n, sample_rate, rng, level * log_uniform(rng, 20, 1500), (900, 8000), (0.0006, 0.006), 7, 8, 0.8)
    drips = grains(n, sample_rate, rng, level * log_uniform(rng, 0.3, 25), (300, 3500), (0.004, 0.03), 6, 5, 0.15)
    wave = noise + log_uniform(rng, 0.05, 1.2) * drops / (drops.std() + 1e-9) * level
    wave += (rng.random() < 0.6) * log_uniform(rng, 0.05, 0.5) * drips / (drips.std() + 1e-9) * level
    return room(wave, sample_rate, rng, rng.uniform(0.1, 1.0), rng.uniform(0, 0.4))


def waves(level: np.ndarray, sample_rate: int, rng: Rng) -> np.ndarray:
    """Breakers: swells that rise, crash and run out as bright foam, over a far roar."""
    n = len(level)
    swell, crash, foam = np.zeros(n), np.zeros(n), np.zeros(n)
    period = log_uniform(rng, 1.8, 11)
    position = -rng.uniform(0, 1.5) * period * sample_rate
    while position < n:
        length, gain = period * rng.uniform(0.9, 2.0), rng.uniform(0.35, 1.0)
        size = int(length * sample_rate)
        peak = rng.uniform(0.2, 0.5)
        place(swell, gain * hump(size, peak, 1.5), int(position))
        place(crash, gain * hump(size, peak + 0.08, rng.uniform(2, 4)), int(position))
        place(foam, gain * hump(int(1.4 * size), 0.35, rng.uniform(1.5, 3)), int(position + peak * size * 0.8))
        position += period * rng.uniform(0.6, 1.4) * sample_rate
    top = log_uniform(rng, 2500, 12000)
    wave = (
        swell
        * band_noise(n, sample_rate, rng, 60, log_uniform(rng, 250, 900), rng.uniform(3, 7))
        * rng.uniform(0.3, 1.5)
    )
    wave += (
        crash
        * band_noise(n, sample_rate, rng, log_uniform(rng, 120, 500), top / 3, rng.uniform(3, 7))
        * rng.uniform(0.6, 1.4)
    )
    wave += (
        foam
        * band_noise(n, sample_rate, rng, log_uniform(rng, 700, 2500), top, rng.uniform(3, 8))
        * rng.uniform(0.1, 0.7)
    )
    wave += rng.uniform(0.03, 0.3) * band_noise(n, sample_rate, rng, 80, log_uniform(rng, 400, 3000), rng.uniform(3, 7))
    if rng.random() < 0.3:  # lapping water
        lap = grains(n, sample_rate, rng, 3 + 30 * foam, (250, 1800), (0.006, 0.03), 6, 6, 0.1)
        wave += rng.uniform(0.1, 0.6) * lap / (lap.std() + 1e-9) * wave.std()
    return wave * level


def fire(level: np.ndarray, sample_rate: int, rng: Rng) -> np.ndarray:
    """Crackles in clusters, single snaps, and a low flutter of flame."""
    n = len(level)
    burst = wander(n, sample_rate, rng, rng.uniform(1, 6)) ** rng.uniform(1, 3)
    rate = level * burst * log_uniform(rng, 6, 150)
    crackle = grains(
        n, sample_rate, rng, rate, (900, 9000), (0.0002, 0.003), rng.uniform(8, 14), 9, rng.uniform(0.5, 3)
    )
    snaps = grains(
        n, sample_rate, rng, level * log_uniform(rng, 0.3, 5), (300, 4000), (0.0008, 0.008), 6, 5, rng.uniform(0.5, 2)
    )
    flutter = band_noise(n, sample_rate, rng, 30, log_uniform(rng, 120, 600), rng.uniform(6, 12))
    flutter *= wander(n, sample_rate, rng, log_uniform(rng, 3, 14), 0.2, 1) * level
    hiss = band_noise(n, sample_rate, rng, log_uniform(rng, 1000, 6000), log_uniform(rng, 6000, 16000), 6) * level
    wave = crackle / (crackle.std() + 1e-9) + rng.uniform(0.2, 1.0) * snaps / (snaps.std() + 1e-9)
    wave += log_uniform(rng, 0.05, 1.5) * flutter + log_uniform(rng, 0.01, 0.3) * hiss
    return room(wave, sample_rate, rng, rng.uniform(0.05, 0.8), rng.uniform(0, 0.4)) * level**0.5


def wind(level: np.ndarray, sample_rate: int, rng: Rng) -> np.ndarray:
    """Gusts: dark noise that brightens as it swells, a howl that bends with it, rumble on the microphone, leaves."""
    n = len(level)
    gust = wander(n, sample_rate, rng, log_uniform(rng, 0.15, 1.5), rng.uniform(0.05, 0.6), 1) * level
    gust = gust * (1 + rng.uniform(0, 0.35) * wander(n, sample_rate, rng, log_uniform(rng, 2, 9), -1, 1))
    slope, wave, corner = rng.uniform(4, 9), np.zeros(n), log_uniform(rng, 60, 350)
    for octave in range(6):
        band = band_noise(n, sample_rate, rng, corner * 2**octave / 1.4, corner * 2**octave * 1.4, 12)
        wave += 10 ** (-slope * octave / 20) * gust ** (1 + 0.4 * octave * rng.uniform(0.6, 1.4)) * band
    if rng.random() < 0.5:  # a crack or a wire that howls
        wave += rng.uniform(0.2, 1.2) * _howl(gust, sample_rate, rng)
    if rng.random() < 0.5:
        buffet = wander(n, sample_rate, rng, log_uniform(rng, 4, 18)) ** 3
        wave += rng.uniform(0.5, 3) * gust * buffet * band_noise(n, sample_rate, rng, 25, log_uniform(rng, 70, 200), 12)
    if rng.random() < 0.4:
        rustle = band_noise(n, sample_rate, rng, log_uniform(rng, 1000, 3500), log_uniform(rng, 4000, 11000), 8)
        wave += log_uniform(rng, 0.05, 0.5) * gust**1.5 * wander(n, sample_rate, rng, 12, 0.3, 1) * rustle
    return wave


def _howl(gust: np.ndarray, sample_rate: int, rng: Rng) -> np.ndarray:
    n = len(gust)
    wave = np.zeros(n)
    for _ in range(rng.integers(1, 4)):
        centre = log_uniform(rng, 250, 1500) * (0.75 + 0.5 * gust + wander(n, sample_rate, rng, 1.0, -0.1, 0.1))
        # narrow noise: a carrier along the centre times slow complex noise
        width = rng.uniform(15, 90)
        i, q = band_noise(n, sample_rate, rng, 16, width), band_noise(n, sample_rate, rng, 16, width)
        phase = 2 * np.pi * np.cumsum(centre) / sample_rate
        wave += gust**1.5 * (i * np.cos(phase) + q * np.sin(phase)) * rng.uniform(0.3, 1)
    return wave


def thunder(level: np.ndarray, sample_rate: int, rng: Rng) -> np.ndarray:
    """Claps at the peaks of the intensity: cracks when near, then a rolling rumble; rain or wind behind it."""
    n = len(level)
    wave = np.zeros(n)
    times = event_times(n, sample_rate, rng, level**3 * log_uniform(rng, 0.1, 0.8))
    first = int(rng.uniform(0, 0.35) * n) if level.std() < 0.05 else int(np.argmax(level))
    for start in np.concatenate([[first], times]):
        distance = log_uniform(rng, 0.04, 1.0)
        gain = rng.uniform(0.4, 1.0) * level[int(start)]
        place(wave, gain * _clap(distance, sample_rate, rng), int(start) - int(0.1 * sample_rate))
    bed = rng.choice(["rain", "wind", "none"], p=[0.45, 0.2, 0.35])
    if bed != "none":
        behind = (rain if bed == "rain" else wind)(np.full(n, 0.7), sample_rate, rng)
        wave = wave + log_uniform(rng, 0.01, 0.3) * behind / (behind.std() + 1e-9) * wave.std() * (0.5 + 0.5 * level)
    return room(wave, sample_rate, rng, rng.uniform(0.5, 3.0), rng.uniform(0, 0.5))


def _clap(distance: float, sample_rate: int, rng: Rng) -> np.ndarray:
    """One to four strikes, each a sudden tearing whose highs die first, on a rolling rumble."""
    length = rng.uniform(2.5, 9)
    n = int(length * sample_rate)
    t = np.arange(n) / sample_rate
    roll = wander(n, sample_rate, rng, log_uniform(rng, 2, 10)) ** rng.uniform(1, 2.5)
    swell = np.minimum(t / (0.02 + 0.8 * distance * rng.random()), 1) * np.exp(-t / (length * rng.uniform(0.15, 0.35)))
    rumble = swell * (0.25 + roll) * band_noise(n, sample_rate, rng, 25, log_uniform(rng, 60, 300), rng.uniform(5, 10))
    strikes, slope_db, lasting = np.zeros(n), rng.uniform(2, 6) + 5 * distance, log_uniform(rng, 0.4, 2.5)
    size = min(n, int(3 * lasting * sample_rate))
    after = np.arange(size) / sample_rate
    octaves = [band_noise(size, sample_rate, rng, 50 * 2**octave, 100 * 2**octave, 15) for octave in range(7)]
    for _ in range(rng.integers(1, 5)):
        start, gain = int(rng.exponential(0.12 * length) * sample_rate), rng.uniform(0.3, 1)
        ragged = 0.3 + wander(size, sample_rate, rng, log_uniform(rng, 8, 30)) ** 2
        attack = np.minimum(after / (0.004 + 0.25 * distance * rng.random()), 1)
        for octave, noise in enumerate(octaves):
            fading = np.exp(-after / (lasting * 2 ** (-0.5 * octave)))
            place(strikes, gain * 10 ** (-slope_db * octave / 20) * attack * ragged * fading * noise, start)
    return rng.uniform(0.2, 1.2) * rumble + strikes


def birds(level: np.ndarray, sample_rate: int, rng: Rng) -> np.ndarray:
    """Some species at some distances, each with its own phrase, in a room of trees."""
    n = len(level)
    wave = np.zeros(n)
    for _ in range(rng.integers(1, 5)):
        song, distance = _species(sample_rate, rng), rng.uniform(0.0, 1.0)
        part, position = np.zeros(n), int(rng.exponential(0.5) * sample_rate)
        pause_sec = log_uniform(rng, 0.15, 2.5)
        while position < n:
            phrase = song()
            place(part, phrase * rng.uniform(0.5, 1) * level[position], position)
            pause = rng.exponential(pause_sec) / (0.3 + level[position])
            position += len(phrase) + int((0.05 + pause) * sample_rate)
        wave += room(part, sample_rate, rng, rng.uniform(0.2, 1.8), 0.1 + 0.7 * distance) * (1.1 - distance)
    bed = coloured_noise(
        n, sample_rate, rng, [(20, rng.uniform(0, 25)), (500, 0), (sample_rate / 2, rng.uniform(-20, 0))]
    )
    return wave + log_uniform(rng, 0.01, 0.4) * (wave.std() + 1e-4) * bed


def _species(sample_rate: int, rng: Rng):
    """A song: a call that returns one phrase, the same motif with small changes each time."""
    kind = rng.choice(["whistle", "trill", "warble", "chirp", "coo", "caw"], p=[0.24, 0.22, 0.22, 0.2, 0.06, 0.06])
    centre = {"coo": log_uniform(rng, 350, 800), "caw": log_uniform(rng, 500, 1100)}.get(
        kind, log_uniform(rng, 1600, 7000)
    )
    count = {"trill": rng.integers(5, 25), "warble": rng.integers(6, 16), "caw": rng.integers(1, 4)}.get(
        kind, rng.integers(1, 6)
    )
    length = {
        "trill": log_uniform(rng, 0.02, 0.1),
        "warble": log_uniform(rng, 0.04, 0.15),
        "chirp": log_uniform(rng, 0.03, 0.12),
        "whistle": log_uniform(rng, 0.12, 0.5),
    }.get(kind, log_uniform(rng, 0.2, 0.5))
    # what glides is a bird; an insect keeps its pitch
    syllables = [
        (
            rng.normal(0, 0.2 if kind == "warble" else 0.06),
            rng.choice([-1, 1]) * rng.uniform(0.12, 0.6),
            rng.uniform(0, 0.4),
            rng.uniform(0.7, 1.3),
        )
        for _ in range(1 if kind in ("trill", "chirp", "caw") else count)
    ]
    vibrato, gap = rng.uniform(0, 0.08), length * rng.uniform(0.15, 1.2)
    overtones = (1.0, rng.uniform(0, 0.4), rng.uniform(0, 0.15)) if kind != "caw" else tuple(rng.uniform(0.2, 1, 9))

    def song() -> np.ndarray:
        pieces, key = [], centre * np.exp(rng.normal(0, 0.02))
        for k in range(count):
            offset, bend, curve, stretch = syllables[k % len(syllables)]
            size = int(length * stretch * sample_rate)
            x = np.linspace(-0.5, 0.5, size)
            shape = (
                offset
                + bend * x
                + curve * (0.25 - x**2) * 2
                + vibrato * np.sin(2 * np.pi * x * size / sample_rate * 28)
            )
            piece = tone(key * np.exp(shape), sample_rate, overtones) * hump(size, rng.uniform(0.2, 0.6))
            if kind == "caw":
                piece *= 1 + 0.9 * np.sin(2 * np.pi * np.cumsum(np.full(size, rng.uniform(50, 90))) / sample_rate)
            pieces += [piece, np.zeros(int(gap * rng.uniform(0.9, 1.1) * sample_rate))]
        return np.concatenate(pieces)

    return song


def crickets(level: np.ndarray, sample_rate: int, rng: Rng) -> np.ndarray:
    """Insects at night: pulse trains on carriers of 2 to 9 kHz, near and far, over a dark bed."""
    n = len(level)
    wave = np.zeros(n)
    for k in range(rng.integers(1, 6)):
        wave += (1.0 if k == 0 else log_uniform(rng, 0.03, 0.8)) * _insect(n, sample_rate, rng)
    if rng.random() < 0.5:  # the far chorus
        low = log_uniform(rng, 2200, 6000)
        wave += (
            rng.uniform(0.1, 0.6) * wave.std() * band_noise(n, sample_rate, rng, low, low * rng.uniform(1.05, 1.6), 30)
        )
    bed = coloured_noise(
        n, sample_rate, rng, [(20, rng.uniform(0, 30)), (500, 0), (sample_rate / 2, rng.uniform(-20, 0))]
    )
    return (
        room(wave * level, sample_rate, rng, rng.uniform(0.1, 1.2), rng.uniform(0, 0.5))
        + log_uniform(rng, 0.01, 0.4) * wave.std() * bed
    )


def _insect(n: int, sample_rate: int, rng: Rng) -> np.ndarray:
    t = np.arange(n) / sample_rate
    carrier = log_uniform(rng, 2200, 8500)
    kind = rng.choice(["chirp", "trill", "rasp"], p=[0.55, 0.3, 0.15])
    pulse_hz = log_uniform(rng, 18, 90)
    beat = (pulse_hz * (t + 0.002 * wander(n, sample_rate, rng, 2))) % 1
    pulses = np.clip(np.sin(np.pi * np.minimum(beat / rng.uniform(0.4, 0.9), 1)), 0, 1) ** rng.uniform(0.7, 2)
    if kind == "chirp":
        chirp_hz, fill = log_uniform(rng, 0.8, 5), rng.uniform(0.15, 0.7)
        phase = (
            np.cumsum(chirp_hz * (1 + wander(n, sample_rate, rng, 1, -0.08, 0.08))) / sample_rate + rng.random()
        ) % 1
        pulses = pulses * np.clip(np.sin(np.pi * np.minimum(phase / fill, 1)), 0, 1) ** 0.5
    if kind == "rasp":
        return pulses * band_noise(n, sample_rate, rng, carrier, carrier * 1.5, 20) * 0.7
    pitch = carrier * (1 + wander(n, sample_rate, rng, 3, -0.004, 0.004))
    return pulses * tone(pitch, sample_rate, (1.0, rng.uniform(0, 0.2)))


SOUNDS = {
    "rain": rain,
    "waves": waves,
    "fire": fire,
    "wind": wind,
    "thunder": thunder,
    "birds": birds,
    "crickets": crickets,
}

SWELL = {
    rain: (0.75, 1.0),
    crickets: (0.7, 1.0),
}  # how far these sink by themselves: what swells slowly is waves or wind


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
