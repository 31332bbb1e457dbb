from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

import tolerances as tol
from soundguide_core.flow.optical_flow import Flow, visible
from soundguide_core.metrics.warp_error import warp_error

SIZE = 24


@pytest.fixture
def rolled() -> tuple[torch.Tensor, Flow]:
    """Three frames, each three pixels to the right of the last, and their exact flow."""
    img = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)) * 2 - 1
    frames = torch.cat([img.roll(3 * i, dims=3) for i in range(3)])
    fw = torch.tensor([3.0, 0.0]).view(1, 2, 1, 1).expand(2, 2, SIZE, SIZE)
    return frames, Flow(fw, -fw, visible(fw, -fw), visible(-fw, fw))


def test_movement_is_no_error_and_flicker_is(rolled):
    frames, flow = rolled
    assert warp_error(frames, flow).max() < 1e-10
    flicker = warp_error(frames + torch.tensor([0.0, 0.2, 0.2]).view(3, 1, 1, 1), flow)
    assert flicker.tolist() == pytest.approx([0.01, 0.0], abs=tol.FLOAT32)  # 0.2 of -1..1 is 0.1 of 0..1


def test_by_hand(rolled):
    frames, flow = rolled
    frames = frames + 0.3 * torch.randn(frames.shape, generator=torch.Generator().manual_seed(1))
    pictures = (frames.numpy().astype(np.float64) + 1) / 2
    errors = []
    for before, after in pairwise(pictures):
        differences = [
            (before[:, row, column] - after[:, row, column + 3]) ** 2
            for row in range(SIZE)
            for column in range(SIZE - 3)  # the rest has left the picture
        ]
        errors.append(np.mean(differences))
    assert warp_error(frames, flow).tolist() == pytest.approx(errors, rel=tol.PARITY)


def test_where_nothing_is_seen_and_where_there_are_no_pairs():
    still, hidden = torch.zeros(1, 2, 4, 4), torch.zeros(1, 1, 4, 4)
    assert warp_error(torch.rand(2, 3, 4, 4), Flow(still, still, hidden, hidden)).tolist() == [0]
    assert warp_error(torch.rand(1, 3, 4, 4), Flow(still, still, hidden, hidden)[1:]).shape == (0,)
