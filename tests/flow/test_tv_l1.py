"""TV-L1 of many pairs at once against scikit-image's, a pair at a time.

In float64, for roundings decide on which side of a threshold a vector falls: differences of 1e-16 grow to 1e-5.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import tolerances as tol
from soundguide_core.flow.tv_l1 import AT_ONCE, TVL1Settings, enlarged, halved, tv_l1

SETTINGS = TVL1Settings()


def moved(h: int, w: int, *steps: tuple[float, float]) -> tuple[torch.Tensor, torch.Tensor]:
    """A texture [B,H,W] in 0..1, and the same moved by so many pixels down and right."""
    rng = torch.Generator().manual_seed(0)
    texture = torch.rand(1, 1, h // 4 + 2, w // 4 + 2, generator=rng)
    texture = F.interpolate(texture, (h + 16, w + 16), mode="bicubic", antialias=True).clamp(0, 1)
    ys, xs = torch.meshgrid(torch.arange(h) + 8.0, torch.arange(w) + 8.0, indexing="ij")

    def at(y: float, x: float) -> torch.Tensor:
        grid = torch.stack([2 * (xs - x) / (w + 15) - 1, 2 * (ys - y) / (h + 15) - 1], dim=-1)
        return F.grid_sample(texture, grid[None], align_corners=True)[0]

    return torch.cat([at(0, 0)] * len(steps)), torch.cat([at(*step) for step in steps])


@pytest.mark.parametrize("h, w", [(64, 112), (45, 37), (16, 21), (130, 70)])
def test_it_gives_scikit_images_flow(h, w):
    theirs = pytest.importorskip("skimage.registration").optical_flow_tvl1
    img, target = (x.double() for x in moved(h, w, (0, 0), (0.4, -1.3), (3, 5), (-6, 0)))
    how = {"attachment": SETTINGS.attachment, "num_warp": SETTINGS.warps, "tol": SETTINGS.tolerance}
    expected = [theirs(a.numpy(), b.numpy(), **how, dtype=np.float64)[::-1] for a, b in zip(img, target)]
    assert np.allclose(tv_l1(img, target), np.stack(expected), atol=tol.PARITY)


def test_a_level_down_and_up_are_scikit_images():
    transform = pytest.importorskip("skimage.transform")
    utils = pytest.importorskip("skimage.registration._optical_flow_utils")
    img = moved(37, 50, (0, 0))[0]
    expected = transform.pyramid_reduce(img[0].numpy(), 2, channel_axis=None)
    assert np.allclose(halved(img[None])[0, 0], expected, atol=tol.FLOAT32_SUM)
    flow = torch.randn(2, 2, 19, 25, generator=torch.Generator().manual_seed(0))
    for each, larger in zip(flow, enlarged(flow, 37, 50)):
        expected = utils._resize_flow(each.flip(0).numpy(), (37, 50))[::-1]
        assert np.allclose(larger, expected, atol=tol.FLOAT32_SUM)


def test_each_pair_is_by_itself():
    """One that ends early, and one beside which there is no room, are what they are alone."""
    img, target = (x.double() for x in moved(64, 112, (0, 0), (2, 1), (0, 0.2), (-4, 3)))
    found = tv_l1(img, target)
    alone = torch.cat([tv_l1(a, b) for a, b in zip(img.split(1), target.split(1))])
    assert torch.allclose(found, alone, atol=tol.PARITY)
    assert found[0].abs().max() < tol.FLOAT64_SUM
    many = -(-AT_ONCE // img[0].numel()) + 1
    repeated = tv_l1(img[1:2].repeat(many, 1, 1), target[1:2].repeat(many, 1, 1))
    assert len(repeated) == many and torch.allclose(repeated, found[1:2].expand_as(repeated), atol=tol.PARITY)


def test_a_moved_texture_is_found():
    for step in ((0.5, -1.5), (2, 1)):
        img, target = moved(64, 80, step)
        inside = tv_l1(img, target)[0, :, 12:-12, 12:-12]
        assert (inside - torch.tensor(step[::-1]).view(2, 1, 1)).abs().median() < 0.1
