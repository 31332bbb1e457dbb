"""The released code's departures, each computed another way."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from soundguide_core.flow.optical_flow import Flow
from soundguide_core.losses import editing, released_editing


def test_ramp_counts_steps_up_to_fifty():
    levels = torch.linspace(0, 999, 100).round().int().flip(0).tolist()  # of 100 steps
    for k, t in enumerate(levels, start=1):
        assert released_editing.ramp(t, 1000, 100, 0) == pytest.approx(min(1, k / 50))
    assert released_editing.ramp(levels[5], 1000, 100, 5) == pytest.approx(1 / 50)


def test_flow_has_its_directions_swapped_and_sees_the_mask_alone():
    """A square that moves by 2: the published pairing is exact, the released one is not."""
    img = torch.rand(1, 3, 12, 16, generator=torch.Generator().manual_seed(0))
    imgs = torch.cat([img, img.roll(2, dims=3)])
    right, left = torch.zeros(1, 2, 12, 16), torch.zeros(1, 2, 12, 16)
    right[:, 0], left[:, 0] = 2, -2
    seen = torch.zeros(1, 1, 12, 16)
    seen[..., 4:-4] = 1
    flow = Flow(right, left, seen, seen)
    mask = torch.zeros(2, 1, 12, 16)
    mask[..., 4:-4] = 1
    assert float(editing.flow_distance(imgs, flow)) < 1e-9
    x = imgs * mask
    ahead, back = F.pad(x[:1, ..., 2:], (0, 2)), F.pad(x[1:, ..., :-2], (2, 0))  # warp(x_0, fw), warp(x_1, bw)
    expected = (x[1:] - ahead).square().mean() + (x[:1] - back).square().mean()
    found = released_editing.flow_distance(imgs, flow, mask)
    assert float(found) == pytest.approx(float(expected), rel=0.05) and float(found) > 0.01


def test_the_first_frame_is_left_out():
    assert released_editing.without_first(torch.tensor([1.0, 2.0, 3.0])).tolist() == [0, 2, 3]
