"""The rules on denoisers that are ideal by construction: Gaussians with any covariance, and a mixture of them."""

from __future__ import annotations

import math

import pytest
import torch

import tolerances as tol
from soundguide_core.diffusion.guidance import rms
from soundguide_core.diffusion.levels import Level
from soundguide_core.diffusion.rules import LENGTHS, RULES, jacobian_product, pull_back

RNG = torch.Generator().manual_seed(0)
DIM = 12  # of a frame [3,2,2]
LEVELS = [Level.of_flow(0.6), Level.of_ve(2.0), Level.of_alpha_bar(0.2)]


def random(*shape):
    return torch.randn(*shape, generator=RNG, dtype=torch.float64)


def alpha_of(level: Level) -> float:
    return level.noise / level.ve


class Gaussian:
    """x0 ~ N(mean, C): E[x0 | x] = mean + K (x - alpha mean), K = alpha C (alpha^2 C + noise^2)^-1, its Jacobian."""

    factor = random(DIM, DIM) * torch.logspace(0, -2, DIM, dtype=torch.float64)
    covariance, mean = factor @ factor.T, random(DIM)

    def __init__(self, level: Level):
        self.alpha = alpha_of(level)
        noisy = self.alpha**2 * self.covariance + level.noise**2 * torch.eye(DIM, dtype=torch.float64)
        self.jacobian = self.alpha * self.covariance @ torch.linalg.inv(noisy)

    def __call__(self, x):
        return (self.mean + (x.flatten(1) - self.alpha * self.mean) @ self.jacobian.T).view_as(x)


class Mixture:
    """Half of two Gaussians of the same shape: E[x0 | x] is no longer linear."""

    def __init__(self, level: Level):
        self.one, self.level = Gaussian(level), level

    def __call__(self, x):
        flat = x.flatten(1)
        parts, logs = [], []
        noisy = self.one.alpha**2 * self.one.covariance + self.level.noise**2 * torch.eye(DIM, dtype=torch.float64)
        for sign in (1, -1):
            off = flat - sign * self.one.alpha * self.one.mean
            parts.append(sign * self.one.mean + off @ self.one.jacobian.T)
            logs.append(-0.5 * (off @ torch.linalg.inv(noisy) * off).sum(dim=1))
        share = torch.stack(logs).softmax(dim=0)[..., None]
        return (share[0] * parts[0] + share[1] * parts[1]).view_as(x)


@pytest.mark.parametrize("level", LEVELS)
def test_the_jacobian_of_a_gaussian_is_its_posterior_covariance_and_symmetric(level):
    look, alpha = Gaussian(level), alpha_of(level)
    posterior = torch.linalg.inv(
        torch.linalg.inv(look.covariance) + alpha**2 / level.noise**2 * torch.eye(DIM, dtype=torch.float64)
    )
    assert torch.allclose(look.jacobian, alpha / level.noise**2 * posterior, atol=tol.FLOAT64_SUM)
    assert torch.allclose(look.jacobian, look.jacobian.T, atol=tol.FLOAT64_SUM)
    assert look.jacobian.fill_diagonal_(0).abs().max() > 0.01  # pixels are tied to one another


@pytest.mark.parametrize("level", LEVELS)
def test_the_jacobian_of_a_mixture_is_symmetric_too(level):
    look = Mixture(level)
    x = random(1, 3, 2, 2)
    jacobian = torch.autograd.functional.jacobian(lambda v: look(v.view(1, 3, 2, 2)).flatten(), x.flatten())
    assert torch.allclose(jacobian, jacobian.T, atol=tol.FLOAT64_SUM)


@pytest.mark.parametrize("ideal", [Gaussian, Mixture])
@pytest.mark.parametrize("level", LEVELS)
def test_one_pass_forward_gives_what_the_way_back_gives(ideal, level):
    look, x, g = ideal(level), random(3, 3, 2, 2), random(3, 3, 2, 2)
    forward, back = jacobian_product(look, x, look(x), g, level), pull_back(look, x, look(x), g)
    assert torch.allclose(forward, back, atol=1e-3 * float(back.abs().max()))  # of second order in h


@pytest.mark.parametrize("level", LEVELS)
def test_each_rule_against_its_formula(level):
    look, x, g = Gaussian(level), random(3, 3, 2, 2), random(3, 3, 2, 2)
    curve, x0 = torch.tensor([1.0, 0.0, 0.5]), Gaussian(level)(x)
    for name, rule in RULES.items():
        moved = rule(look, x, x0, g, level, 0.2, curve) - x0
        for i in range(3):
            u = g[i].flatten() / g[i].square().mean().sqrt()
            pulled = look.jacobian @ u
            expected = {
                "estimate": 0.2 * level.share * u,
                "look again": 0.2 * level.noise * pulled,
                "measured": 0.2 * level.share * pulled / pulled.square().mean().sqrt(),
                "through": 0.2 * level.share * pulled / pulled.square().mean().sqrt(),
            }[name]
            assert torch.allclose(moved[i].flatten(), float(curve[i]) * expected, atol=tol.FLOAT64_SUM), name


def test_through_uses_the_graph_that_there_is():
    level, looks = LEVELS[0], []

    def look(x):
        looks.append(len(x))
        return Mixture(level)(x)

    g = random(2, 3, 2, 2)
    x = random(2, 3, 2, 2).requires_grad_()
    kept = RULES["through"](look, x, look(x), g, level, 0.2)
    again = RULES["through"](look, x.detach(), look(x).detach(), g, level, 0.2)
    assert torch.equal(kept, again) and looks == [2, 2, 2] and not kept.requires_grad


@pytest.mark.parametrize("name", RULES)
def test_a_mask_bounds_the_move_and_does_not_change_its_length(name):
    level, mask = LEVELS[0], torch.zeros(1, 1, 2, 2, dtype=torch.float64)
    mask[..., 0, 0] = 1
    look, x, g = Gaussian(level), random(2, 3, 2, 2), random(2, 3, 2, 2)
    x0 = look(x)
    moved = RULES[name](look, x, x0, g, level, 0.2, mask=mask) - x0
    if name == "look again":  # what the model makes of it spreads
        return
    assert torch.equal(moved * (1 - mask), torch.zeros_like(moved))
    assert torch.allclose(rms(moved, mask), torch.full([2, 1, 1, 1], 0.2 * level.share).double(), atol=tol.FLOAT64)


@pytest.mark.parametrize("name", RULES)
def test_no_gradient_or_no_length_gives_the_estimate_itself(name):
    look, x = Mixture(LEVELS[0]), random(2, 3, 2, 2)
    x0 = look(x)
    assert torch.equal(RULES[name](look, x, x0, torch.zeros_like(x), LEVELS[0], 0.2), x0)
    assert torch.equal(RULES[name](look, x, x0, random(2, 3, 2, 2), LEVELS[0], 0.2, torch.zeros(2)), x0)
    assert set(LENGTHS) == set(RULES) and math.isfinite(sum(LENGTHS.values()))
