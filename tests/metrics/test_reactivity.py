from __future__ import annotations

import numpy as np
import pytest

import tolerances as tol
from soundguide_core.common.errors import InputError
from soundguide_core.metrics.reactivity import best_lag, reactivity, shuffled, visual_intensity


def curve(count: int = 96, seed: int = 0) -> np.ndarray:
    """Smooth noise."""
    return np.convolve(np.random.default_rng(seed).normal(size=count + 8), np.ones(9) / 9, mode="valid")


def video(intensity: np.ndarray, noise: float = 0.0, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    axis = rng.normal(size=48)
    return rng.normal(size=48) + intensity[:, None] * axis + noise * rng.normal(size=(len(intensity), 48))


def test_what_is_seen_is_the_curve_that_moves_the_pictures():
    intensity = curve()
    for count in (20, 96):  # fewer and more frames than numbers in each
        seen = visual_intensity(video(intensity[:count], noise=0.01))
        assert abs(np.corrcoef(seen, intensity[:count])[0, 1]) > 0.99
    assert (visual_intensity(np.ones((5, 48))) == 0).all()


def test_both_ways_to_the_component_agree():
    x = video(curve(), noise=0.2)
    small = visual_intensity(x[:, :48])
    wide = visual_intensity(np.concatenate([x, np.zeros((len(x), 100))], axis=1))
    assert abs(np.corrcoef(small, wide)[0, 1]) == pytest.approx(1, abs=tol.FLOAT64_SUM)
    assert small.std() == pytest.approx(wide.std(), rel=tol.FLOAT32)


@pytest.mark.parametrize("lag", [-3, 0, 2, 5])
def test_the_lag_is_found(lag):
    loudness = curve(120)
    seen = -np.roll(loudness, lag)[10:110]  # the sign does not matter
    r, found = best_lag(loudness[10:110], seen, 6)
    assert found == lag and r > 0.999


def test_a_following_video_reacts_and_another_does_not():
    loudness = curve()
    following = reactivity(loudness, visual_intensity(video(loudness, noise=0.3)), 12)
    assert following.reacts and following.lag == 0 and following.share == 1.0 and len(following.nulls) == 200
    strangers = [reactivity(loudness, curve(seed=seed), 12).reacts for seed in range(2, 22)]
    assert sum(strangers) <= 2  # one in a hundred by chance, more where both are smooth
    still = reactivity(loudness, np.zeros(96), 12)
    assert (still.correlation, still.lag, still.reacts) == (0.0, 0, False)


def test_nulls_keep_the_sound_and_lose_its_order():
    loudness, rng = curve(), np.random.default_rng(0)
    null = shuffled(loudness, 6, rng)
    assert np.allclose(np.sort(null), np.sort(loudness)) and not np.allclose(null, loudness)
    steps = np.abs(np.diff(null)).mean()
    assert steps < 3 * np.abs(np.diff(loudness)).mean() < np.abs(np.diff(rng.permutation(loudness))).mean()
    a, b = (reactivity(loudness, curve(seed=3), 12, seed=seed) for seed in (0, 0))
    assert a.null_99 == b.null_99


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(InputError, match="meet"):
        reactivity(np.zeros(30), np.zeros(31), 12)
    with pytest.raises(InputError, match="two seconds"):
        reactivity(np.zeros(20), np.zeros(20), 12)
