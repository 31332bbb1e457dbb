"""Building blocks of synthesised sound: coloured noise, slow curves, grains, glides, rooms and microphones.

Every function takes a `np.random.Generator` where it draws and returns float64 arrays of N samples.
"""

from __future__ import annotations

from typing import cast

import numpy as np

from ...common.stop import check_stop

Rng = np.random.Generator


def coloured_noise(n: int, sample_rate: int, rng: Rng, points: list[tuple[float, float]]) -> np.ndarray:
    """Gaussian noise [N] of unit rms whose spectrum follows `points` (Hz, dB), straight lines over log frequency."""
    check_stop()
    from scipy.fft import irfft, next_fast_len, rfft, rfftfreq

    size = next_fast_len(n, real=True)
    hz = rfftfreq(size, 1 / sample_rate)
    at, level_db = zip(*points)
    curve_db = np.interp(np.log(np.maximum(hz, 1.0)), np.log(at), level_db)
    spectrum = cast(np.ndarray, rfft(rng.standard_normal(size))) * 10 ** (curve_db / 20)
    spectrum[hz < 15] = 0
    noise = cast(np.ndarray, irfft(spectrum, size))[:n]
    return noise / (noise.std() + 1e-12)


def band_noise(n: int, sample_rate: int, rng: Rng, low_hz: float, high_hz: float, slope_db: float = 12.0) -> np.ndarray:
    """Noise [N] between two corners, falling by `slope_db` an octave outside, over eight octaves."""
    edge = [
        (low_hz / 256, -8 * slope_db),
        (low_hz, 0.0),
        (max(high_hz, low_hz * 1.01), 0.0),
        (high_hz * 256, -8 * slope_db),
    ]
    return coloured_noise(n, sample_rate, rng, edge)


def wander(n: int, sample_rate: int, rng: Rng, rate_hz: float, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """A smooth random curve [N] that takes about `rate_hz` new values a second, in low..high."""
    check_stop()
    knots = max(int(n / sample_rate * rate_hz) + 4, 4)
    position = np.linspace(0, knots - 3, n) + 0.999 * rng.random()
    left, value = position.astype(int), rng.random(knots + 1)
    blend = 0.5 - 0.5 * np.cos(np.pi * (position - left))
    return low + (high - low) * (value[left] * (1 - blend) + value[left + 1] * blend)


def event_times(n: int, sample_rate: int, rng: Rng, rate_hz: np.ndarray | float) -> np.ndarray:
    """Sample positions of a Poisson process whose rate in events a second may vary over the N samples."""
    check_stop()
    chance = np.broadcast_to(np.asarray(rate_hz, dtype=float) / sample_rate, (n,))
    total = chance.sum()
    count = rng.poisson(total) if total > 0 else 0
    return np.sort(np.searchsorted(np.cumsum(chance), rng.random(count) * total)).clip(0, n - 1)


def convolve(wave: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Causal convolution cut to the length of `wave`."""
    check_stop()
    from scipy.signal import oaconvolve

    return oaconvolve(wave, kernel)[: len(wave)]


def ring(sample_rate: int, hz: float, decay_sec: float, phase: float = 0.0) -> np.ndarray:
    """A struck resonance: exp(-t/decay) sin(2 pi hz t), five decays long."""
    t = np.arange(max(int(5 * decay_sec * sample_rate), 8)) / sample_rate
    return np.exp(-t / decay_sec) * np.sin(2 * np.pi * hz * t + phase)


def grains(
    n: int,
    sample_rate: int,
    rng: Rng,
    rate_hz: np.ndarray | float,
    hz: tuple[float, float],
    decay_sec: tuple[float, float],
    spread_db: float = 12.0,
    kinds: int = 6,
    noisy: float = 0.3,
) -> np.ndarray:
    """Random impacts [N]: Poisson impulses of log-normal strength, shared out among a few resonances."""
    out = np.zeros(n)
    for _ in range(kinds):
        times = event_times(n, sample_rate, rng, np.asarray(rate_hz) / kinds)
        impulses = np.zeros(n)
        np.add.at(impulses, times, 10 ** (rng.normal(0, spread_db, len(times)) / 20) * rng.choice([-1, 1], len(times)))
        decay = log_uniform(rng, *decay_sec)
        kernel = ring(sample_rate, log_uniform(rng, *hz), decay, rng.uniform(0, 6.28))
        kernel += noisy * rng.standard_normal(len(kernel)) * np.exp(-np.arange(len(kernel)) / sample_rate / decay)
        out += convolve(impulses, kernel)
    return out


def tone(hz: np.ndarray, sample_rate: int, harmonics: np.ndarray | tuple[float, ...] = (1.0,)) -> np.ndarray:
    """Harmonic glide [N] along a pitch curve in Hz; harmonics above 0.45 of the sample rate are left out."""
    check_stop()
    phase = 2 * np.pi * np.cumsum(hz) / sample_rate
    out = np.zeros(len(hz))
    for k, gain in enumerate(harmonics, start=1):
        if gain:
            out += gain * np.sin(k * phase) * (k * hz < 0.45 * sample_rate)
    return out


def hump(n: int, attack: float, power: float = 1.0) -> np.ndarray:
    """A single rise and fall [N] in 0..1 that peaks at the fraction `attack`."""
    x = np.linspace(0, 1, max(n, 2))
    rise, fall = np.minimum(x / max(attack, 1e-3), 1), np.minimum((1 - x) / max(1 - attack, 1e-3), 1)
    return np.sin(0.5 * np.pi * np.minimum(rise, fall)) ** power


def place(out: np.ndarray, piece: np.ndarray, start: int) -> None:
    """Adds `piece` into `out` from sample `start`, cut at both ends."""
    check_stop()
    first, last = max(start, 0), min(start + len(piece), len(out))
    if last > first:
        out[first:last] += piece[first - start : last - start]


def room(wave: np.ndarray, sample_rate: int, rng: Rng, decay_sec: float, wet: float) -> np.ndarray:
    """Reverberation by noise that decays by 60 dB in `decay_sec` and darkens with distance."""
    n = max(int(decay_sec * sample_rate), 64)
    tail = band_noise(n, sample_rate, rng, 150, log_uniform(rng, 1500, 7000), 9) * 10 ** (-3 * np.arange(n) / n)
    return (1 - 0.5 * wet) * wave + wet * convolve(wave, tail / np.sqrt((tail**2).sum()))


def microphone(wave: np.ndarray, sample_rate: int, rng: Rng) -> np.ndarray:
    """Another microphone each time: a wavy response, band limits, hiss and rumble, for some the hum of the mains."""
    check_stop()
    n = len(wave)
    hz = np.maximum(np.fft.rfftfreq(n, 1 / sample_rate), 1.0)
    knots = np.geomspace(20, sample_rate / 2, 9)
    curve_db = np.interp(np.log(hz), np.log(knots), rng.normal(0, 3.5, 9)) + rng.normal(0, 1.8) * np.log2(hz / 1000)
    low, high = log_uniform(rng, 8, 200), log_uniform(rng, 4000, 24000)
    curve_db -= 10 * np.log10(1 + (low / hz) ** 4) + 10 * np.log10(1 + (hz / high) ** 8)
    out = np.fft.irfft(np.fft.rfft(wave) * 10 ** (curve_db / 20), n)
    loudness = np.sqrt((out**2).mean()) + 1e-12
    hiss = coloured_noise(
        n, sample_rate, rng, [(50, rng.uniform(-5, 30)), (1000, 0), (sample_rate / 2, rng.uniform(-10, 5))]
    )
    if rng.random() < 0.15:
        hiss += rng.uniform(0.2, 2) * tone(np.full(n, rng.choice([50.0, 60.0])), sample_rate, tuple(rng.random(6)))
    return out + loudness * 10 ** (-rng.uniform(18, 60) / 20) * hiss


def unit(wave: np.ndarray) -> np.ndarray:
    """The same wave at an rms of 1; silence stays silent."""
    return wave / (wave.std() + 1e-9)


def limit(wave: np.ndarray, drive: float) -> np.ndarray:
    """A recorder driven to its limit: tanh of `drive` times the wave at unit rms."""
    return np.tanh(drive * unit(wave))


def choose(kinds: dict[str, float], rng: Rng) -> str:
    """One of the names, by its share; the shares sum to 1."""
    return str(rng.choice(list(kinds), p=list(kinds.values())))


def log_uniform(rng: Rng, low: float, high: float) -> float:
    """A number drawn evenly on the log scale."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
