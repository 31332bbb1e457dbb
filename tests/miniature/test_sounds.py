"""Synthesised sounds: seeded, finite, as long as asked, and as loud as the intensity says."""

from __future__ import annotations

import numpy as np
import pytest

import tolerances as tol
from soundguide_core.miniature.sounds import (
    animals as sounds_animals,
)
from soundguide_core.miniature.sounds import (
    fire_sea as sounds_fire_sea,
)
from soundguide_core.miniature.sounds import (
    other as sounds_other,
)
from soundguide_core.miniature.sounds import (
    parts as sound_parts,
)
from soundguide_core.miniature.sounds import (
    synthesis as sounds,
)
from soundguide_core.miniature.sounds import (
    weather as sounds_weather,
)

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


def spectrum_db(wave, sample_rate, low, high):
    """Mean power between two frequencies, in dB."""
    power = np.abs(np.fft.rfft(wave)) ** 2
    hz = np.fft.rfftfreq(len(wave), 1 / sample_rate)
    return 10 * np.log10(power[(hz >= low) & (hz < high)].mean() + 1e-12)


def only(monkeypatch, module, table, kind):
    monkeypatch.setattr(module, table, {kind: 1.0})


@pytest.mark.parametrize(
    ("module", "table", "sound"),
    [
        (sounds_weather, "RAIN", "rain"),
        (sounds_weather, "WIND", "wind"),
        (sounds_weather, "THUNDER", "thunder"),
        (sounds_fire_sea, "FIRE", "fire"),
        (sounds_fire_sea, "WAVES", "waves"),
        (sounds_animals, "INSECTS", "crickets"),
    ],
)
def test_every_kind_sounds_and_is_its_own(monkeypatch, module, table, sound):
    kinds = getattr(module, table)
    assert sum(kinds.values()) == pytest.approx(1)
    heard = []
    for kind in kinds:
        only(monkeypatch, module, table, kind)
        wave = sounds.synthesise(sound, 1.0, seed=5, sample_rate=16000)
        assert np.isfinite(wave).all() and wave.std() > 1e-3
        heard.append(wave)
    assert len({wave.tobytes() for wave in heard}) == len(kinds)


def test_every_species_sings(monkeypatch):
    shares = {name: row[0] for name, row in sounds_animals.SPECIES.items()}
    assert sum(shares.values()) == pytest.approx(1)
    for name in shares:
        monkeypatch.setattr(sounds_animals, "SPECIES", {name: (1.0, *sounds_animals.SPECIES[name][1:])})
        assert sounds_animals.birds(np.ones(16000), 16000, np.random.default_rng(1)).std() > 1e-3
        monkeypatch.undo()


def test_far_thunder_is_darker_than_a_crack(monkeypatch):
    tilt = {}
    for kind in ("crack", "far"):
        only(monkeypatch, sounds_weather, "THUNDER", kind)
        claps = [sounds_weather._strike(kind, 16000, np.random.default_rng(seed)) for seed in range(10)]
        tilt[kind] = np.median([spectrum_db(w, 16000, 30, 150) - spectrum_db(w, 16000, 800, 3000) for w in claps])
    assert tilt["far"] > tilt["crack"] + 5


def test_a_bare_microphone_rumbles_and_leaves_rustle():
    gust = np.ones(32000)
    deep = sounds_weather._buffets(gust, 16000, np.random.default_rng(0))
    bright = sounds_weather._trees(gust, 16000, np.random.default_rng(0))
    tilt = lambda w: spectrum_db(w, 16000, 30, 150) - spectrum_db(w, 16000, 1500, 5000)  # noqa: E731
    assert tilt(deep) > tilt(bright) + 15


def test_unit_and_limit():
    wave = np.random.default_rng(0).standard_normal(1000) * 7
    assert sound_parts.unit(wave).std() == pytest.approx(1)
    assert not sound_parts.unit(np.zeros(10)).any() and not sound_parts.limit(np.zeros(10), 5).any()
    hard = sound_parts.limit(wave, 6)
    assert np.abs(hard).max() <= 1 and (np.abs(hard) > 0.95).mean() > 0.5


def test_choose_keeps_the_shares():
    rng = np.random.default_rng(0)
    drawn = [sound_parts.choose({"a": 0.8, "b": 0.2}, rng) for _ in range(500)]
    assert 0.75 < drawn.count("a") / 500 < 0.85


def test_coloured_noise_follows_its_points():
    noise = sound_parts.coloured_noise(1 << 16, 16000, np.random.default_rng(0), [(100, 0), (1000, -20), (8000, -20)])
    power = np.abs(np.fft.rfft(noise)) ** 2
    hz = np.fft.rfftfreq(len(noise), 1 / 16000)
    level = lambda f: 10 * np.log10(power[(hz > f / 1.1) & (hz < f * 1.1)].mean())  # noqa: E731
    assert level(100) - level(1000) == pytest.approx(20, abs=2)
    assert level(100) - level(316) == pytest.approx(10, abs=2)
    assert noise.std() == pytest.approx(1)


def test_band_noise_falls_on_and_on():
    noise = sound_parts.band_noise(1 << 16, 16000, np.random.default_rng(0), 20, 60, 9)
    assert spectrum_db(noise, 16000, 50, 60) - spectrum_db(noise, 16000, 3800, 3900) == pytest.approx(54, abs=4)


def test_event_times_have_the_rate():
    rng = np.random.default_rng(0)
    rate = np.repeat([5.0, 50.0], 16000 * 20)
    times = sound_parts.event_times(len(rate), 16000, rng, rate)
    assert 60 < (times < 16000 * 20).sum() < 140 and 850 < (times >= 16000 * 20).sum() < 1150


def test_tone_stays_below_nyquist():
    wave = sound_parts.tone(np.full(16000, 3000.0), 16000, (1.0, 1.0, 1.0))
    spectrum = np.abs(np.fft.rfft(wave)) / 8000
    assert spectrum[[3000, 6000, 9000 - 2000]] == pytest.approx([1, 1, 0], abs=tol.FLOAT32)
