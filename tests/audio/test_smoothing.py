from __future__ import annotations

import numpy as np
import torch

import tolerances as tol
from soundguide_core.audio import smoothing as sh


def test_a_part_with_its_context():
    rows = torch.arange(20.0)[:, None]
    seen = []
    for held, first, count in sh.with_context(iter(rows.split(6)), 2, 3):
        part = held[first : first + count]
        seen.append(part)
        at = int(part[0])
        assert first == min(at, 2) and (len(held) - first - count >= 3 or held[-1] == 19)
    assert [len(part) for part in seen] == [6, 6, 6, 2] and torch.equal(torch.cat(seen), rows)
    assert list(sh.with_context(iter(()), 2, 3)) == []


def test_a_long_part_is_averaged_in_pieces():
    """100,000 rows at once would want weights of 80 GB."""
    rows = torch.rand(100_000, 1, generator=torch.Generator().manual_seed(0))
    (whole,) = sh.moving_average(iter([rows]), 30)
    assert torch.allclose(whole, torch.cat(list(sh.moving_average(iter(rows.split(999)), 30))), atol=tol.FLOAT32)


def test_a_mean_over_neighbours():
    rows = torch.rand(9, 2, generator=torch.Generator().manual_seed(0))
    found = torch.cat(list(sh.moving_average(iter(rows.split(4)), 2)))
    for i in range(9):
        weights = {j: np.cos(np.pi / 2 * (j - i) / 3) ** 2 for j in range(9) if abs(j - i) <= 2}
        mean = sum(w * rows[j] for j, w in weights.items()) / sum(weights.values())
        assert torch.allclose(found[i], mean.float(), atol=tol.FLOAT32)
    assert torch.allclose(torch.cat(list(sh.moving_average(iter(rows.split(4)), 0))), rows)


def test_the_likeliest_wins():
    p = torch.tensor([[0.6, 0.3, 0.1], [0.0, 0.5, 0.5]])
    assert torch.allclose(sh.sharpen(p, 1), p, atol=tol.FLOAT32)
    assert torch.allclose(sh.sharpen(p, 4), p**4 / (p**4).sum(dim=1, keepdim=True), atol=tol.FLOAT32)
    assert torch.allclose(sh.sharpen(p, 0), torch.full((2, 3), 1 / 3))


def test_kinds_heard_nearby_are_likelier():
    p = torch.rand(30, 3, generator=torch.Generator().manual_seed(0)) + 0.1
    p = p / p.sum(dim=1, keepdim=True)
    found = [torch.cat(list(sh.recording_prior(iter(p.split(size)), 8))) for size in (4, 30)]
    near = torch.cat(list(sh.moving_average(iter([p]), 8)))
    expected = p * near / (p * near).sum(dim=1, keepdim=True)
    assert torch.allclose(found[0], expected, atol=tol.FLOAT32) and torch.allclose(found[1], expected, atol=tol.FLOAT32)
    wavering = torch.tensor([[0.9, 0.1]] * 20 + [[0.45, 0.55]] * 4 + [[0.9, 0.1]] * 20)
    assert (torch.cat(list(sh.recording_prior(iter([wavering]), 20)))[:, 0] > 0.5).all()
    halves = torch.tensor([[0.9, 0.1]] * 20 + [[0.1, 0.9]] * 20)  # as much of one as of the other: both stay
    assert torch.equal(torch.cat(list(sh.recording_prior(iter([halves]), 60))).argmax(dim=1), halves.argmax(dim=1))


def test_a_decision_lasts():
    """A kind that flickers for fewer rows than that is not taken; one that stays is, from its first row on."""
    a, b, c = torch.eye(3) * 0.6 + 0.1
    rows = torch.stack([*[a] * 10, *[b] * 3, *[a] * 9, *[b] * 12, *[c] * 2, *[b] * 4])
    found = [torch.cat(list(sh.held(iter(rows.split(size)), 6))) for size in (1, 5, 40)]
    assert found[0].argmax(dim=1).tolist() == [0] * 22 + [1] * 18 and (found[0].sum(dim=1) == 1).all()
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])  # however it comes in parts


def test_a_decision_yields_early_to_the_overwhelming_alone():
    first, then = torch.tensor([[0.97, 0.02, 0.01]]), torch.tensor([[0.02, 0.97, 0.01]])
    for last, at in (([0.01, 0.02, 0.97], 14), ([0.1, 0.3, 0.6], 16)):
        rows = torch.cat([first.expand(10, -1), then.expand(4, -1), torch.tensor([last]).expand(20, -1)])
        decided = torch.cat(list(sh.held(iter([rows]), 6))).argmax(dim=1).tolist()
        assert decided == [0] * 10 + [1] * (at - 10) + [2] * (34 - at)


def test_decisions_do_not_flip_faster_than_they_last():
    p = torch.rand(400, 4, generator=torch.Generator().manual_seed(0))
    decided = torch.cat(list(sh.held(iter((p / p.sum(dim=1, keepdim=True)).split(7)), 6))).argmax(dim=1)
    turns = (decided[1:] != decided[:-1]).nonzero()[:, 0]
    assert len(turns) > 3 and (turns[1:] - turns[:-1]).min() >= 6
