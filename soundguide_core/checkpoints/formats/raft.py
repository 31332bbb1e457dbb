"""RAFT as torchvision publishes it (raft_large_C_T_SKHT_V2-ff5fadd5.pth, raft_small_C_T_V2-01064c6d.pth).

A plain state dict of torchvision.models.optical_flow, under its own keys.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from ...common.errors import InputError
from .keys import Keys, flat_tensors, recognised

if TYPE_CHECKING:
    import torch
    from torch import Tensor

NAME = "torchvision RAFT"
KIND = "flow"

NETWORKS = ("raft_large", "raft_small")


def recognises(content) -> bool:
    state = flat_tensors(content)
    wanted = {"feature_encoder.convnormrelu.0.weight", "update_block.motion_encoder.convcorr1.0.weight"}
    return state is not None and wanted <= set(state)


def convert(content) -> tuple[dict[str, Tensor], dict]:
    """config: {"architecture": the function of torchvision.models.optical_flow that builds it}."""
    state = recognised(flat_tensors(content))
    architecture = next((name for name in NETWORKS if _fits(state, name)), None)
    if architecture is None:
        large = "mask_predictor.conv.weight" in state
        shapes = _shapes(NETWORKS[0 if large else 1])
        odd = sorted(shapes.keys() ^ state.keys()) or [k for k in shapes if shapes[k] != state[k].shape]
        raise InputError(f"{odd[0]} does not belong to it, or is missing.", "Download the file again.")
    keys = Keys(state, NAME)
    for key in _shapes(architecture):
        keys.move(key, key)
    return keys.finish(), {"architecture": architecture}


def _fits(state: dict[str, Tensor], name: str) -> bool:
    return {key: x.shape for key, x in state.items()} == _shapes(name)


@cache
def _shapes(name: str) -> dict[str, torch.Size]:
    import torch
    from torchvision.models import optical_flow

    with torch.device("meta"):
        return {key: x.shape for key, x in getattr(optical_flow, name)(weights=None).state_dict().items()}
