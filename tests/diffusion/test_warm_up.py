"""Looks that add up against the formula, on a Gaussian whose denoiser is linear, and when there are any."""

from __future__ import annotations

import math

import pytest
import torch

import tolerances as tol
from soundguide_core.diffusion.guidance import gradient
from soundguide_core.diffusion.levels import Level, When
from soundguide_core.diffusion.rules import RULES
from soundguide_core.diffusion.warm_up import WarmUp, look_repeatedly

RNG = torch.Generator().manual_seed(0)
LEVEL = Level.of_ve(1.5)
FACTOR = torch.randn(12, 12, generator=RNG, dtype=torch.float64)
K = torch.linalg.inv(torch.eye(12, dtype=torch.float64) + torch.linalg.inv(FACTOR @ FACTOR.T) * LEVEL.noise**2)
TARGET = torch.randn(3, 3, 2, 2, generator=RNG, dtype=torch.float64)


def look(x):
    """E[x0 | x], x0 ~ N(0, FACTOR FACTOR^T), x = x0 + noise eps."""
    return (x.flatten(1) @ K).view_as(x)


def asked(x0):
    return gradient(x0, lambda z: {"sound": (z - TARGET).square().sum(dim=(1, 2, 3))}, {"sound": 1.0}, lead="sound")


def random(*shape):
    return torch.randn(*shape, generator=RNG, dtype=torch.float64)


def test_looks_add_up_in_x():
    x, curve = random(3, 3, 2, 2), torch.tensor([1.0, 0.0, 0.5], dtype=torch.float64)
    found = look_repeatedly(look, x, look(x), asked, LEVEL, 0.2, 4, curve)
    for i in range(3):
        y = x[i].flatten()
        for _ in range(4):
            g = -2 * (y @ K - TARGET[i].flatten())
            y = y + float(curve[i]) * 0.2 * 1.5 * g / g.square().mean().sqrt()
        assert torch.allclose(found[i].flatten(), y @ K, atol=tol.FLOAT64_SUM)


def test_one_look_is_the_rule_look_again_and_none_is_the_estimate():
    x = random(3, 3, 2, 2)
    again = RULES["look again"](look, x, look(x), asked(look(x)).g, LEVEL, 0.2)
    assert torch.equal(look_repeatedly(look, x, look(x), asked, LEVEL, 0.2, 1), again)
    assert torch.equal(look_repeatedly(look, x, look(x), asked, LEVEL, 0.2, 0), look(x))


def test_outside_a_mask_the_estimate_stays():
    x, mask = random(3, 3, 2, 2), torch.zeros(1, 1, 2, 2, dtype=torch.float64)
    mask[..., 0, 1] = 1
    moved = look_repeatedly(look, x, look(x), asked, LEVEL, 0.2, 3, mask=mask) - look(x)
    assert torch.equal(moved * (1 - mask), torch.zeros_like(moved)) and (moved * mask).abs().sum() > 0.1


@pytest.mark.parametrize("first, masked, there", [(1.0, False, False), (1.0, True, True), (0.89, False, True)])
def test_there_is_one_where_a_source_has_decided(first, masked, there):
    shares = [first, 0.8, 0.6, 0.4, 0.2]
    found = [WarmUp().looks_at(When(shares=shares), share, masked) for share in shares]
    assert sum(found) == (18 if there else 0) and found[2:] == [0, 0, 0]
    assert WarmUp().looks_at(When(), first, masked) == 0  # of no known steps none is the first
    later = When(interval=(0.0, 0.7), shares=shares)
    found = [WarmUp(4, until=0.5).looks_at(later, share, masked) for share in (0.6, 0.4, 0.2)]
    assert found == ([3, 1, 0] if there else [0, 0, 0])  # to 0.3: two thirds of the way are at 0.4


@pytest.mark.parametrize("steps", [1, 3, 12, 20, 50])
def test_looks_are_as_many_in_few_steps_as_in_many_and_at_the_same_noise(steps):
    shares = [0.9 * (1 - i / steps) for i in range(steps)]
    warm, when = WarmUp(), When(shares=shares)
    found = [warm.looks_at(when, share) for share in shares]
    assert sum(found) == warm.looks and not any(n for n, share in zip(found, shares) if share <= 0.85 * 0.9)
    if steps >= 20:  # half of them in the first half of the fall
        assert abs(sum(n for n, share in zip(found, shares) if share > 0.925 * 0.9) - 9) <= 3


def test_looks_come_nearer_to_what_is_asked():
    x = random(3, 3, 2, 2)

    def far(x0):
        return math.sqrt((x0 - TARGET).square().mean())

    assert far(look_repeatedly(look, x, look(x), asked, LEVEL, 0.2, 6)) < 0.9 * far(look(x))
