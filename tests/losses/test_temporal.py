from __future__ import annotations

import numpy as np
import torch

from soundguide_core.losses.temporal import change, change_distance, code_distance


def video(seed: int, size: int = 16) -> torch.Tensor:
    return torch.randn(2, 4, 3, size, size, generator=torch.Generator().manual_seed(seed))


def test_change_by_a_loop():
    frames = video(0)
    a = frames.double().numpy()
    expected = [[np.abs(a[b, f + 1] - a[b, f]).mean() for f in range(3)] for b in range(2)]
    assert np.abs(change(frames).numpy() - expected).max() < 1e-6


def test_change_distance_by_a_loop():
    ours, theirs = video(0), video(1)
    a, b = ours.double().numpy(), theirs.double().numpy()
    expected = np.zeros(2)
    for i in range(2):
        for f in range(3):
            d = (a[i, f + 1] - a[i, f]) - (b[i, f + 1] - b[i, f])
            expected[i] += np.abs(d.reshape(3, 4, 4, 4, 4).mean(axis=(2, 4))).mean() / 3
    assert np.abs(change_distance(ours, theirs).numpy() - expected).max() < 1e-6


def test_what_stands_still_apart_moves_alike():
    frames = video(0)
    assert change_distance(frames + 0.5, frames).abs().max() < 1e-6
    assert change_distance(frames.flip(1), frames).min() > 0.1
    assert change_distance(video(0, 2), video(1, 2)).shape == (2,)


def test_code_distance_by_a_loop():
    ws, mean = torch.randn(3, 4, 5), torch.randn(4, 5)
    expected = [np.mean((w - mean.numpy()) ** 2) for w in ws.numpy()]
    assert np.abs(code_distance(ws, mean).numpy() - expected).max() < 1e-6
