"""Synthesised sounds: seeded, finite, as long as asked, and as loud as the intensity says."""

from __future__ import annotations

import numpy as np
import pytest

from soundguide_core.miniature import sound_parts, sounds, sounds_other

PHENOMENA = ("rain", "waves", "fire", "wind", "thunder", "birds", "crickets")


def test_all_seven():
    assert tuple(sounds.SOUNDS) == PHENOMENA


@pytest.mark.parametrize("label", [*sounds.SOUNDS, *sounds_other.SOUNDS])
def test_wave_form(label):
    table = {**sounds.SOUNDS, **sounds_other.SOUNDS}
    make = lambda seed: sounds.render(table[label], 1.5, intensity=None, seed=seed, sample_rate=16000, fps=12)  # noqa: E731
    wave = make(3)
    assert wave.shape == (24000,) and wave.dtype == np.float32
    assert np.isfinite(wave).all() and 0.25 < np.abs(wave).max() < 1
    assert np.array_equal(wave, make(3)) and not np.array_equal(wave, make(4))


@pytest.mark.parametrize("phenomenon", ["rain", "waves", "fire", "wind", "birds", "crickets"])
def test_loudness_follows_intensity(phenomenon):
    curve = np.repeat([0.05, 1.0], 24)
    ratios = []
    for seed in range(3):
        wave = sounds.synthesise(phenomenon, 4, intensity=curve, seed=seed, sample_rate=16000, fps=12)
        ratios.append(wave[40000:].std() / wave[:24000].std())
    assert np.median(ratios) > 1.5


def test_thunder_claps_when_it_is_intense():
    curve = np.zeros(72)
    curve[36:40] = 1
    for seed in range(3):
        wave = sounds.synthesise("thunder", 6, intensity=curve, seed=seed, sample_rate=16000)
        assert wave[16000 * 3 :].std() > 3 * wave[: 16000 * 2].std()


def test_silence_and_single_samples_are_finite():
    for phenomenon in PHENOMENA:
        assert np.isfinite(sounds.synthesise(phenomenon, 1, intensity=np.zeros(12), seed=0, sample_rate=16000)).all()


def test_coloured_noise_follows_its_points():
    noise = sound_parts.coloured_noise(1 << 16, 16000, np.random.default_rng(0), [(100, 0), (1000, -20), (8000, -20)])
    power = np.abs(np.fft.rfft(noise)) ** 2
    hz = np.fft.rfftfreq(len(noise), 1 / 16000)
    level = lambda f: 10 * np.log10(power[(hz > f / 1.1) & (hz < f * 1.1)].mean())  # noqa: E731
    assert level(100) - level(1000) == pytest.approx(20, abs=2)
    assert level(100) - level(316) == pytest.approx(10, abs=2)
    assert noise.std() == pytest.approx(1)


def test_event_times_have_the_rate():
    rng = np.random.default_rng(0)
    rate = np.repeat([5.0, 50.0], 16000 * 20)
    times = sound_parts.event_times(len(rate), 16000, rng, rate)
    assert 60 < (times < 16000 * 20).sum() < 140 and 850 < (times >= 16000 * 20).sum() < 1150


def test_tone_stays_below_nyquist():
    wave = sound_parts.tone(np.full(16000, 3000.0), 16000, (1.0, 1.0, 1.0))
    spectrum = np.abs(np.fft.rfft(wave)) / 8000
    assert spectrum[[3000, 6000, 9000 - 2000]] == pytest.approx([1, 1, 0], abs=1e-6)
