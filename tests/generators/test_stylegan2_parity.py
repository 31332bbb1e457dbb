"""Against outputs of https://github.com/rosinality/stylegan2-pytorch/blob/bef283a1c24087da704d16c30abc8e36e63efa0e/model.py,
stored by tests/fixtures/make_stylegan2_parity.py: same weights, 1e-4 of the range."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from soundguide_core.generators.discriminators import Discriminator
from soundguide_core.generators.stylegan2 import Generator, StyleGAN2Config

FIXTURES = Path(__file__).parents[1] / "fixtures"
SPEC = importlib.util.spec_from_file_location("make_stylegan2_parity", FIXTURES / "make_stylegan2_parity.py")
make = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(make)

CONFIG = StyleGAN2Config(make.SIZE, make.STYLE, make.STYLE, make.LAYERS)


@pytest.fixture(scope="module")
def expected():
    return load_file(make.FIXTURE)


def close(actual: torch.Tensor, expected: torch.Tensor) -> bool:
    assert actual.shape == expected.shape
    return bool((actual - expected).abs().max() < 1e-4 * max(expected.abs().max().item(), 1.0))


@torch.no_grad()
def test_generator(expected):
    generator = Generator(CONFIG).eval()
    generator.load_state_dict(make.fill(generator.state_dict()))
    given = make.inputs(generator.num_ws)
    assert close(generator.mapping(given["z"]), expected["w"])
    assert close(generator(given["z"][:2]), expected["img"])
    assert close(generator(given["z"][:2], psi=0.6), expected["img_truncated"])
    assert close(generator.synthesis(given["ws"]), expected["img_ws"])


@pytest.mark.parametrize("size", make.LARGER)
@torch.no_grad()
def test_published_widths(expected, size):
    config = StyleGAN2Config(size, make.STYLE, make.STYLE, make.LAYERS, channel_base=16384 * make.LARGER[size])
    with torch.device("meta"):
        generator = Generator(config).eval()
    generator.load_state_dict(make.fill(generator.state_dict()), assign=True)
    img = generator(make.inputs(8)["z"][:1], psi=0.6)
    assert close(img[:, :, :: size // 32, :: size // 32], expected[f"img_{size}"])


@torch.no_grad()
def test_discriminator(expected):
    discriminator = Discriminator(CONFIG)
    discriminator.load_state_dict(make.fill(discriminator.state_dict()))
    assert close(discriminator(make.inputs(8)["img"]), expected["scores"])
