"""Motion that listens: curves over continuous time, and what they do to the codes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tolerances as tol
from soundguide_core.common.errors import InputError
from soundguide_core.generators.sound_motion import SoundCurve, modulation_of, motion_at
from soundguide_core.generators.stylegan_v import Generator, StyleGANVConfig

SIZES = dict(z_dim=8, w_dim=8, channel_base=128, channel_max=8, motion_z_dim=8, motion_u_dim=8, waves=6, fps=12.0)
SECONDS = np.array([0.0, 0.3, 1.7, 2.9])


@pytest.fixture(scope="module")
def listening():
    torch.manual_seed(0)
    return Generator(StyleGANVConfig(16, concat_resolution=8, sound_dim=2, **SIZES)).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def deaf():
    torch.manual_seed(0)
    return Generator(StyleGANVConfig(16, concat_resolution=8, **SIZES)).eval().requires_grad_(False)


def test_curve_between_its_values():
    sound = SoundCurve(np.array([0.0, 1.0, 0.5]), 2.0)
    assert np.allclose(sound.at(np.array([0.0, 0.25, 0.5, 0.75, 1.0, 9.0])), [0, 0.5, 1, 0.75, 0.5, 0.5])


def test_integral_is_that_of_many_small_steps():
    rng = np.random.default_rng(0)
    sound = SoundCurve(rng.random(9), 3.0)
    times = np.sort(rng.uniform(0, 5, 40))  # some beyond the last value
    fine = np.linspace(0, 5, 500_001)
    summed = np.concatenate([[0], np.cumsum((sound.at(fine[1:]) + sound.at(fine[:-1])) / 2 * np.diff(fine))])
    assert np.allclose(sound.integral(times), np.interp(times, fine, summed), atol=tol.FLOAT32_SUM)


def test_a_closed_curve_returns():
    sound = SoundCurve(np.linspace(0.2, 0.9, 40), 10.0).looped(3.0)
    first, late, last = sound.at(np.array([0.0, 2.0, 3.0]))
    assert first == pytest.approx(last) and late == pytest.approx(0.2 + 0.7 * 20 / 39, abs=0.02)
    assert np.abs(np.diff(sound.at(np.linspace(0, 3, 100)))).max() < 0.1


@pytest.mark.parametrize("drive", ["amplitude", "speed"])
def test_silence_is_stylegan_v(listening, deaf, drive):
    for generator in (listening, deaf):
        plain = generator.motion_codes(torch.from_numpy(SECONDS * 12)[None], generator.motion_noise([3]))
        assert torch.equal(motion_at(generator, SECONDS, 3), plain)
        silence = motion_at(generator, SECONDS, 3, SoundCurve(np.zeros(30), 10.0, drive))
        assert torch.equal(silence, plain)
        loud = motion_at(generator, SECONDS, 3, SoundCurve(np.ones(30), 10.0, drive, 1.5))
        assert torch.equal(loud[:, 0], plain[:, 0]) and not torch.allclose(loud[:, 1:], plain[:, 1:], atol=tol.HALF)


def test_speed_is_time_further_on(deaf):
    loud = motion_at(deaf, SECONDS, 3, SoundCurve(np.ones(2), 1.0, "speed", 2.0))
    assert torch.allclose(loud, motion_at(deaf, 3 * SECONDS, 3), atol=tol.PARITY)


def test_codes_take_the_curve(listening):
    plain = motion_at(listening, SECONDS, 3)
    matrix = listening.synthesis.motion_encoder.sound.weight / 2**0.5
    curve = np.array([0.0, 0.5])
    moved = motion_at(listening, SECONDS, 3, SoundCurve(curve, 0.5, "codes"))
    level = torch.from_numpy(np.minimum(SECONDS / 4, 0.5)).float()
    assert torch.allclose(moved - plain, (matrix[:, 0] + level[:, None] * matrix[:, 1])[None], atol=tol.FLOAT32_SUM)


@pytest.mark.parametrize("drive", ["codes", "amplitude", "speed"])
def test_loops_close_with_sound(listening, drive):
    sound = SoundCurve(np.random.default_rng(1).random(60), 12.0, drive).looped(2.5)
    times = np.array([0.0, 2.5, 1.0, 3.5, 2.5 - 1e-7])
    v = motion_at(listening, times, 3, sound, 2.5)[0]
    assert (
        torch.equal(v[0], v[1])
        and torch.allclose(v[2], v[3], atol=tol.PARITY)
        and torch.allclose(v[4], v[0], atol=tol.HALF)
    )


def test_drives(listening, deaf):
    curve = np.ones(3)
    assert (
        modulation_of(SoundCurve(curve, 1.0), listening) == "codes"
        and modulation_of(SoundCurve(curve, 1.0), deaf) == "speed"
    )
    with pytest.raises(InputError, match="have not learned"):
        modulation_of(SoundCurve(curve, 1.0, "codes"), deaf)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (dict(curve=np.zeros((2, 2)), rate=1.0), "not a row"),
        (dict(curve=np.array([np.nan]), rate=1.0), "not a row"),
        (dict(curve=np.ones(2), rate=0.0), "rate"),
        (dict(curve=np.ones(2), rate=1.0, drive="hue"), "cannot modulate"),
        (dict(curve=np.ones(2), rate=1.0, strength=-1.0), "strength"),
    ],
)
def test_sounds_that_cannot_be(values, message):
    with pytest.raises(InputError, match=message):
        SoundCurve(**values)


def test_names_of_version_0_1():
    import soundguide_core as sg

    assert sg.Sound is SoundCurve and sg.sound_of is sg.sound_curve
    assert SoundCurve(np.ones(2), 1.0, drive="speed").modulate == "speed"
