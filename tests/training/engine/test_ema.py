from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from soundguide_core.training.engine.ema import ema_beta, ema_update


def test_ema_by_the_formula():
    source, ema = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    with torch.no_grad():
        source.weight.copy_(torch.tensor([1.0, -2.0, 0.5]))
    source.num_batches_tracked += 5
    before = ema.weight.double().detach().numpy().copy()
    ema_update(ema, source, 0.9)
    expected = 0.9 * before + 0.1 * source.weight.double().detach().numpy()
    assert np.abs(ema.weight.detach().numpy() - expected).max() < 1e-7
    assert ema.num_batches_tracked == 5


def test_ema_half_life():
    assert ema_beta(32, 10**9, 10_000) ** (10_000 / 32) == pytest.approx(0.5)
    assert ema_beta(32, 2_000, 10_000) ** (100 / 32) == pytest.approx(0.5)  # five per cent of what was seen
