"""Sounds that no scene of the miniature world makes: people, music, machines and plain noise.

They have no words of their own here; what hears for pictures learns from them that not everything is a phenomenon.

Same form as `synthesis.SOUNDS`: a function of (level [N] in 0..1, sample_rate, rng) that returns a wave [N].
"""

from __future__ import annotations

import numpy as np

from .parts import Rng, band_noise, choose, coloured_noise, hump, log_uniform, place, ring, room, tone, unit, wander

VOWELS_HZ = (
    (730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410), (490, 1350, 1690),
    (660, 1720, 2410), (440, 1020, 2240),
)  # fmt: skip
# the first three formants of vowels: G. Peterson and H. Barney, "Control Methods Used in a Study of the Vowels", 1952
CHORDS = ((0, 4, 7), (0, 3, 7), (0, 5, 7), (0, 4, 7, 11), (0, 3, 7, 10), (0, 7), (0, 4, 9))
STEPS = (0, 2, 3, 5, 7, 9, 10)  # of the scale on which chords stand


def speech(level: np.ndarray, sample_rate: int, rng: Rng) -> np.ndarray:
    """One voice or several: syllables of a vowel between consonants, in phrases with breaths between."""
    voices = 1 if rng.random() < 0.7 else int(rng.integers(2, 9))
    wave = np.zeros(len(level))
    for _ in range(voices):
        wave += unit(_talk(len(level), sample_rate, rng)) * log_uniform(rng, 0.3, 1)
    return room(wave * level, sample_rate, rng, log_uniform(rng, 0.1, 1.5), rng.uniform(0, 0.5))


def _talk(n: int, sample_rate: int, rng: Rng) -> np.ndarray:
    pitch, size, whispered = log_uniform(rng, 75, 320), rng.uniform(0.85, 1.35), rng.random() < 0.1
    pace, tilt, wave = rng.uniform(2.5, 7), rng.uniform(0.8, 1.6), np.zeros(n)
    at = int(rng.exponential(0.3) * sample_rate)
    while at < n:
        for k in range(int(rng.integers(3, 14))):
            count = int(sample_rate / pace * rng.uniform(0.5, 1.5))
            tune = pitch * 2 ** ((rng.normal(0, 2) - 0.4 * k) / 12) * np.linspace(1.03, 0.95, count)
            formants = np.array(VOWELS_HZ[rng.integers(len(VOWELS_HZ))]) * size
            place(wave, _vowel(tune, formants, tilt, whispered, sample_rate, rng), at)
            if rng.random() < 0.6:
                low, short = log_uniform(rng, 800, 5000), int(rng.uniform(0.02, 0.14) * sample_rate)
                burst = band_noise(short, sample_rate, rng, low, low * rng.uniform(1.5, 4))
                place(wave, burst * hump(short, rng.uniform(0.05, 0.6)) * log_uniform(rng, 0.05, 0.6), at - short // 2)
            at += int(count * rng.uniform(0.75, 1.2))
        at += int(rng.exponential(0.5) * sample_rate)
    return wave


def _vowel(pitch: np.ndarray, formants: np.ndarray, tilt: float, whispered: bool, sample_rate: int, rng: Rng):
    count = len(pitch)
    shape = hump(count, rng.uniform(0.1, 0.4), 0.5)
    if whispered:
        parts = [band_noise(count, sample_rate, rng, f / 1.15, f * 1.15) / (1 + i) for i, f in enumerate(formants)]
        return 0.5 * sum(parts) * shape
    hz = float(np.median(pitch)) * np.arange(1, int(5000 / np.median(pitch)) + 1)
    weight = sum(np.exp(-0.5 * ((hz - f) / (60 + 0.06 * f)) ** 2) for f in formants) + 0.03
    voice = tone(pitch, sample_rate, weight / np.arange(1, len(hz) + 1) ** (tilt / 2))
    breath = rng.uniform(0, 0.1) * rng.standard_normal(count)
    return (voice + breath) * shape


def music(level: np.ndarray, sample_rate: int, rng: Rng) -> np.ndarray:
    """Chords, a bass and a tune in a tempo, of instruments that are drawn; often with drums."""
    n, beat = len(level), 60 / log_uniform(rng, 55, 170)
    root, wave = log_uniform(rng, 90, 260), np.zeros(n)
    parts = {"chords": rng.random() < 0.8, "bass": rng.random() < 0.6, "tune": rng.random() < 0.7}
    held = {name: _instrument(rng) for name in parts}
    bars = int(n / sample_rate / (4 * beat)) + 2
    for bar in range(bars):
        base = root * 2 ** (STEPS[rng.integers(len(STEPS))] / 12)
        chord = CHORDS[rng.integers(len(CHORDS))]
        start = int((4 * bar - rng.random()) * beat * sample_rate) if not bar else int(4 * bar * beat * sample_rate)
        if parts["chords"] or not any(parts.values()):
            for note in chord:
                _play(wave, base * 2 ** (note / 12), start, 4 * beat, held["chords"], sample_rate)
        for k in range(8):
            at = start + int(k * beat / 2 * sample_rate)
            if parts["bass"] and k % 2 == 0:
                _play(wave, base / 2, at, beat, held["bass"], sample_rate)
            if parts["tune"] and rng.random() < 0.6:
                note = chord[rng.integers(len(chord))] + 12 * rng.integers(0, 3)
                _play(wave, base * 2 ** (note / 12), at, beat * rng.uniform(0.4, 1.5), held["tune"], sample_rate)
    if rng.random() < 0.5:
        wave = unit(wave) + rng.uniform(0.3, 1.2) * unit(_drums(n, sample_rate, rng, beat))
    return room(wave * level, sample_rate, rng, log_uniform(rng, 0.1, 2), rng.uniform(0, 0.5))


def _instrument(rng: Rng) -> dict:
    """How a note sounds: its harmonics, how fast it comes and goes, and how it trembles."""
    count = int(rng.integers(1, 16))
    return {
        "harmonics": rng.random(count) / np.arange(1, count + 1) ** rng.uniform(0.3, 1.8),
        "attack_sec": log_uniform(rng, 0.003, 0.15), "decay_sec": log_uniform(rng, 0.15, 3.0),
        "tremble": rng.uniform(0, 0.006), "rate_hz": rng.uniform(4, 7), "loud": log_uniform(rng, 0.3, 1),
    }  # fmt: skip


def _play(wave: np.ndarray, hz: float, start: int, seconds: float, how: dict, sample_rate: int) -> None:
    t = np.arange(int(seconds * sample_rate)) / sample_rate
    pitch = hz * (1 + how["tremble"] * np.sin(2 * np.pi * how["rate_hz"] * t))
    shape = np.minimum(t / how["attack_sec"], 1) * np.exp(-t / how["decay_sec"])
    shape *= np.minimum((seconds - t) / 0.02, 1)
    place(wave, how["loud"] * tone(pitch, sample_rate, how["harmonics"]) * shape, start)


def drums(level: np.ndarray, sample_rate: int, rng: Rng) -> np.ndarray:
    """A kit alone: bass drum, snare, hats, toms."""
    wave = _drums(len(level), sample_rate, rng, 60 / log_uniform(rng, 60, 180))
    return room(wave * level, sample_rate, rng, log_uniform(rng, 0.1, 1.2), rng.uniform(0, 0.4))


def _drums(n: int, sample_rate: int, rng: Rng, beat: float) -> np.ndarray:
    size = int(0.5 * sample_rate)
    t, wave = np.arange(size) / sample_rate, np.zeros(n)
    low = log_uniform(rng, 40, 80)
    kick = np.sin(2 * np.pi * np.cumsum(low * (1 + rng.uniform(1, 5) * np.exp(-t / 0.03))) / sample_rate)
    rattle = band_noise(size, sample_rate, rng, 800, 8000)
    snare = rattle * np.exp(-t / rng.uniform(0.04, 0.15))
    snare += rng.uniform(0.3, 1.5) * np.sin(2 * np.pi * rng.uniform(150, 250) * t) * np.exp(-t / 0.08)
    hat = band_noise(size, sample_rate, rng, log_uniform(rng, 4000, 7000), 10000) * np.exp(
        -t / log_uniform(rng, 0.01, 0.2)
    )
    hits = {"kick": kick * np.exp(-t / rng.uniform(0.08, 0.3)), "snare": 0.7 * snare, "hat": 0.4 * hat}
    pattern = {name: rng.random(16) < share for name, share in (("kick", 0.25), ("snare", 0.2), ("hat", 0.55))}
    pattern["kick"][[0, 8]] = pattern["snare"][[4, 12]] = True
    for step in range(int(n / sample_rate / beat * 4) + 1):
        for name, piece in hits.items():
            if pattern[name][step % 16]:
                place(wave, piece * rng.uniform(0.7, 1), int(step * beat / 4 * sample_rate))
    return wave


def applause(level: np.ndarray, sample_rate: int, rng: Rng) -> np.ndarray:
    """Hands of a few people or of a hall, each with a pace and a tone of its own; sometimes cheers."""
    n, people = len(level), int(log_uniform(rng, 3, 150))
    wave = np.zeros(n)
    for _ in range(people):
        count, hz = int(rng.uniform(0.02, 0.06) * sample_rate), log_uniform(rng, 600, 2600)
        t = np.arange(count) / sample_rate
        clap = band_noise(count, sample_rate, rng, hz / 1.6, hz * 2) * np.exp(-t / log_uniform(rng, 0.003, 0.012))
        step, loud = sample_rate / rng.uniform(2.5, 5.5), log_uniform(rng, 0.1, 1)
        for k in range(int(n / step) + 1):
            place(
                wave, loud * rng.uniform(0.6, 1) * clap, int((k + rng.normal(0, 0.08) + rng.random() * (k == 0)) * step)
            )
    if rng.random() < 0.4:
        cheer = band_noise(n, sample_rate, rng, 500, 2500) * wander(n, sample_rate, rng, 1.5)
        wave = unit(wave) + rng.uniform(0.1, 0.6) * unit(cheer)
    return room(wave * level, sample_rate, rng, log_uniform(rng, 0.2, 2.5), rng.uniform(0.1, 0.6))


def noise(level: np.ndarray, sample_rate: int, rng: Rng) -> np.ndarray:
    """What has a spectrum and no life: white, pink or brown noise, a band of it, the static of a radio, a fan."""
    n, top = len(level), sample_rate / 2
    kind = choose({"white": 0.2, "pink": 0.2, "brown": 0.15, "tilted": 0.2, "band": 0.1, "fan": 0.15}, rng)
    if kind == "band":
        low = log_uniform(rng, 100, 3000)
        return band_noise(n, sample_rate, rng, low, low * rng.uniform(1.2, 4), rng.uniform(6, 40))
    slope = {"white": 0.0, "pink": -3.0, "brown": -6.0}.get(kind, rng.uniform(-7, 2))  # dB an octave
    wave = coloured_noise(n, sample_rate, rng, [(20, 0), (top, slope * np.log2(top / 20))])
    if kind == "fan":
        wave += rng.uniform(0.05, 0.8) * tone(np.full(n, log_uniform(rng, 60, 400)), sample_rate, tuple(rng.random(5)))
    return wave


def tones(level: np.ndarray, sample_rate: int, rng: Rng) -> np.ndarray:
    """Beeps, sirens, sweeps, a dial tone, the hum of the mains."""
    n = len(level)
    t = np.arange(n) / sample_rate
    kind = choose({"beeps": 0.3, "siren": 0.25, "sweep": 0.15, "steady": 0.15, "hum": 0.15}, rng)
    hz, harmonics = log_uniform(rng, 200, 3000), tuple(rng.random(int(rng.integers(1, 6))))
    if kind == "hum":
        return tone(np.full(n, rng.choice([50.0, 60.0])), sample_rate, tuple(rng.random(12)))
    if kind == "siren":
        swing = np.sin(2 * np.pi * log_uniform(rng, 0.15, 6) * t)
        pitch = hz * 2 ** (rng.uniform(0.1, 0.8) * (np.sign(swing) if rng.random() < 0.4 else swing))
    elif kind == "sweep":
        pitch = hz * 2 ** (rng.uniform(-3, 3) * t / t[-1])
    else:
        pitch = np.full(n, hz)
    wave = tone(pitch, sample_rate, harmonics)
    if kind == "beeps":
        rate = log_uniform(rng, 0.7, 10)
        wave *= ((t * rate) % 1 < rng.uniform(0.1, 0.8)) * (rng.random(int(n / sample_rate * rate) + 2) < 0.85)[
            (t * rate).astype(int)
        ]
    return room(wave * level, sample_rate, rng, 0.5, rng.uniform(0, 0.3))


def engine(level: np.ndarray, sample_rate: int, rng: Rng) -> np.ndarray:
    """A motor, a train or traffic: a low drone with its harmonics under broad noise, and the knocks of rails."""
    n = len(level)
    pitch = log_uniform(rng, 25, 140) * (
        1 + rng.uniform(0, 0.5) * wander(n, sample_rate, rng, log_uniform(rng, 0.1, 1))
    )
    drone = unit(tone(pitch, sample_rate, rng.random(24) / np.arange(1, 25) ** rng.uniform(0.2, 1)))
    rush = band_noise(n, sample_rate, rng, log_uniform(rng, 40, 200), log_uniform(rng, 400, 4000), rng.uniform(4, 9))
    wave = drone + log_uniform(rng, 0.1, 2) * rush
    if rng.random() < 0.3:
        step, knock = (
            sample_rate / rng.uniform(1, 4),
            ring(sample_rate, log_uniform(rng, 80, 900), log_uniform(rng, 0.01, 0.06)),
        )
        for k in range(int(n / step) + 1):
            place(wave, rng.uniform(0.5, 3) * knock, int((k + rng.uniform(0, 0.1)) * step))
            place(wave, rng.uniform(0.5, 3) * knock, int((k + 0.2) * step))
    return room(wave * level, sample_rate, rng, log_uniform(rng, 0.1, 1), rng.uniform(0, 0.4))


def knocks(level: np.ndarray, sample_rate: int, rng: Rng) -> np.ndarray:
    """Steps, a door, typing, hammering: blows in a rhythm that is nearly even."""
    n, wave = len(level), np.zeros(len(level))
    hz, decay, soft = log_uniform(rng, 80, 3000), log_uniform(rng, 0.004, 0.08), rng.uniform(0.1, 1.5)
    step, loose, at = sample_rate / log_uniform(rng, 0.8, 9), rng.uniform(0.02, 0.4), 0.0
    while at < n:
        blow = ring(sample_rate, hz * rng.uniform(0.9, 1.1), decay)
        blow += soft * rng.standard_normal(len(blow)) * np.exp(-np.arange(len(blow)) / sample_rate / (0.4 * decay))
        place(wave, rng.uniform(0.4, 1) * blow, int(at))
        at += step * (1 + loose * rng.normal()) + (rng.random() < 0.04) * rng.exponential(2) * sample_rate
        at = max(at, 0.0)
    bed = coloured_noise(n, sample_rate, rng, [(20, 25), (300, 5), (1000, 0), (sample_rate / 2, -5)])
    wave = room(wave * level, sample_rate, rng, log_uniform(rng, 0.1, 1.2), rng.uniform(0, 0.5))
    return wave + log_uniform(rng, 0.001, 0.1) * wave.std() * bed


SOUNDS = {
    "speech": speech,
    "music": music,
    "drums": drums,
    "applause": applause,
    "noise": noise,
    "tones": tones,
    "engine": engine,
    "knocks": knocks,
}
