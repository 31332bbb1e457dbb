"""The adversarial terms against finite differences and Jacobians built whole, in float64."""

from __future__ import annotations

import math

import numpy as np
import torch

import tolerances as tol
from soundguide_core.losses import adversarial

RNG = torch.Generator().manual_seed(0)


def test_logistic_losses_by_hand():
    real, fake = torch.tensor([[2.0], [-1.0]]), torch.tensor([[0.5], [3.0]])
    log_sigmoid = lambda x: -math.log(1 + math.exp(-x))  # noqa: E731
    assert np.isclose(adversarial.generator_loss(fake).item(), -(log_sigmoid(0.5) + log_sigmoid(3)) / 2)
    expected = -(log_sigmoid(2) + log_sigmoid(-1)) / 2 - (log_sigmoid(-0.5) + log_sigmoid(-3)) / 2
    assert np.isclose(adversarial.discriminator_loss(real, fake).item(), expected)


def test_r1_by_finite_differences():
    weight = torch.randn(12, 5, generator=RNG, dtype=torch.float64)

    def scores(x):
        return (x.flatten(1) @ weight).tanh().sum(1, keepdim=True)

    real = torch.randn(2, 3, 2, 2, generator=RNG, dtype=torch.float64, requires_grad=True)
    expected, h = 0.0, 1e-6
    with torch.no_grad():
        for b in range(2):
            for i in range(12):
                step = torch.zeros(2, 12, dtype=torch.float64)
                step[b, i] = h
                step = step.view_as(real)
                slope = (scores(real + step)[b] - scores(real - step)[b]).item() / (2 * h)
                expected += slope**2 / 2
    assert np.isclose(adversarial.r1_penalty(scores(real), real).item(), expected, rtol=tol.FLOAT32)


def test_path_lengths_by_the_jacobian():
    layers, dims = 3, 4
    weight = torch.randn(layers * dims, 12, generator=RNG, dtype=torch.float64)

    def synthesis(ws):
        return (ws.flatten(1) @ weight).sin().view(-1, 3, 2, 2)

    ws = torch.randn(2, layers, dims, generator=RNG, dtype=torch.float64, requires_grad=True)
    noise = torch.randn(2, 3, 2, 2, generator=RNG, dtype=torch.float64)
    lengths = adversarial.path_lengths(synthesis(ws), ws, noise)
    for b in range(2):
        jacobian = torch.autograd.functional.jacobian(lambda w: synthesis(w[None])[0].flatten(), ws[b].detach())
        pulled = torch.einsum("p,pld->ld", noise[b].flatten(), jacobian) / 2  # sqrt(H W)
        assert np.isclose(lengths[b].item(), pulled.square().sum(1).mean().sqrt().item())


def test_path_length_penalty_follows_its_mean():
    lengths = torch.tensor([1.0, 3.0])
    penalty, mean = adversarial.path_length_penalty(lengths, torch.tensor(0.0), decay=0.5)
    assert mean.item() == 1.0
    assert penalty.item() == ((1 - 1) ** 2 + (3 - 1) ** 2) / 2


def test_regularisers_reach_the_parameters():
    weight = torch.randn(4, 4, generator=RNG, requires_grad=True)
    x = torch.randn(2, 4, generator=RNG, requires_grad=True)
    adversarial.r1_penalty((x @ weight).tanh(), x).backward()
    assert weight.grad.abs().sum() > 0
