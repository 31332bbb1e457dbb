from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import tolerances as tol
from soundguide_core.generators.lowpass import downsample, lowpass_filter, upsample


def zero_inserted(x: np.ndarray, kernel: np.ndarray, factor: int, before: int, size: int) -> np.ndarray:
    """One row the long way: zeros between samples, zeros before, a convolution."""
    sparse = np.zeros(len(x) * factor)
    sparse[::factor] = x
    padded = np.concatenate([np.zeros(before), sparse, np.zeros(2 * len(kernel))])
    return np.convolve(padded, kernel * factor, mode="valid")[:size]


@pytest.mark.parametrize(("factor", "before", "size"), [(2, 9, 20), (4, 20, 41), (1, 5, 12)])
def test_upsampling_is_zero_insertion_and_a_filter(factor, before, size):
    rng = np.random.RandomState(0)
    kernel, rows, columns = rng.randn(6 * factor), rng.randn(12), rng.randn(12)
    x = torch.from_numpy(np.outer(rows, columns))[None, None].expand(2, 3, -1, -1)
    expected = [zero_inserted(line, kernel, factor, before, size) for line in (rows, columns)]
    y = upsample(x, torch.from_numpy(kernel), factor, before, size)
    assert y.shape == (2, 3, size, size)
    assert torch.allclose(y, torch.from_numpy(np.outer(*expected)).expand(2, 3, -1, -1))


@pytest.mark.parametrize("radial", [False, True])
def test_downsampling_is_a_filter_and_decimation(radial):
    rng = np.random.RandomState(0)
    kernel = rng.randn(4)
    x = torch.from_numpy(rng.randn(1, 2, 11, 11))
    given = np.outer(kernel, kernel) if radial else kernel
    y = downsample(x, torch.from_numpy(given), 2)
    rows = np.apply_along_axis(lambda line: np.convolve(line, kernel, mode="valid")[::2], 2, x.numpy())
    both = np.apply_along_axis(lambda line: np.convolve(line, kernel, mode="valid")[::2], 3, rows)
    assert y.shape == (1, 2, 4, 4) and torch.allclose(y, torch.from_numpy(both))


def response(kernel: np.ndarray, u: float, v: float, rate: float) -> float:
    """Gain for a wave of u, v cycles per image width."""
    at = (np.arange(len(kernel)) - (len(kernel) - 1) / 2) / rate
    return float((kernel * np.cos(2 * math.pi * (u * at + v * at[:, None]))).sum())


def test_a_radial_filter_treats_all_directions_alike():
    kernel = lowpass_filter(24, 8.0, 8.0, 64, radial=True).double().numpy()
    assert kernel.shape == (24, 24) and abs(kernel.sum() - 1) < 1e-6
    for f in (4.0, 8.0, 12.0):
        straight, diagonal = response(kernel, f, 0, 64), response(kernel, f / math.sqrt(2), f / math.sqrt(2), 64)
        assert abs(straight - diagonal) < 0.02
    assert response(kernel, 2.0, 0, 64) > 0.95 and abs(response(kernel, 20.0, 0, 64)) < 0.05


def test_a_separable_filter_passes_below_its_cutoff_and_stops_above():
    kernel = lowpass_filter(24, 8.0, 8.0, 64).double().numpy()
    gains = [response(np.outer(kernel, kernel), f, 0, 64) for f in (0.0, 3.0, 8.0, 13.0, 30.0)]
    assert gains[0] == pytest.approx(1, abs=tol.FLOAT32) and gains[1] > 0.98
    assert gains[2] == pytest.approx(0.5, abs=0.02) and max(map(abs, gains[3:])) < 0.02
