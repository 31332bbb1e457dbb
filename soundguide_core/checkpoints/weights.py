"""Weights for a network, from a SoundGuide file or straight from a foreign one; and the one made from the other."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..common.errors import InputError
from ..common.files import check_writable, sha256_of
from . import safe_pickle, safetensors_io
from .formats import open_foreign
from .formats.keys import flat_tensors
from .header import SOURCE, stated_kind


def load(path: str | os.PathLike, *kinds: str, channels_last: bool = False) -> tuple[dict[str, Tensor], dict]:
    """(tensors on the CPU, floating ones as fp32, each with memory of its own; config) of a file of one of these kinds.

    channels_last: that order of memory for the kernels of a SoundGuide file, which spares its network a second copy.

    Raises:
        InputError: the file cannot be read, or it holds weights of another kind.
    """
    if safetensors_io.has_config(path):
        tensors, config = safetensors_io.load(path, channels_last=channels_last)
        found = stated_kind(config) or kinds[0]
    else:
        foreign = open_foreign(path)
        tensors, config, found = own_storage(foreign.tensors), foreign.config, foreign.kind
    if found not in kinds:
        raise WrongKind(path, found, kinds[0])
    return tensors, config


class WrongKind(InputError):
    """A whole file of another kind than was asked for. found: its kind."""

    def __init__(self, path: str | os.PathLike, found: str, wanted: str):
        super().__init__(
            f"{path} holds weights of the kind {found}, not {wanted}.",
            f"Its place is the model folder {found}; choose a {wanted} file here.",
        )
        self.found = found


def plain_state(path: str | os.PathLike) -> dict[str, Tensor]:
    """The tensors of a file that holds one flat state dict and nothing else, as fp32 with memory of their own.

    Raises:
        InputError: the file cannot be read, or holds something else.
    """
    content = safetensors_io.tensors_of(path) if safetensors_io.is_safetensors(path) else safe_pickle.read(path)
    state = flat_tensors(content)
    if state is None:
        raise InputError(f"{path} holds no state dict.", "Get the file again from the people who made it.")
    return own_storage(state)


def convert(path: str | os.PathLike, out: str | os.PathLike, *, half: bool = False) -> dict:
    """Write a foreign file as a SoundGuide .safetensors that loads to the same network; returns its config.

    half: floating tensors as fp16; InputError where a value does not fit.
    """
    path, out = Path(path), check_writable(out)
    if out.suffix != ".safetensors":
        raise InputError(f"{out} does not end in .safetensors.", "Give such a name.")
    if safetensors_io.has_config(path):
        tensors, config = safetensors_io.load(path)
    else:
        foreign = open_foreign(path)
        source = {"kind": foreign.kind, "format": foreign.format, "file": path.name, "sha256": sha256_of(path)}
        tensors, config = foreign.tensors, {**foreign.config, SOURCE: source}
    tensors = own_storage(tensors)
    safetensors_io.check_finite(tensors, path)
    try:
        safetensors_io.save(out, tensors, config, half=half)
    except InputError:  # of the disk
        raise
    except ValueError as error:
        raise InputError(f"{path} does not fit half precision: {error}.", "Convert it without --half.") from error
    return config


def own_storage(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
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
