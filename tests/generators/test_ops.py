"""Each operation against a loop, numpy or scipy in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import tolerances as tol
from soundguide_core.generators import ops


def upfirdn_numpy(x: np.ndarray, taps, up: int, down: int, pad: tuple[int, int], gain: float) -> np.ndarray:
    """One channel [H,W], by the definition."""
    from scipy.signal import convolve2d

    kernel = np.outer(taps, taps).astype(np.float64)
    kernel *= gain / kernel.sum()
    spread = np.zeros([x.shape[0] * up, x.shape[1] * up])
    spread[::up, ::up] = x
    before, after = pad
    spread = np.pad(spread, [(max(before, 0), max(after, 0))] * 2)
    inside = tuple(slice(max(-before, 0), size - max(-after, 0)) for size in spread.shape)
    return convolve2d(spread[inside], kernel, mode="valid")[::down, ::down]


@pytest.mark.parametrize(
    ("taps", "up", "down", "pad", "gain"),
    [
        ((1, 3, 3, 1), 2, 1, (2, 1), 4.0),
        ((1, 3, 3, 1), 1, 2, (1, 1), 1.0),
        ((1, 3, 3, 1), 1, 1, (2, 1), 1.0),
        ((1, 2, 7), 3, 2, (4, 0), 2.5),  # asymmetric taps: a correlation would differ
        ((1, 2), 1, 1, (-1, 2), 1.0),
    ],
)
def test_upfirdn2d(taps, up, down, pad, gain):
    x = torch.randn(2, 3, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = ops.upfirdn2d(x, taps, up=up, down=down, pad=pad, gain=gain)
    for b in range(2):
        for c in range(3):
            expected = upfirdn_numpy(x[b, c].numpy(), taps, up, down, pad, gain)
            assert np.abs(y[b, c].numpy() - expected).max() < 1e-12


def test_upsample2d_is_the_filter():
    x = torch.randn(2, 3, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(ops.upsample2d(x), ops.upfirdn2d(x, up=2, pad=(2, 1), gain=4), atol=tol.FLOAT64)


@pytest.mark.parametrize("kernel", [1, 3])
def test_conv2d_down(kernel):
    """The filter first, at full size; then the convolution, of which every other sample stays."""
    rng = torch.Generator().manual_seed(kernel)
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64, generator=rng)
    weight = torch.randn(4, 3, kernel, kernel, dtype=torch.float64, generator=rng)
    if kernel == 1:
        expected = F.conv2d(ops.upfirdn2d(x, down=2, pad=(1, 1)), weight)
    else:
        expected = F.conv2d(ops.upfirdn2d(x, pad=(2, 2)), weight)[:, :, ::2, ::2]
    assert torch.allclose(ops.conv2d_down(x, weight), expected, atol=tol.FLOAT64)


def test_conv2d_up():
    """A true convolution with the stored kernel of the zero-inserted image, then the filter."""
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64, generator=rng)
    weight = torch.randn(3, 2, 3, 3, dtype=torch.float64, generator=rng)
    spread = torch.zeros(1, 2, 7, 7, dtype=torch.float64)
    spread[:, :, ::2, ::2] = x
    full = F.conv2d(spread, weight.flip(2, 3), padding=2)  # [1,3,9,9]
    assert torch.allclose(ops.conv2d_up(x, weight), ops.upfirdn2d(full, pad=(1, 1), gain=4), atol=tol.FLOAT64)


def modulated_loop(x, weight, style, demodulate):
    """Section 2.2 by indices, float64, 3x3, without resampling."""
    x, weight, style = x.double().numpy(), weight.double().numpy(), style.double().numpy()
    batch, size_in, height, width = x.shape
    padded = np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1)])
    y = np.zeros([batch, len(weight), height, width])
    for b in range(batch):
        for o in range(len(weight)):
            kernel = np.stack([style[b, i] * weight[o, i] for i in range(size_in)])
            if demodulate:
                kernel = kernel / math.sqrt((kernel**2).sum() + 1e-8)
            for h in range(height):
                for w in range(width):
                    y[b, o, h, w] = (padded[b, :, h : h + 3, w : w + 3] * kernel).sum()
    return torch.from_numpy(y)


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("demodulate", [False, True])
def test_modulated_conv2d_is_the_equation(grouped, demodulate):
    rng = torch.Generator().manual_seed(0)
    x, weight = torch.randn(2, 3, 4, 5, generator=rng), torch.randn(4, 3, 3, 3, generator=rng)
    style = torch.randn(2, 3, generator=rng) + 1
    y = ops.modulated_conv2d(x, weight, style, demodulate=demodulate, grouped=grouped)
    assert (y - modulated_loop(x, weight, style, demodulate)).abs().max() < 1e-5


@pytest.mark.parametrize(("up", "kernel"), [(False, 1), (False, 3), (True, 3)])
def test_both_forms_and_their_gradients_are_equal(up, kernel):
    rng = torch.Generator().manual_seed(1)
    leaves = [
        torch.randn(3, 5, 8, 8, generator=rng),
        torch.randn(7, 5, kernel, kernel, generator=rng),
        torch.randn(3, 5, generator=rng),
    ]
    results = []
    for grouped in (False, True):
        x, weight, style = (leaf.clone().requires_grad_(True) for leaf in leaves)
        y = ops.modulated_conv2d(x, weight, style, up=up, grouped=grouped)
        results.append([y.detach(), *torch.autograd.grad(y.sin().sum(), [x, weight, style])])
    for a, b in zip(*results):
        assert torch.allclose(a, b, atol=2e-4, rtol=tol.PARITY)


def test_act_by_hand():
    x = torch.tensor([[-2.0, 0.5, 100.0]])
    y = ops.act(x, gain=0.5, clamp=4.0)
    assert torch.allclose(y, torch.tensor([[-0.2 * math.sqrt(2), 0.25 * math.sqrt(2), 2.0]]))


def test_fully_connected_learns_slower_by_lr_mul_but_means_the_same():
    rng = torch.Generator().manual_seed(0)
    layer = ops.FullyConnected(6, 4, lr_mul=0.01, bias=0.0)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(4, 6, generator=rng) / 0.01)
        layer.bias.copy_(torch.randn(4, generator=rng))
    x = torch.randn(3, 6, generator=rng)
    expected = x.double() @ (layer.weight.double() * 0.01 / math.sqrt(6)).T + layer.bias.double() * 0.01
    assert (layer(x) - expected).abs().max() < 1e-5


def test_rms_norm():
    x = torch.randn(4, 32, generator=torch.Generator().manual_seed(0)) * 7
    assert torch.allclose(ops.rms_norm(x).square().mean(1), torch.ones(4), atol=tol.FLOAT32_SUM)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_operations_keep_the_dtype_of_their_input(dtype):
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)).to(dtype)
    weight = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(1))
    y = ops.modulated_conv2d(x, weight, torch.ones(2, 3), up=True)
    assert y.dtype == dtype
    assert ops.Conv2d(3, 4, 3, down=True)(x).dtype == dtype
