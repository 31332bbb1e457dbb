"""Against outputs of https://github.com/universome/stylegan-v/tree/3fecd69c602e1cda204357201461c0fb0a634909/src/training,
stored by tests/fixtures/make_styleganv_parity.py: same weights, 1e-4 of the range."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from soundguide_core.generators.stylegan_v import Generator, StyleGANVConfig
from soundguide_core.generators.video_discriminator import HolisticDiscriminator

FIXTURES = Path(__file__).parents[1] / "fixtures"
SPEC = importlib.util.spec_from_file_location("make_styleganv_parity", FIXTURES / "make_styleganv_parity.py")
make = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(make)

CONFIG = StyleGANVConfig(**make.SETTINGS)


@pytest.fixture(scope="module")
def expected():
    return load_file(make.FIXTURE)


@pytest.fixture(scope="module")
def generator():
    network = Generator(CONFIG).eval()
    network.load_state_dict(make.fill(network.state_dict()))
    return network


def close(actual: torch.Tensor, expected: torch.Tensor) -> bool:
    assert actual.shape == expected.shape
    return bool((actual - expected).abs().max() < 1e-4 * max(expected.abs().max().item(), 1.0))


@torch.no_grad()
def test_motion_codes(expected, generator):
    given = make.inputs()
    assert close(generator.motion_codes(given["t"], given["motion_z"]), expected["motion_v"])


@torch.no_grad()
@pytest.mark.parametrize(("name", "psi"), [("frames", 1.0), ("truncated", 0.6)])
def test_frames(expected, generator, name, psi):
    given = make.inputs()
    w = generator.w_avg.lerp(generator.mapping(given["z"][:2]), psi)
    frames = generator.video(generator.broadcast(w), given["t"][:2], given["motion_z"][:2])
    assert close(frames.flatten(0, 1), expected[name])


@torch.no_grad()
def test_discriminator(expected):
    discriminator = HolisticDiscriminator(CONFIG)
    discriminator.load_state_dict(make.fill(discriminator.state_dict()))
    given = make.inputs()
    assert close(discriminator(given["videos"], given["whole"]), expected["scores"])
