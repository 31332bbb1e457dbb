"""LPIPS on a trunk from disk, against the package's own network with the same weights."""

from __future__ import annotations

import pytest
import torch

import tolerances as tol
from soundguide_core.checkpoints.formats import vgg16
from soundguide_core.common.errors import InputError
from soundguide_core.losses.perceptual import load_perceptual


@pytest.fixture(scope="module")
def state():
    """torchvision's VGG-16 with random convolutions, and a classifier of another size that nobody reads."""
    from torchvision.models import vgg16 as build

    with torch.device("meta"):
        shapes = {key: x.shape for key, x in build(weights=None).state_dict().items()}
    rng = torch.Generator().manual_seed(0)
    return {
        key: torch.randn(shape, generator=rng) * 0.05 if key.startswith("features") else torch.zeros(1)
        for key, shape in shapes.items()
    }


def test_the_format_keeps_the_convolutions(state):
    tensors, config = vgg16.convert({"state_dict": state})
    assert config == {"architecture": "vgg16"} and len(tensors) == 26
    assert all(torch.equal(x, state[key]) for key, x in tensors.items())
    with pytest.raises(InputError, match="odd"):
        vgg16.convert({**state, "odd": torch.zeros(1)})
    with pytest.raises(InputError, match="features.7.bias"):
        vgg16.convert({key: x for key, x in state.items() if key != "features.7.bias"})
    assert not vgg16.recognises({"features.0.weight": torch.zeros(1)})


def test_lpips_is_the_packages_on_that_trunk(state, tmp_path):
    lpips = pytest.importorskip("lpips")
    torch.save(state, tmp_path / "vgg16-397923af.pth")
    distance = load_perceptual(tmp_path / "vgg16-397923af.pth")
    rng = torch.Generator().manual_seed(1)
    img, target = (torch.rand(2, 3, 32, 32, generator=rng) * 2 - 1 for _ in range(2))

    trunk, total = distance.network.net, 0.0  # the definition, by hand: unit channels, squared, weighted, averaged
    shift, scale = (torch.tensor(x).view(1, 3, 1, 1) for x in ([-0.030, -0.088, -0.188], [0.458, 0.448, 0.450]))
    for k, (a, b) in enumerate(zip(trunk((img - shift) / scale), trunk((target - shift) / scale))):
        a, b = (x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10) for x in (a, b))
        total = total + (distance.network.lins[k].model[-1].weight * (a - b).square()).sum(1).mean((1, 2))
    assert isinstance(distance.network, lpips.LPIPS)
    assert torch.equal(trunk.state_dict()["slice3.12.weight"], state["features.12.weight"])
    assert distance(img, target).shape == (2,) and torch.allclose(distance(img, target), total, rtol=tol.PARITY)
    assert distance(img, img).abs().max() == 0 and not any(p.requires_grad for p in distance.parameters())


def test_a_missing_trunk_says_how_to_get_it():
    with pytest.raises(InputError) as error:
        load_perceptual("no such file")
    assert "perceptual" in str(error.value)
