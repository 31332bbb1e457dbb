"""Against outputs of NVIDIA's stylegan2-ada-pytorch (d72cc7d) and stylegan3 (c233a91), stored by
tests/fixtures/make_nvidia_parity.py: same weights, StyleGAN2 to 1e-5 and StyleGAN3 to 1e-4 of the range."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from soundguide_core.generators import stylegan2, stylegan3

FIXTURES = Path(__file__).parents[1] / "fixtures"
SPEC = importlib.util.spec_from_file_location("make_nvidia_parity", FIXTURES / "make_nvidia_parity.py")
make = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(make)


def difference(module, config, expected: torch.Tensor) -> float:
    """Largest difference of our pictures, as a share of the range."""
    generator = module.Generator(config).eval().requires_grad_(False)
    state = generator.state_dict()
    generator.load_state_dict({**state, **make.ours(config, module.Generator)})
    generator = generator.to(memory_format=torch.channels_last)
    img = generator(make.latents(config.z_dim), psi=make.PSI)
    step = make.STRIDE[config.resolution]
    return float((img[:, :, ::step, ::step] - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("name", make.STYLEGAN2)
def test_stylegan2(name):
    expected = load_file(FIXTURES / "stylegan2_ada_parity.safetensors")[name]
    assert difference(stylegan2, make.STYLEGAN2[name], expected) < 1e-5


@pytest.mark.parametrize("name", make.STYLEGAN3)
def test_stylegan3(name):
    expected = load_file(FIXTURES / "stylegan3_parity.safetensors")[name]
    assert difference(stylegan3, make.STYLEGAN3[name], expected) < 1e-4
