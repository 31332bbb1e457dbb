from __future__ import annotations

import numpy as np
import pytest
import torch

import tolerances as tol
from soundguide_core.common.errors import InputError
from soundguide_core.metrics.frechet import frechet_distance, window_features


def samples(count: int, mean: float, spread: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, spread, size=(count, 5))


def test_zero_for_the_same_and_symmetric():
    a, b = samples(60, 0, 1, 0), samples(50, 0.4, 2, 1)
    assert frechet_distance(a, a) == pytest.approx(0, abs=tol.FLOAT64_SUM)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=tol.FLOAT64_SUM)


def test_by_scipys_matrix_root():
    from scipy.linalg import sqrtm

    mix = np.random.default_rng(3).normal(size=(5, 5))
    a, b = samples(60, 0, 1, 0) @ mix, samples(50, 0.4, 2, 1)
    one, other = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    difference = a.mean(0) - b.mean(0)
    expected = difference @ difference + np.trace(one + other - 2 * sqrtm(one @ other).real)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=tol.FLOAT32)


def test_known_value_of_normal_samples():
    a, b = samples(200_000, 0, 1, 0), samples(200_000, 1, 2, 1)
    assert frechet_distance(a, b) == pytest.approx(5 * (1 + (2 - 1) ** 2), rel=0.02)


def test_fewer_samples_than_dims():
    assert frechet_distance(samples(3, 0, 1, 0), samples(3, 5, 1, 1)) > 50
    assert frechet_distance(np.zeros((4, 1)), np.ones((4, 1))) == pytest.approx(1)
    for bad in (np.zeros((1, 5)), np.zeros((4, 6)), np.zeros(5)):
        with pytest.raises(InputError, match="Fréchet"):
            frechet_distance(samples(4, 0, 1, 0), bad)


def test_windows_by_a_loop():
    embeds = torch.randn(11, 4)
    features = window_features(embeds, 5)
    assert features.shape == (2, 12)
    part = embeds[5:10].double().numpy()
    expected = [*part.mean(0), *part.std(0), *np.abs(part[1:] - part[:-1]).mean(0)]
    assert np.allclose(features[1], expected)
    with pytest.raises(InputError, match="window"):
        window_features(embeds, 12)
