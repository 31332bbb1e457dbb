"""A network for use from a file: built as its config says, filled with its tensors, in evaluation mode and frozen."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import TypeVar

import torch
from torch import Tensor, nn

from . import safetensors_io, weights
from .bounded_build import bounded_build

Network = TypeVar("Network", bound=nn.Module)


def load_network(
    path: str | os.PathLike,
    kind: str,
    what: str,
    build: Callable[[dict], Network],
    *,
    meta: bool = False,
    device: str | torch.device = "cpu",
) -> tuple[Network, dict]:
    """(the network that a file of this kind holds, the config of the file).

    The other arguments and the errors as in `build_network`, and InputError where the file holds another kind.
    """
    tensors, config = weights.load(path, kind)
    return build_network(path, what, tensors, config, build, meta=meta, device=device), config


def build_network(
    path: str | os.PathLike,
    what: str,
    tensors: Mapping[str, Tensor],
    config: dict,
    build: Callable[[dict], Network],
    *,
    meta: bool = False,
    device: str | torch.device = "cpu",
) -> Network:
    """build(config) with these tensors as its weights, in evaluation mode, parameters frozen.

    Args:
        path, what: for messages: the file, and what the network is, as in "a sound encoder".
        meta: build on the meta device, without memory or random numbers; for networks whose every buffer is in the
            file. Its first use in a process imports for seconds.

    Raises:
        InputError: the config does not describe such a network, or the tensors are not its own.
    """
    with bounded_build(path, what, tensors), torch.device("meta") if meta else nullcontext():
        network = build(config)
    safetensors_io.fill(network, tensors, path, assign=True)
    return network.eval().requires_grad_(False).to(device)
