from __future__ import annotations

import numpy as np
import pytest

import tolerances as tol
from soundguide_core.audio import shaping
from soundguide_core.audio.curve_config import ABOVE, CUT, EASINGS, GATES, OPEN, CurveShape
from soundguide_core.common.errors import InputError

RNG = np.random.default_rng(0)
NOISE = RNG.random(200)


def test_a_shape_of_defaults_changes_nothing():
    assert np.array_equal(shaping.shape_curve(NOISE, 12.0, CurveShape()), NOISE)


def test_gates():
    x = np.array([0.0, 0.2, 0.5, 0.75, 1.0])
    assert shaping.gated(x, CUT, 0.5).tolist() == [0, 0, 0.5, 0.75, 1]
    assert shaping.gated(x, ABOVE, 0.5).tolist() == [0, 0, 0, 0.5, 1]
    assert shaping.gated(x, OPEN, 0.5).tolist() == [0, 0, 1, 1, 1]
    for gate in GATES:
        assert shaping.gated(x, gate, 1.0).min() >= 0 and shaping.gated(x, gate, 1.0).max() <= 1


@pytest.mark.parametrize("easing", EASINGS)
def test_an_easing_keeps_both_ends_and_the_order(easing):
    y = shaping.EASED[easing](np.linspace(0, 1, 101))
    assert y[0] == 0 and y[-1] == 1 and (np.diff(y) >= 0).all()


def test_a_rise_takes_the_attack_and_a_fall_the_release_after_the_hold():
    step = np.concatenate([np.zeros(5), np.ones(10), np.zeros(40)])
    y = shaping.slowed(step, 10.0, attack=0.5, hold=0.3, release=1.0)
    assert np.allclose(y[5:10], [0.2, 0.4, 0.6, 0.8, 1.0], atol=tol.FLOAT64)  # half a second, 5 frames
    assert np.allclose(y[10:18], 1) and y[18] < 1  # 5 frames that are loud, 3 that are held
    assert np.allclose(np.diff(y[17:28]), -0.1, atol=tol.FLOAT64) and y[28] == 0


def pulses(at, length=48, decay=0.5):
    x = np.zeros(length)
    for i in at:
        x[i:] = np.maximum(x[i:], decay ** np.arange(length - i))
    return x


def test_every_second_beat_is_kept_with_its_decay():
    x = pulses([4, 12, 20, 28, 36])
    y = shaping.divided(x, 2.0, 0.5)
    assert shaping.beats_of(y, 0.5).tolist() == [4, 20, 36]
    assert np.array_equal(y[4:12], x[4:12]) and not y[12:20].any()


@pytest.mark.parametrize("times", (2, 4))
def test_a_beat_is_repeated_between_itself_and_the_next(times):
    x = pulses([4, 12, 20, 28, 36], decay=0.3)
    found = shaping.beats_of(shaping.divided(x, 1 / times, 0.9), 0.9)
    assert found.tolist() == [i for i in range(4, 48, 8 // times)]


def test_a_curve_without_beats_is_left_alone():
    assert np.array_equal(shaping.divided(np.full(9, 0.2), 2.0, 0.5), np.full(9, 0.2))


def test_range_and_inversion():
    y = shaping.shape_curve([0.0, 0.25, 1.0], 12.0, CurveShape(invert=True, low=2.0, high=4.0))
    assert y.tolist() == [4.0, 3.5, 2.0]
    y = shaping.shape_curve([5.0, 6.0, 7.0], 12.0, CurveShape(normalise=True))
    assert y.tolist() == [0, 0.5, 1]
    assert shaping.shape_curve([3.0], 12.0, CurveShape(normalise=True)).tolist() == [0]


@pytest.mark.parametrize("values", ([], ["a"], [float("nan")], None, [[1, 2], [3]]))
def test_what_is_no_curve_is_refused(values):
    with pytest.raises(InputError):
        shaping.shape_curve(values, 12.0, CurveShape())


@pytest.mark.parametrize("frames, n, count", ((1, 4, 1), (17, 4, 5), (20, 4, 5), (25, 8, 4), (6, 1, 6)))
def test_latent_frames_hold_the_mean_of_their_pictures(frames, n, count):
    x = RNG.random((frames, 3))
    y = shaping.at_latent_frames(x, n)
    assert y.shape == (count, 3) and np.array_equal(y[0], x[0])
    for t in range(1, count):
        first = 1 + (t - 1) * n
        assert np.allclose(y[t], sum(x[first : first + n]) / n, atol=tol.FLOAT64)


def test_a_schedule_falls_where_the_curve_is_high():
    sigmas = np.linspace(10, 0, 9)
    assert np.allclose(shaping.follow_schedule(sigmas, np.full(30, 0.7)), sigmas, atol=tol.FLOAT64_SUM)
    early = shaping.follow_schedule(sigmas, np.linspace(1, 0, 30))
    assert early[0] == 10 and early[-1] == 0 and (np.diff(early) <= 0).all() and early[4] < sigmas[4]
    assert (np.diff(shaping.follow_schedule(sigmas, NOISE)) < 0).all()
