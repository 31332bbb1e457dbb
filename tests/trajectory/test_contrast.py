"""How much an even sound's small changes show."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from soundguide_core.trajectory.contrast import AROUND_SEC, EVEN_DB, LARGEST, MOST, RANGE_DB, contrast_factors

FPS = 12.0


def curve(swing_db: float, seconds: float = 10) -> np.ndarray:
    """20 dB below the loudest moment, up and down once a second."""
    t = np.arange(round(seconds * FPS)) / FPS
    return 1 - (20 + swing_db * np.sin(2 * np.pi * t)) / 60


def test_against_a_loop():
    loudness = curve(0.8)
    found, reach = contrast_factors(loudness, FPS, 0.7), round(AROUND_SEC * FPS)
    level = loudness * 60
    change = []
    for t in range(len(level)):
        near = [s for s in range(len(level)) if abs(s - t) <= reach]
        weights = [np.cos(np.pi / 2 * (s - t) / (reach + 1)) ** 2 for s in near]
        change.append(level[t] - sum(w * level[s] for w, s in zip(weights, near)) / sum(weights))
    more = min(max(EVEN_DB / np.std(change, ddof=1), 1), MOST)
    wanted = [min(max(1 + 0.7 * (more - 1) * d / RANGE_DB, 1 - LARGEST), 1 + LARGEST) for d in change]
    assert np.allclose(found.numpy(), wanted, atol=1e-3) and found.std() > 0.05


def test_a_lively_sound_stays_as_it_is():
    assert torch.equal(contrast_factors(curve(12.0), FPS, 1.0), torch.ones(120))


@pytest.mark.parametrize("loudness", [np.zeros(30), np.ones(30), np.ones(1), curve(1.0)])
def test_nothing_to_make_larger(loudness):
    assert torch.equal(contrast_factors(loudness, FPS, 0.0), torch.ones(len(loudness)))
    assert torch.isfinite(contrast_factors(loudness, FPS, 4.0)).all()
    assert (contrast_factors(np.zeros(30), FPS, 4.0) == 1).all()
