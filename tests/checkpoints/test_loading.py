"""A network from its file, for use: its own numbers, frozen; a file of another kind or another network is named."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from soundguide_core.checkpoints import safetensors_io
from soundguide_core.checkpoints.loading import build_network, load_network
from soundguide_core.common.errors import InputError


def block(config: dict) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, config["channels"], 3), nn.BatchNorm2d(config["channels"]), nn.Dropout())


@pytest.fixture
def saved(tmp_path):
    """(path of a network's file, the network)"""
    torch.manual_seed(0)
    network = block({"channels": 4})
    network(torch.randn(2, 3, 8, 8))  # running statistics, and a count of batches
    path = tmp_path / "a.safetensors"
    safetensors_io.save(path, network.state_dict(), {"channels": 4, "source": {"kind": "identity"}})
    return path, network


@pytest.mark.parametrize("meta", [False, True])
def test_the_network_of_a_file_frozen(saved, meta):
    path, network = saved
    loaded, config = load_network(path, "identity", "a block", block, meta=meta)
    assert config["channels"] == 4
    assert not any(module.training for module in loaded.modules())
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    wanted = network.state_dict()
    assert loaded.state_dict().keys() == wanted.keys()
    for key, x in loaded.state_dict().items():
        assert x.device.type == "cpu" and x.dtype == wanted[key].dtype and torch.equal(x, wanted[key]), key
    img = torch.randn(1, 3, 8, 8)
    assert torch.equal(loaded(img), network.eval()(img))


def test_tensors_take_the_types_of_the_network(saved):
    tensors = {key: x.detach().round().long() for key, x in saved[1].state_dict().items()}
    loaded = build_network("a.pt", "a block", tensors, {"channels": 4}, block)
    assert loaded[0].weight.dtype == torch.float32 and loaded[1].num_batches_tracked.dtype == torch.int64
    assert torch.equal(loaded[0].weight, tensors["0.weight"].float())


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "does not describe a block"),
        ({"channels": 10**9}, "far larger network"),
        ({"channels": 5}, "0.weight does not fit"),
    ],
)
def test_a_config_that_does_not_fit(saved, config, message):
    with pytest.raises(InputError, match=message):
        build_network("a.pt", "a block", saved[1].state_dict(), config, block)


def test_a_file_of_another_kind(saved):
    with pytest.raises(InputError, match="of the kind identity, not scene-classifier"):
        load_network(saved[0], "scene-classifier", "a block", block)
