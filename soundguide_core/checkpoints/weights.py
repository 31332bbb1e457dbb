"""Weights for a network, from a SoundGuide file or straight from a foreign one."""

from __future__ import annotations

import os
from collections.abc import Mapping

import torch
from torch import Tensor

from ..errors import InputError
from . import safetensors_io
from .formats import open_foreign


def load(path: str | os.PathLike, kind: str) -> tuple[dict[str, Tensor], dict]:
    """(tensors on the CPU, floating ones as fp32, each with memory of its own; config) of a file of this kind.

    Raises:
        InputError: the file cannot be read, or it holds weights of another kind.
    """
    if safetensors_io.has_config(path):
        tensors, config = safetensors_io.load(path)
        found = config.get("source", {}).get("kind", kind) if isinstance(config.get("source", {}), dict) else kind
    else:
        foreign = open_foreign(path)
        tensors, config, found = owned(foreign.tensors), foreign.config, foreign.kind
    if found != kind:
        raise InputError(f"{path} holds weights of the kind {found}, not {kind}.", f"Choose a {kind} file.")
    return tensors, config


def owned(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Floating tensors as fp32, all contiguous; copied only where memory is shared or larger than the tensor."""
    out, seen = {}, set()
    for key, x in tensors.items():
        x = x.detach()
        y = x.float() if x.is_floating_point() else x
        y = y.contiguous()
        storage = y.untyped_storage()
        if storage.data_ptr() in seen or storage.nbytes() != y.numel() * y.element_size():
            y = y.clone(memory_format=torch.contiguous_format)
        seen.add(y.untyped_storage().data_ptr())
        out[key] = y
    return out
