"""What is kept of a weight is that of the weight as it is, whatever has happened to it."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from soundguide_core.generators import stylegan2
from soundguide_core.generators.kept import Kept


def doubled(weight: Tensor, more: int = 0) -> Tensor:
    return 2 * weight + more


@pytest.fixture
def kept() -> Kept[Tensor]:
    return Kept(doubled)


def test_it_is_made_once_and_again_for_something_else(kept):
    weight = torch.randn(4)
    assert kept(weight) is kept(weight) is kept.made
    assert torch.equal(kept(weight, 3), 2 * weight + 3) and torch.equal(kept(weight), 2 * weight)
    weight.add_(1)
    assert torch.equal(kept(weight), 2 * weight)
    with torch.inference_mode():
        weight.add_(1)
        assert torch.equal(kept(weight), 2 * weight) and not kept(weight).is_inference()


def test_a_weight_in_the_place_of_another(kept):
    """Memory that becomes free is given to the next tensor of that size, and both are in their first version."""
    for _ in range(10):
        weight = torch.randn(2**18)
        kept(weight)
        del weight
        others = [torch.randn(2**18) for _ in range(10)]
        assert torch.equal(kept(others[0]), 2 * others[0])


def test_a_step_that_no_version_counts(kept):
    """PyTorch's fused optimisers leave a weight's version as it was."""
    weight = nn.Parameter(torch.ones(4))
    adam = torch.optim.Adam([weight], lr=0.1, fused=True)
    kept(weight.requires_grad_(False))
    for _ in range(2):
        weight.requires_grad_().sum().backward()
        with torch.no_grad():
            kept(weight)
        adam.step()
        with torch.no_grad():
            assert torch.equal(kept(weight), 2 * weight)
    assert torch.equal(kept(weight.requires_grad_(False)), 2 * weight)


def layer(net: stylegan2.Generator) -> stylegan2.SynthesisLayer:
    found = net.synthesis.get_submodule("b16.conv1")
    assert isinstance(found, stylegan2.SynthesisLayer)
    return found


def test_a_copy_of_a_network_keeps_nothing():
    net = stylegan2.Generator(stylegan2.StyleGAN2Config(16, z_dim=8, w_dim=8, channel_base=128, channel_max=8))
    ws = net.requires_grad_(False).sample_ws([0])
    before = net.synthesis(ws)
    assert layer(net).kernels.made is not None
    other = copy.deepcopy(net)
    assert layer(other).kernels.made is None
    assert torch.equal(other.synthesis(ws), before)
    layer(other).weight.mul_(2).add_(1)
    assert (other.synthesis(ws) - before).abs().max() > 0.01
    assert torch.equal(net.synthesis(ws), before)
