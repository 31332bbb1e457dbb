from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from soundguide_core.audio.bands import band_loudness
from soundguide_core.audio.curve_config import BANDS
from soundguide_core.common.errors import InputError
from soundguide_core.pipelines.recording import CURVES, Recording, feature_curve

RATE = 32000


def tone(hz: float, seconds: float, gain: float = 0.5) -> torch.Tensor:
    return gain * torch.sin(2 * math.pi * hz * torch.arange(int(seconds * RATE)) / RATE)


@pytest.mark.parametrize("band", BANDS)
def test_a_tone_is_heard_in_its_band_alone(band):
    low, high = BANDS[band]
    fade = torch.hann_window(RATE).clamp(max=0.5) * 2  # a click would sound in every band
    wave = torch.cat([tone(math.sqrt(low * high), 1.0) * fade, torch.zeros(RATE)])
    found = {name: band_loudness(wave, RATE, 10.0, 20, name) for name in BANDS}
    assert found[band][3:7].min() > 0.98 and found[band][11:].max() == 0
    order = list(BANDS)
    for other in order:  # a window of 64 ms leaves 50 dB less in the next band to a tone of 55 Hz
        assert abs(order.index(other) - order.index(band)) <= (band == "bass") or found[other].max() == 0, other


def test_ten_decibels_less_are_half_as_many_sones():
    wave = torch.cat([tone(300, 1.0), tone(300, 1.0, 0.5 / 10**0.5)])
    recording = Recording.of_wave(wave, RATE)
    for name in ("loudness", "low mids"):
        decibels = feature_curve(recording, name, 10.0, law="decibels")
        sones = feature_curve(recording, name, 10.0, law="sones")
        assert abs(decibels[15] - (1 - 10 / 60)) < 0.01 and abs(sones[15] - 0.5) < 0.02
        assert abs(sones[5] - 1) < 0.02


def test_silence_is_zero_in_every_curve_and_law():
    recording = Recording.of_wave(torch.zeros(RATE), RATE)
    for name in CURVES:
        for law in ("sones", "decibels"):
            assert not feature_curve(recording, name, 10.0, law=law).any()


def test_blocks_of_a_long_sound_meet(monkeypatch):
    from soundguide_core.audio import bands

    wave = torch.randn(3 * RATE, generator=torch.Generator().manual_seed(0))
    whole = band_loudness(wave, RATE, 24.0, 72, "mids")
    monkeypatch.setattr(bands, "BLOCK", 5000)
    assert np.allclose(band_loudness(wave, RATE, 24.0, 72, "mids"), whole, atol=1e-6)


def test_a_curve_that_is_not_there_is_named():
    with pytest.raises(InputError, match="joy"):
        feature_curve(Recording.of_wave(torch.ones(RATE), RATE), "joy", 10.0)
