"""Curves of sounds whose answer is known."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from soundguide_core.audio.features import HOP_LENGTH, NAMES, _rms, curve, curves, loudness, sones
from soundguide_core.common.errors import InputError

RATE = 22050


def sine(hz: float, seconds: float) -> torch.Tensor:
    return torch.sin(2 * np.pi * hz * torch.arange(round(RATE * seconds)) / RATE)


def test_ten_decibels_seem_half_as_loud():
    wave = torch.cat([0.1 * sine(440, 2), 10**-0.5 * sine(440, 2), sine(440, 2)])
    heard = sones(torch.from_numpy(curves(wave, RATE, 10, 60)["loudness"]))
    assert torch.allclose(heard[[10, 30, 50]], torch.tensor([0.25, 0.5, 1.0]), rtol=0.02)


def test_loudness_is_decibels_below_the_loudest():
    wave = torch.cat([0.01 * sine(440, 2), sine(440, 2)])
    loud = curves(wave, RATE, 10, 40)["loudness"]
    assert loud[5:15] == pytest.approx(1 - 40 / 60, abs=0.02)
    assert loud[25:35] == pytest.approx(1, abs=0.02)
    assert np.array_equal(loudness(wave, RATE, 10, 40), loud)
    assert not loudness(0 * wave, RATE, 10, 40).any()


def test_one_curve_is_that_of_all():
    wave = torch.cat([0.1 * sine(440, 1), sine(880, 1)])
    all = curves(wave, RATE, 10, 20)
    for name in NAMES:
        assert np.array_equal(curve(name, wave, RATE, 10, 20), all[name])
    with pytest.raises(InputError, match="no curve 'pitch'"):
        curve("pitch", wave, RATE, 10, 20)
    for name in NAMES:
        with pytest.raises(InputError):
            curve(name, wave[None], RATE, 10, 20)


def test_centroid_rises_with_pitch():
    centroid = curves(torch.cat([sine(200, 2), sine(4000, 2)]), RATE, 10, 40)["centroid"]
    assert centroid[5:15] == pytest.approx(np.log(200 / 50) / np.log(200), abs=0.05)
    assert centroid[25:35] == pytest.approx(np.log(4000 / 50) / np.log(200), abs=0.05)


@pytest.mark.slow
def test_a_click_after_ten_minutes_is_in_its_frame():
    fps, seconds = 30000 / 1001, [5.5, 60.25, 300.75, 598.5]
    wave = 1e-3 * torch.randn(600 * RATE, generator=torch.Generator().manual_seed(0))
    for second in seconds:
        wave[round(second * RATE) : round(second * RATE) + 200] = 0.9
    curve = loudness(wave, RATE, fps, round(600 * fps))
    for second in seconds:
        near = slice(int(second * fps) - 20, int(second * fps) + 21)
        assert abs(int(curve[near].argmax()) - 20) <= 1, second


def test_clicks_are_onsets_and_beats():
    wave = 1e-4 * torch.randn(RATE * 8, generator=torch.Generator().manual_seed(0))
    for k in range(16):
        at = int((k + 0.5) * RATE / 2)
        wave[at : at + 200] += sine(1000, 200 / RATE) * torch.linspace(1, 0, 200)
    found = curves(wave, RATE, 10, 80)
    clicks = np.array([int((k + 0.5) * 5) for k in range(2, 14)])
    near = np.array([found["onset"][c - 1 : c + 2].max() for c in clicks])
    assert near.min() > 0.5 and np.median(found["onset"]) < 0.2
    assert np.mean([found["beat"][c - 1 : c + 2].max() for c in clicks]) > 0.6


@pytest.mark.parametrize("wave", [torch.zeros(RATE), torch.zeros(1), torch.ones(1), torch.randn(300), sine(440, 1)])
def test_finite_and_in_range(wave):
    for found in curves(wave, RATE, 24000 / 1001, 30).values():
        assert found.shape == (30,) and found.dtype == np.float32
        assert np.isfinite(found).all() and found.min() >= 0 and found.max() <= 1


def test_silence_is_zero():
    assert not any(curve.any() for curve in curves(torch.zeros(RATE), RATE, 12, 12).values())


def test_refusals():
    with pytest.raises(InputError, match="frames"):
        curves(torch.ones(100), RATE, 0, 5)
    with pytest.raises(InputError, match="one channel"):
        curves(torch.ones(2, 100), RATE, 12, 5)


def test_columns_are_as_loud_as_librosa_says():
    import librosa

    for samples in (2048, 5000, 22050):
        y = np.random.default_rng(samples).normal(size=samples).astype(np.float32)
        wanted = librosa.feature.rms(y=y, frame_length=2048, hop_length=HOP_LENGTH)[0]
        np.testing.assert_allclose(_rms(y), wanted, rtol=1e-5)


def test_loudness_and_mel_pictures_do_without_librosa():
    """Its import compiles numba for seconds."""
    code = (
        "import sys, torch; from soundguide_core.audio.features import loudness; "
        "from soundguide_core.pipelines.hearing import log_mel_of; from soundguide_core.audio.mel import RELEASED; "
        "loudness(torch.rand(22050), 22050, 12.0, 12); log_mel_of(torch.rand(22050), 22050, RELEASED); "
        "assert not {'librosa', 'numba'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
