from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
import torch

from soundguide_core.audio import steady_hearing as sh

FPS = 12.0


def log_p(frames: int, kinds: int = 3, seed: int = 0) -> torch.Tensor:
    rows = torch.randn(frames, kinds, generator=torch.Generator().manual_seed(seed))
    return (3 * rows).log_softmax(dim=1)


def whole(rows: torch.Tensor, reach: int, size: int) -> torch.Tensor:
    return torch.cat(list(sh._smoothed(iter(rows.split(size)), FPS, reach)))


def test_it_is_the_sum_over_every_row_of_kinds():
    """Against the definition: all paths of kinds through five frames, weighed by their transitions and likelihoods."""
    rows = log_p(5)
    change = 1 / (sh.STAY_SEC * FPS)
    step = np.where(np.eye(3, dtype=bool), 1 - change, change / 2)
    e = np.exp(rows.double().numpy() / (sh.ALIKE_SEC * FPS))
    for reach in (2, 4):
        found = whole(rows, reach, 5).numpy()
        for t in range(5):
            last, p = min(t + reach, 4), np.zeros(3)
            for path in product(range(3), repeat=last + 1):
                weight = np.prod([e[i, k] for i, k in enumerate(path)])
                p[path[t]] += weight * np.prod([step[j, k] for j, k in pairwise(path)])
            assert found[t] == pytest.approx(p / p.sum(), abs=1e-9)


def test_parts_do_not_change_it():
    rows = log_p(50)
    found = whole(rows, 9, 50)
    for size in (1, 7, 16):
        assert torch.allclose(whole(rows, 9, size), found, atol=1e-9)
    logs = [torch.cat(list(sh.decided(iter(rows.split(size)), FPS, 9))) for size in (3, 50)]
    assert logs[0].shape == (50, 3) and torch.allclose(*logs, atol=1e-5)
    assert torch.allclose(logs[0].exp().sum(dim=1), torch.ones(50), atol=1e-5)


def test_a_change_is_seen_where_it_is_and_a_slip_is_not():
    rows = torch.full((96, 2), 0.1)
    rows[:48, 0] = rows[48:, 1] = 0.9
    rows[20:26] = torch.tensor([0.3, 0.7])  # half a second in which the other seems likelier
    p = torch.cat(list(sh.decided(iter(rows.log().split(16)), FPS, 36))).exp()
    assert (p[:46, 0] > 0.5).all() and (p[50:, 1] > 0.5).all()
    assert p[47:49, 1].mean() == pytest.approx(0.5, abs=0.1)
    assert p[18:28, 0].min() > 0.95


def test_a_part_amid_its_neighbours():
    rows = torch.arange(20.0)[:, None]
    seen = []
    for held, first, count in sh.amid(iter(rows.split(6)), 2, 3):
        part = held[first : first + count]
        seen.append(part)
        at = int(part[0])
        assert first == min(at, 2) and (len(held) - first - count >= 3 or held[-1] == 19)
    assert [len(part) for part in seen] == [6, 6, 6, 2] and torch.equal(torch.cat(seen), rows)
    assert list(sh.amid(iter(()), 2, 3)) == []


def test_a_mean_over_neighbours():
    rows = torch.rand(9, 2, generator=torch.Generator().manual_seed(0))
    found = torch.cat(list(sh.averaged(iter(rows.split(4)), 2)))
    for i in range(9):
        weights = {j: np.cos(np.pi / 2 * (j - i) / 3) ** 2 for j in range(9) if abs(j - i) <= 2}
        mean = sum(w * rows[j] for j, w in weights.items()) / sum(weights.values())
        assert torch.allclose(found[i], mean.float(), atol=1e-6)
    assert torch.allclose(torch.cat(list(sh.averaged(iter(rows.split(4)), 0))), rows)
