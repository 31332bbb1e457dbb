from __future__ import annotations

import torch

from soundguide_core.training.engine.gradients import match_grad_strides, sanitize_grads


def test_gradients_that_are_no_numbers_are_sanitize_gradsd_in_place():
    nan, inf = float("nan"), float("inf")
    grads = [torch.tensor([[1.0, nan], [inf, -2.0]]), torch.tensor([-inf]), torch.tensor(3.0)]
    sanitize_grads(grads)
    assert [g.tolist() for g in grads] == [[[1.0, 0.0], [1e5, -2.0]], [-1e5], 3.0]


def test_gradients_take_their_parameters_strides():
    """A fused optimiser compares strides even where a side of one makes them mean nothing."""
    weight = torch.nn.Parameter(torch.zeros(3, 4, 1, 1).to(memory_format=torch.channels_last))
    weight.grad = torch.arange(12.0).reshape(3, 4, 1, 1).as_strided((3, 4, 1, 1), (4, 1, 1, 1))
    alike = torch.nn.Parameter(torch.zeros(2))
    alike.grad = kept = torch.ones(2)
    assert weight.stride() != weight.grad.stride()
    match_grad_strides([weight, alike, torch.nn.Parameter(torch.zeros(1))])
    assert weight.stride() == weight.grad.stride() and weight.grad.flatten().tolist() == list(range(12))
    assert alike.grad is kept
