"""Weights that Keras 2 saved as HDF5 (`save_weights`): their names and numbers, and nothing else of the file.

A file may name other files (links, external storage, virtual datasets) and small ones may unfold into huge ones
(filters, space that was never written): all of these are refused. h5py is needed to read one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..common.errors import InputError
from ..common.files import check_input
from .pickles.numbers import Numbers, as_tensor

if TYPE_CHECKING:
    from torch import Tensor

MAGIC = b"\x89HDF\r\n\x1a\n"
MOST_TENSORS = 50_000
DEEPEST = 32  # groups within groups
FLOATS = ("<f2", "<f4", "<f8", ">f2", ">f4", ">f8")


def is_hdf5(path: str | os.PathLike) -> bool:
    """Does the file begin as an HDF5 file?"""
    path = Path(path)
    if not os.path.isfile(path):
        return False
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def read(path: str | os.PathLike) -> dict[str, Tensor]:
    """{"layer1/conv/layer1/conv/kernel:0": tensor}, the full path inside the file of every one.

    Raises:
        InputError: h5py is not installed, or the file is damaged or holds what weights have no need of.
    """
    path = check_input(path)
    try:
        import h5py  # pyright: ignore[reportMissingImports]  # not all have it
    except ImportError as error:
        raise InputError(f"{path} is an HDF5 file, which needs the package h5py.", "`pip install h5py`.") from error
    try:
        with h5py.File(path, "r") as file:
            found: dict[str, Tensor] = {}
            _gather(h5py, file, "", found, path.stat().st_size)
            return found
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise InputError(
            f"{path} is not a whole HDF5 file ({str(error).splitlines()[0][:200]}).", "Download or copy it again."
        ) from error


def _gather(h5py: Any, group: Any, place: str, found: dict[str, Tensor], left: int) -> int:
    """Every dataset below a group into `found`. left: bytes that the file may still hold; returns the new number."""
    if place.count("/") > DEEPEST or len(found) > MOST_TENSORS:
        raise InputError("The file is nested or divided far beyond what weights are.", "Get another copy of it.")
    for name in group:
        inside = f"{place}/{name}" if place else name
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise InputError(f"{ascii(inside)[1:-1]} is a link out of its place.", "Save the weights again.")
        item = group[name]
        if isinstance(item, h5py.Group):
            left = _gather(h5py, item, inside, found, left)
        else:
            left -= _size(item, inside)
            if left < 0:
                raise InputError("The tensors are larger than their file.", "Save the weights again, uncompressed.")
            found[inside] = as_tensor(Numbers.of(np.asarray(item[()], "float32")))
    return left


def _size(item: Any, inside: str) -> int:
    """Bytes of a dataset that is plain numbers of this file."""
    name = ascii(inside)[1:-1]
    if item.dtype.str not in FLOATS:
        raise InputError(f"{name} holds no floating numbers.", "Save the weights alone, with `save_weights`.")
    if item.is_virtual or item.external or item.compression is not None:
        raise InputError(f"{name} is compressed or kept elsewhere.", "Save the weights again with Keras' defaults.")
    return int(item.size) * item.dtype.itemsize
