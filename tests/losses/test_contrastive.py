"""InfoNCE against a loop in float64, with targets, masks and the three terms."""

from __future__ import annotations

import math

import pytest
import torch

import tolerances as tol
from soundguide_core.losses.contrastive import Temperature, alignment, info_nce, sound_terms


def loop(a, b, scale, targets=None, mask=None):
    """(1/N) sum_i (l_i^{a->b} + l_i^{b->a}) written out."""
    n = len(a)
    unit = lambda v: [x / math.sqrt(sum(y * y for y in v)) for x in v]  # noqa: E731
    a, b = [unit(v) for v in a.tolist()], [unit(v) for v in b.tolist()]
    cos = [[sum(x * y for x, y in zip(u, v)) for v in b] for u in a]
    weight = [[float(i == j) for j in range(n)] for i in range(n)] if targets is None else targets.tolist()
    total = 0.0
    for turn in (False, True):
        lines, used = 0.0, 0
        for i in range(n):
            at = [(j, i) if turn else (i, j) for j in range(n)]
            target = [weight[p][q] for p, q in at]
            if not sum(target):
                continue
            used += 1
            seen = [t > 0 or mask is None or not bool(mask[p][q]) for t, (p, q) in zip(target, at)]
            bottom = sum(math.exp(scale * cos[p][q]) for s, (p, q) in zip(seen, at) if s)
            lines -= sum(
                t / sum(target) * math.log(math.exp(scale * cos[p][q]) / bottom) for t, (p, q) in zip(target, at) if t
            )
        total += lines / used
    return total


def pair(n: int = 5, d: int = 7, seed: int = 0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=g, dtype=torch.float64), torch.randn(n, d, generator=g, dtype=torch.float64)


def test_equals_the_loop():
    a, b = pair()
    assert info_nce(a, b, 9.0).item() == pytest.approx(loop(a, b, 9.0), rel=tol.FLOAT64_SUM)


def test_soft_targets_equal_the_loop():
    a, b = pair()
    targets = torch.rand(5, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64).round(decimals=1)
    targets[2] = 0  # a line without an answer is left out
    assert info_nce(a, b, 4.0, targets=targets).item() == pytest.approx(loop(a, b, 4.0, targets), rel=tol.FLOAT64_SUM)


def test_masked_negatives_equal_the_loop():
    a, b = pair()
    labels = torch.tensor([0, 1, 0, 2, 1])
    mask = (labels[:, None] == labels) & ~torch.eye(5, dtype=torch.bool)
    value = info_nce(a, b, 6.0, mask=mask).item()
    assert value == pytest.approx(loop(a, b, 6.0, mask=mask), rel=tol.FLOAT64_SUM)
    assert value < info_nce(a, b, 6.0).item()


def test_gradients():
    a, b = pair(3, 4)
    same = torch.tensor([[1.0, 0, 1], [0, 1, 0], [1, 0, 1]], dtype=torch.float64)
    mask = torch.tensor([[False, True, False], [False, False, False], [True, False, False]])
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    inputs = (a.requires_grad_(), b.requires_grad_(), scale)
    assert torch.autograd.gradcheck(lambda a, b, s: info_nce(a, b, s, targets=same), inputs)
    assert torch.autograd.gradcheck(lambda a, b, s: info_nce(a, b, s, mask=mask), inputs)


def test_chance_is_twice_log_n():
    a = torch.eye(6)
    assert info_nce(a, torch.ones(6, 6), 14.0).item() == pytest.approx(2 * math.log(6), rel=tol.FLOAT32)


def test_temperature_is_true_and_bounded():
    t = Temperature()
    assert t().item() == pytest.approx(1 / 0.07, rel=tol.FLOAT32)
    with torch.no_grad():
        t.log_scale.fill_(10.0)
    assert t().item() == 100.0
    assert sum(p.numel() for p in t.parameters()) == 1


def test_three_terms():
    audio, augmented = pair(seed=1)
    text, image = pair(seed=2)
    terms = sound_terms(audio, augmented, text, image, 5.0)
    expected = {"text": loop(audio, text, 5.0), "self": loop(audio, augmented, 5.0), "image": loop(audio, image, 5.0)}
    expected["alignment"] = float(sum(1 - cosines(a, (b,))[0] for a, b in zip(audio, image)) / 5)
    assert {k: v.item() for k, v in terms.items()} == pytest.approx(expected)


def test_clips_without_a_picture_sit_out():
    audio, augmented = pair(seed=1)
    text, image = pair(seed=2)
    shown = torch.zeros(5, 2, dtype=torch.float64)
    shown[0, 1] = shown[3, 0] = 1
    terms = sound_terms(audio, augmented, text, image[:2], 5.0, shown=shown)
    rows, columns = [0, 3], [1, 0]
    there = sum(-torch.log_softmax(5 * cosines(audio[r], image[:2]), 0)[c] for r, c in zip(rows, columns)) / 2
    back = sum(-torch.log_softmax(5 * cosines(image[c], audio), 0)[r] for r, c in zip(rows, columns)) / 2
    assert terms["image"].item() == pytest.approx((there + back).item())
    nearest = [image[1], text[1], text[2], image[0], text[4]]  # captions for those without a picture
    gap = sum(1 - cosines(a, (b,))[0] for a, b in zip(audio, nearest)) / 5
    assert terms["alignment"].item() == pytest.approx(gap.item())


def test_alignment_is_the_mean_distance_of_what_belongs_together():
    audio, text = pair(seed=3)
    targets = torch.tensor([[1, 0, 1], [0, 0, 0], [0, 2, 0], [0, 0, 0], [0, 0, 1]], dtype=torch.float64)
    text = text[:3]
    expected = (
        (1 - (cosines(audio[0], text)[0] + cosines(audio[0], text)[2]) / 2)
        + (1 - cosines(audio[2], text)[1])
        + (1 - cosines(audio[4], text)[2])
    ) / 3
    assert alignment(audio, text, targets=targets).item() == pytest.approx(expected.item())
    assert alignment(audio, 3 * audio, targets=torch.eye(5).double()).item() == pytest.approx(0, abs=tol.FLOAT64)


def cosines(v, many):
    return torch.stack([v @ u / v.norm() / u.norm() for u in many])
