from __future__ import annotations

import pytest
import torch
from torch import nn

from soundguide_core.common.memory import each_part, free_memory


class Counted(nn.Module):
    """A small network that counts how often it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.SiLU(), nn.Conv2d(8, 3, 3, padding=1))
        self.runs = 0

    def forward(self, x: torch.Tensor, t: int) -> torch.Tensor:
        self.runs += 1
        return self.layers(x * t)


@pytest.mark.parametrize("free, runs", [(10**9, 3), (0, 5)])
def test_what_does_not_fit_is_computed_again_and_the_gradient_is_the_same(free, runs):
    torch.manual_seed(0)
    network, x = Counted().requires_grad_(False), torch.randn(6, 3, 8, 8)
    given = x.clone().requires_grad_()
    out = torch.cat(each_part(network, [(part, 2) for part in given.split(2)], lambda device: free))
    (found,) = torch.autograd.grad(out.square().sum(), given)
    assert network.runs == runs
    given = x.clone().requires_grad_()
    expected = torch.cat([network.layers(part * 2) for part in given.split(2)])
    assert torch.equal(out, expected) and torch.equal(found, torch.autograd.grad(expected.square().sum(), given)[0])


def test_what_the_way_back_needs_is_counted():
    """Of a part [2,3,8,8]: weights, and activations of 2 x 8 x 8 x 8 floats, but not 20 of them."""
    network = Counted().requires_grad_(False)
    x = torch.randn(4, 3, 8, 8, requires_grad=True)
    one, parts = 2 * 8 * 8 * 8 * 4, 2
    for free, runs in ((4 * parts * one, 3), (4 * parts * 20 * one, 2)):
        network.runs = 0
        torch.cat(each_part(network, [(p, 2) for p in x.split(2)], lambda device, n=free: n)).sum().backward()
        assert network.runs == runs


def test_without_gradients_nothing_is_kept():
    with torch.no_grad():
        assert [float(y) for y in each_part(lambda x, k: x * k, [(torch.ones(()), 2), (torch.ones(()), 3)])] == [2, 3]
    assert free_memory(torch.device("cpu")) > 0 and free_memory(torch.device("meta")) == 0
