"""The gradient against a loop, and the length of moves, for pictures and for latents."""

from __future__ import annotations

import math

import pytest
import torch

import tolerances as tol
from soundguide_core.common.errors import InputError
from soundguide_core.diffusion.guidance import direction, gradient, move, rms, steep
from soundguide_core.diffusion.levels import Level

RNG = torch.Generator().manual_seed(0)
LEVEL = Level.of_flow(0.6)
SHAPES = [(4, 3, 8, 8), (4, 16, 5, 7), (4, 6)]


def random(*shape):
    return torch.randn(*shape, generator=RNG, dtype=torch.float64)


@pytest.mark.parametrize("shape", SHAPES)
def test_gradient_against_a_loop(shape):
    x0, target = random(*shape), random(*shape)
    curve = torch.tensor([1.0, 0.5, 0.0, 2.0])

    def losses(x):
        return {"a": (x - target).flatten(1).square().sum(dim=1), "b": (x[1:] - x[:-1]).flatten(1).square().sum(dim=1)}

    found = gradient(x0, losses, {"a": 2.0, "b": 3.0}, {"a": curve})
    led = gradient(x0, losses, {"a": 2.0, "b": 3.0}, {"a": curve}, lead="a")
    for i in range(4):
        own = -2 * 2.0 * (x0[i] - target[i])
        others = torch.zeros_like(own)
        if i > 0:
            others += -2 * 3.0 * (x0[i] - x0[i - 1])
        if i < 3:
            others += 2 * 3.0 * (x0[i + 1] - x0[i])
        assert torch.allclose(found.g[i], float(curve[i]) * own + others, atol=tol.FLOAT64_SUM)
        assert torch.allclose(led.g[i], own, atol=tol.FLOAT64_SUM)
        assert led.rest is not None and torch.allclose(led.rest[i], others, atol=tol.FLOAT64_SUM)
    assert not found.terms["a"].requires_grad and found.rest is None


@pytest.mark.parametrize("shape", SHAPES)
def test_a_frame_moves_by_length_share_and_curve(shape):
    curve = torch.tensor([1.0, 0.5, 0.0, 2.0])
    moved = move(1e-3 * random(*shape), LEVEL, 0.3, curve)
    for i in range(4):
        assert math.isclose(moved[i].square().mean().sqrt(), 0.3 * 0.6 * float(curve[i]), abs_tol=tol.FLOAT64)


@pytest.mark.parametrize("side", [1, 2, 8])
def test_inside_a_mask_the_length_does_not_depend_on_its_size(side):
    mask = torch.zeros(4, 1, 8, 8)
    mask[:, :, :side, :side] = 1
    moved = move(random(4, 3, 8, 8), LEVEL, 0.3, mask=mask)
    inside = moved[:, :, :side, :side]
    assert torch.allclose(inside.square().mean(dim=(1, 2, 3)).sqrt(), torch.full([4], 0.18).double(), atol=tol.FLOAT64)
    assert torch.equal(moved * (1 - mask), torch.zeros_like(moved))


def test_an_empty_mask_moves_nothing():
    assert torch.equal(move(random(2, 3, 4, 4), LEVEL, 0.3, mask=torch.zeros(1, 1, 4, 4)), torch.zeros(2, 3, 4, 4))


def test_the_other_terms_keep_their_proportion_and_pull_no_further():
    g, curve = random(3, 3, 4, 4), torch.tensor([0.0, 0.5, 2.0])
    small = direction(g, curve, rest=0.01 * g)
    assert torch.allclose(rms(small).flatten(), (curve + 0.01).clamp(max=2.0).double(), atol=0.02)
    assert torch.allclose(small[0], 0.01 * g[0] / rms(g)[0], atol=tol.FLOAT64)
    large = rms(direction(g, curve, rest=-50 * g)).flatten()
    assert torch.allclose(large, torch.tensor([1.0, 1.0, 2.0]).double(), atol=tol.FLOAT64)


def test_what_is_refused():
    x0 = random(2, 3, 4, 4)
    with pytest.raises(InputError, match="disagree on flow"):
        gradient(x0, lambda x: {"a": x.flatten(1).sum(1)}, {"a": 1.0, "flow": 1.0})
    with pytest.raises(InputError, match="loss a is not a number at level 7"):
        gradient(x0, lambda x: {"a": x.flatten(1).sum(1) / 0}, {"a": 1.0}, level=7)


def test_a_loss_that_nothing_moves():
    x0 = random(2, 3, 4, 4)
    found = gradient(x0, lambda x: {"a": torch.zeros(2)}, {"a": 1.0})
    assert torch.equal(move(found.g, LEVEL, 0.3), torch.zeros_like(x0))


def test_the_steep_response_is_naka_and_rushtons():
    c = torch.linspace(-2, 2, 41, dtype=torch.float64)
    inside = [abs(x) ** 3 * (1 + 0.45**3) / (abs(x) ** 3 + 0.45**3) * (1 if x > 0 else -1) for x in c.tolist()]
    wanted = torch.tensor([y if abs(x) <= 1 else x for x, y in zip(c.tolist(), inside)], dtype=torch.float64)
    assert torch.allclose(steep(c), wanted, atol=tol.FLOAT64)
    assert float(steep(torch.ones(1))) == 1 and float(steep(torch.zeros(1))) == 0
    assert (steep(c).diff() > 0).all()
