from __future__ import annotations

import numpy as np
import torch

import tolerances as tol
from soundguide_core.metrics.detail import change_outside, gradient_correlation, octave_gains, relief


def picture(seed: int = 0) -> torch.Tensor:
    """[1,3,64,96] with contrast at every scale."""
    rng = torch.Generator().manual_seed(seed)
    parts = [torch.rand(1, 3, 8 * 2**k, 12 * 2**k, generator=rng) for k in range(4)]
    return sum(torch.nn.functional.interpolate(x, (64, 96), mode="bilinear") for x in parts) / 2 - 1


def test_a_picture_of_half_the_contrast_has_half_the_gain_everywhere():
    img = picture()
    assert torch.allclose(octave_gains(0.5 * img + 0.2, img), torch.full((3,), 0.5), atol=tol.FLOAT32_SUM)
    assert abs(relief(0.5 * img, img) - 1) < tol.PARITY and abs(relief(-img, img)) > 1


def test_a_relief_has_lost_the_coarse_octaves():
    img = picture()
    coarse = torch.nn.functional.interpolate(img, (32, 48), mode="bilinear", antialias=True)
    embossed = img - torch.nn.functional.interpolate(coarse, (64, 96), mode="bilinear")
    assert relief(embossed, img) > 3 and octave_gains(embossed, img).diff().min() > 0


def test_gradients_against_a_loop():
    img, other = picture().double(), picture(1).double()
    luma = np.array([0.2126, 0.7152, 0.0722])
    a, b = (np.tensordot(luma, x[0].numpy(), 1) for x in (img, other))
    products = lengths_a = lengths_b = 0.0
    for i in range(64):
        for j in range(96):
            for di, dj in ((0, 1), (1, 0)):
                if i + di < 64 and j + dj < 96:
                    ga, gb = a[i + di, j + dj] - a[i, j], b[i + di, j + dj] - b[i, j]
                    products, lengths_a, lengths_b = products + ga * gb, lengths_a + ga * ga, lengths_b + gb * gb
    expected = products / np.sqrt(lengths_a * lengths_b)
    assert abs(float(gradient_correlation(img, other)[-1]) - expected) < tol.FLOAT64_SUM
    assert torch.allclose(gradient_correlation(0.3 * img - 0.1, img), torch.ones(3).double())
    assert torch.allclose(gradient_correlation(-img, img), -torch.ones(3).double())


def test_only_the_mask_counts():
    img, edited = picture(), picture()
    edited[..., 48:] = -edited[..., 48:]
    mask = torch.zeros(1, 1, 64, 96)
    mask[..., :40] = 1
    assert torch.allclose(gradient_correlation(edited, img, mask), torch.ones(3), atol=tol.FLOAT32_SUM)
    assert change_outside(edited, img, mask) > 0.1
    assert change_outside(edited, img, mask * 0 + (torch.arange(96) >= 48).float()) == 0
