"""Sounds without a scene: animals, a baby, a sneeze, a clock, engines. Their words are learned from captions alone.

Same form as `sounds.SOUNDS`: a function of (level [N] in 0..1, sample_rate, rng) that returns a wave [N].
"""

from __future__ import annotations

import numpy as np

from .parts import Rng, band_noise, coloured_noise, hump, log_uniform, place, ring, room, tone, wander


def dog(level: np.ndarray, sample_rate: int, rng: Rng) -> np.ndarray:
    """A few barks or yaps, then silence."""
    return _calls(level, sample_rate, rng, _bark(sample_rate, rng), int(rng.integers(1, 7)), log_uniform(rng, 0.1, 1.0))


def rooster(level: np.ndarray, sample_rate: int, rng: Rng) -> np.ndarray:
    """Cock-a-doodle-doo: three or four notes, the last long and falling."""
    pitch, lengths = (
        log_uniform(rng, 450, 900),
        [rng.uniform(0.12, 0.3), rng.uniform(0.1, 0.3), rng.uniform(0.2, 0.5), rng.uniform(0.7, 1.6)],
    )
    voice = _voice(rng, log_uniform(rng, 1200, 3000), 16)

    def crow() -> np.ndarray:
        notes = []
        for note, (length, key) in enumerate(zip(lengths, (0.85, 1.0, 1.1, 1.15))):
            size = int(length * sample_rate)
            fall = rng.uniform(0.1, 0.4) * np.linspace(0, 1, size) ** 2 if note == 3 else 0
            glide = (
                pitch * key * np.exp(0.25 * hump(size, 0.4) - fall + wander(size, sample_rate, rng, 12, -0.03, 0.03))
            )
            notes += [
                voice(glide, sample_rate) * hump(size, 0.3, 0.6),
                np.zeros(int(rng.uniform(0.01, 0.08) * sample_rate)),
            ]
        return np.concatenate(notes)

    return _calls(level, sample_rate, rng, crow, int(rng.integers(1, 3)), log_uniform(rng, 0.5, 2))


def crying_baby(level: np.ndarray, sample_rate: int, rng: Rng) -> np.ndarray:
    """Wails of about a second on one breath, with rough onsets and a gasp between."""
    pitch = log_uniform(rng, 320, 600)
    voice = _voice(rng, log_uniform(rng, 1000, 3500), 20)

    def wail() -> np.ndarray:
        size = int(log_uniform(rng, 0.35, 1.6) * sample_rate)
        glide = pitch * np.exp(
            rng.uniform(0.05, 0.4) * hump(size, rng.uniform(0.2, 0.6)) + wander(size, sample_rate, rng, 9, -0.06, 0.06)
        )
        rough = 1 + rng.uniform(0, 0.5) * np.sin(np.pi * np.cumsum(glide) / sample_rate)
        cry = voice(glide, sample_rate) * rough * hump(size, rng.uniform(0.15, 0.5), 0.5)
        gasp = band_noise(int(0.2 * sample_rate), sample_rate, rng, 800, 4000) * hump(int(0.2 * sample_rate), 0.6)
        return np.concatenate([cry, np.zeros(int(0.05 * sample_rate)), rng.uniform(0, 0.2) * gasp * cry.std()])

    return _calls(level, sample_rate, rng, wail, int(rng.integers(3, 9)), log_uniform(rng, 0.1, 0.5))


def sneezing(level: np.ndarray, sample_rate: int, rng: Rng) -> np.ndarray:
    """Ah (voiced breath in), then tchoo: a burst of noise with a short voiced tail."""
    pitch, voice = log_uniform(rng, 130, 450), _voice(rng, log_uniform(rng, 600, 1800), 14)

    def sneeze() -> np.ndarray:
        breath, burst = int(rng.uniform(0.15, 0.7) * sample_rate), int(rng.uniform(0.12, 0.45) * sample_rate)
        out = np.zeros(breath + 2 * burst)
        inhale = band_noise(breath, sample_rate, rng, 500, 3000) * 0.3 + rng.uniform(0, 1) * voice(
            np.linspace(pitch, pitch * 1.4, breath), sample_rate
        )
        place(out, rng.uniform(0, 0.35) * inhale * hump(breath, 0.8), 0)
        low = log_uniform(rng, 600, 3000)
        place(
            out,
            band_noise(burst, sample_rate, rng, low, low * rng.uniform(2, 4)) * hump(burst, rng.uniform(0.05, 0.25)),
            breath,
        )
        place(
            out,
            rng.uniform(0.1, 1) * voice(np.linspace(pitch * 1.6, pitch * 0.8, burst), sample_rate) * hump(burst, 0.2),
            breath + int(burst * rng.uniform(0, 0.6)),
        )
        return out

    return _calls(level, sample_rate, rng, sneeze, int(rng.integers(1, 4)), log_uniform(rng, 0.3, 1.5))


def clock_tick(level: np.ndarray, sample_rate: int, rng: Rng) -> np.ndarray:
    """Tick and tock at one to five a second, each a click with a few resonances."""
    n = len(level)
    sounds = []
    for _ in range(2):
        click = np.zeros(int(0.15 * sample_rate))
        for _ in range(rng.integers(2, 6)):
            place(
                click,
                rng.uniform(0.2, 1) * ring(sample_rate, log_uniform(rng, 700, 9000), log_uniform(rng, 0.0008, 0.012)),
                int(rng.exponential(0.004) * sample_rate),
            )
        sounds.append(click)
    if rng.random() < 0.4:
        sounds[1] = sounds[0]
    wave, step, lag = np.zeros(n), sample_rate / rng.choice([1, 2, log_uniform(rng, 1, 6)]), rng.uniform(-0.12, 0.12)
    for k in range(int(n / step) + 1):
        at = min(int((k + 0.5 + lag * (k % 2)) * step), n - 1)
        place(wave, sounds[k % 2] * level[at] * rng.uniform(0.85, 1), at)
    bed = coloured_noise(n, sample_rate, rng, [(20, 25), (300, 5), (1000, 0), (sample_rate / 2, -5)])
    return (
        room(wave, sample_rate, rng, rng.uniform(0.05, 0.5), rng.uniform(0, 0.3))
        + log_uniform(rng, 0.003, 0.5) * wave.std() * bed
    )


def helicopter(level: np.ndarray, sample_rate: int, rng: Rng) -> np.ndarray:
    """Blades: dark pulses at 8 to 30 a second over broad wash, with a turbine's whine; near, far or passing."""
    n = len(level)
    rate = log_uniform(rng, 8, 30) * (1 + wander(n, sample_rate, rng, 0.3, -0.04, 0.04))
    phase = (np.cumsum(rate) / sample_rate) % 1
    chop = np.exp(-phase * rng.uniform(1.5, 7)) * np.minimum(phase / 0.04, 1)
    wave = chop * band_noise(
        n, sample_rate, rng, log_uniform(rng, 30, 100), log_uniform(rng, 150, 900), rng.uniform(5, 10)
    )
    wave += (
        rng.uniform(0.05, 0.5)
        * (0.3 + chop)
        * band_noise(n, sample_rate, rng, 100, log_uniform(rng, 800, 6000), 6)
        * 0.5
    )
    thump = np.sin(2 * np.pi * np.clip(phase / 0.35, 0, 1)) * (phase < 0.35)
    wave += rng.uniform(0, 1.5) * thump
    if rng.random() < 0.4:
        wave += log_uniform(rng, 0.005, 0.1) * tone(
            log_uniform(rng, 600, 4000) * (1 + wander(n, sample_rate, rng, 0.5, -0.01, 0.01)), sample_rate, (1, 0.4)
        )
    return room(wave * level, sample_rate, rng, rng.uniform(0.1, 1), rng.uniform(0, 0.4))


def chainsaw(level: np.ndarray, sample_rate: int, rng: Rng) -> np.ndarray:
    """A two-stroke engine that idles, revs and bites: rough harmonics under rasping noise."""
    n = len(level)
    rev = wander(n, sample_rate, rng, log_uniform(rng, 0.3, 3.0)) ** rng.uniform(0.4, 2)
    pitch = (
        log_uniform(rng, 60, 170)
        * (1 + rng.uniform(0.1, 1.8) * rev)
        * (1 + wander(n, sample_rate, rng, 20, -0.012, 0.012))
    )
    wave = _voice(rng, log_uniform(rng, 500, 4000), 70)(pitch, sample_rate) * (
        1 + wander(n, sample_rate, rng, 30, -0.25, 0.25)
    )
    rasp = band_noise(n, sample_rate, rng, log_uniform(rng, 500, 2500), log_uniform(rng, 3000, 9000), 6)
    beat = 0.5 + 0.5 * np.sin(2 * np.pi * np.cumsum(pitch) / sample_rate)
    wave = wave / (wave.std() + 1e-9) + log_uniform(rng, 0.05, 0.7) * rasp * beat
    return room(wave * (0.15 + 0.85 * rev) * level, sample_rate, rng, rng.uniform(0.1, 1), rng.uniform(0, 0.4))


def _voice(rng: Rng, formant_hz: float, count: int):
    """A throat: harmonics weighed by two resonances, whatever the pitch."""
    centres, widths = (formant_hz, formant_hz * rng.uniform(1.7, 3)), (rng.uniform(0.3, 0.8), rng.uniform(0.2, 0.6))
    tilt = rng.uniform(0.3, 1.2)

    def voice(pitch: np.ndarray, sample_rate: int) -> np.ndarray:
        middle = float(np.median(pitch))
        hz = middle * np.arange(1, count + 1)
        weight = sum(np.exp(-0.5 * (np.log(hz / c) / w) ** 2) for c, w in zip(centres, widths)) + 0.1
        return tone(pitch, sample_rate, tuple(weight / np.arange(1, count + 1) ** tilt))

    return voice


def _bark(sample_rate: int, rng: Rng):
    pitch, length = log_uniform(rng, 180, 1100), log_uniform(rng, 0.06, 0.3)
    voice, breath = _voice(rng, log_uniform(rng, 600, 2200), 16), rng.uniform(0.2, 1.2)

    def bark() -> np.ndarray:
        size = int(length * rng.uniform(0.8, 1.2) * sample_rate)
        glide = pitch * np.exp(
            rng.uniform(0.1, 0.6) * hump(size, 0.3)
            - 0.3 * np.linspace(0, 1, size)
            + wander(size, sample_rate, rng, 40, -0.05, 0.05)
        )
        body = voice(glide, sample_rate)
        noise = band_noise(size, sample_rate, rng, 400, 3000) * body.std()
        return (body + breath * noise) * hump(size, rng.uniform(0.1, 0.35), 0.8)

    return bark


def _calls(level: np.ndarray, sample_rate: int, rng: Rng, call, count: int, pause_sec: float) -> np.ndarray:
    """`count` calls with pauses in a room; the rest of the recording is almost silent."""
    n = len(level)
    wave, position = np.zeros(n), int(rng.exponential(0.3) * sample_rate)
    for _ in range(count):
        piece = call()
        if position < n:
            place(wave, piece * rng.uniform(0.6, 1) * level[position], position)
        position += len(piece) + int(rng.exponential(pause_sec) * sample_rate)
    bed = coloured_noise(n, sample_rate, rng, [(20, 25), (300, 5), (1000, 0), (sample_rate / 2, -5)])
    out = room(wave, sample_rate, rng, rng.uniform(0.1, 1.2), rng.uniform(0, 0.5))
    return out + log_uniform(rng, 0.0005, 0.05) * (wave.std() + 1e-4) * bed


SOUNDS = {
    "dog": dog,
    "rooster": rooster,
    "crying baby": crying_baby,
    "sneezing": sneezing,
    "clock tick": clock_tick,
    "helicopter": helicopter,
    "chainsaw": chainsaw,
}
