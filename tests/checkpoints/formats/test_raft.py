"""RAFT's published state dicts are told apart and taken whole."""

from __future__ import annotations

import pytest
import torch
from torchvision.models import optical_flow

from soundguide_core.checkpoints.formats import open_foreign, raft
from soundguide_core.common.errors import InputError


@pytest.fixture(scope="module")
def state():
    return optical_flow.raft_small(weights=None).state_dict()


def test_both_sizes(state, tmp_path):
    torch.save(state, tmp_path / "raft_small_C_T_V2-01064c6d.pth")
    found = open_foreign(tmp_path / "raft_small_C_T_V2-01064c6d.pth")
    assert (found.kind, found.config) == ("flow", {"architecture": "raft_small"})
    network = getattr(optical_flow, found.config["architecture"])(weights=None)
    network.load_state_dict(found.tensors)
    assert all(torch.equal(x, state[k]) for k, x in network.state_dict().items())
    with torch.device("meta"):
        assert raft.convert(optical_flow.raft_large(weights=None).state_dict())[1] == {"architecture": "raft_large"}


def test_odd_files_are_named(state):
    with pytest.raises(InputError, match="odd.weight"):
        raft.convert({**state, "odd.weight": torch.zeros(1)})
    with pytest.raises(InputError, match=r"context_encoder.conv.weight"):
        raft.convert({**state, "context_encoder.conv.weight": torch.zeros(1)})
    assert not raft.recognises({"fnet.conv1.weight": torch.zeros(1)})
