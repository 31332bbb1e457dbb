"""Storages, tensors and numpy arrays out of the numbers that a pickle gives, every bound checked before it is used."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .values import Budget, Foreign, Unreadable

STORAGES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
    "UntypedStorage": torch.uint8,
}
# types without a storage class of their own; older torch lacks some
RECENT = (
    "uint16", "uint32", "uint64", "complex32", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz",
    "float8_e8m0fnu",
)  # fmt: skip
DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in STORAGES.values()} | {
    name: getattr(torch, name) for name in RECENT if hasattr(torch, name)
}
WIDER = {"u2": np.int32, "u4": np.int64, "f16": np.float64}  # types that torch lacks or can compute little with
REPEATED = 1 << 20  # numbers of a tensor that repeats those of a smaller storage, within the file's budget
QUANTIZED = ("QInt8Storage", "QUInt8Storage", "QInt32Storage", "QUInt4x2Storage", "QUInt2x4Storage")

NOT_NUMBERS = Foreign("numpy", "ndarray", (), None)  # an array or scalar of texts, dates or objects


class Storage:
    """flat: [N] numbers that tensors are views of; filled at once, or after they are made (legacy files)."""

    def __init__(self, dtype: torch.dtype, numel: int, budget: Budget):
        if type(numel) is not int or numel < 0:
            raise Unreadable("is damaged (a storage has no length)")
        budget.spend(numel * dtype.itemsize)
        self.flat = torch.empty(numel, dtype=dtype)

    @property
    def size(self) -> int:
        return self.flat.numel() * self.flat.element_size()

    def fill(self, data: memoryview) -> None:
        if len(data) != self.size:
            raise Unreadable(f"is damaged (a storage of {self.size} bytes has {len(data)})")
        if not self.size:
            return
        numbers = np.frombuffer(data, np.uint8)
        if self.flat.dtype == torch.bool:
            numbers = numbers != 0
            self.flat.numpy()[:] = numbers
        else:
            self.flat.view(torch.uint8).numpy()[:] = numbers


def tensor(storage: Any, offset: Any, shape: Any, stride: Any, budget: Budget, dtype: Any = None) -> Tensor:
    """A view of a storage; it may repeat numbers, as an expanded tensor does, but not without measure."""
    whole = type(shape) is tuple and type(stride) is tuple and len(shape) == len(stride) <= 32
    if type(storage) is not Storage or not whole:
        raise Unreadable("is damaged (a tensor has no storage or shape)")
    if not all(type(n) is int and 0 <= n < 2**48 for n in (offset, *shape, *stride)):
        raise Unreadable("holds a tensor of impossible size")
    flat = storage.flat
    if dtype is not None and dtype != flat.dtype:
        if flat.dtype != torch.uint8 or flat.numel() % dtype.itemsize:
            raise Unreadable("is damaged (a storage does not divide into its numbers)")
        flat = flat.view(dtype)
    numel = 1
    for n in shape:
        numel *= n
    last = offset + sum((n - 1) * step for n, step in zip(shape, stride)) if numel else 0
    if last >= max(flat.numel(), 1) or numel > max(flat.numel(), REPEATED):
        raise Unreadable("holds a tensor that reaches beyond its data")
    budget.spend(numel * flat.element_size())
    if not numel or not flat.numel():
        if numel:
            raise Unreadable("holds a tensor that reaches beyond its data")
        return _empty(shape, flat.dtype)
    return flat.as_strided(shape, stride, offset)


def _empty(shape: tuple, dtype: torch.dtype) -> Tensor:
    """A tensor of no numbers; some of its axes may be long."""
    try:
        return torch.empty(shape, dtype=dtype)
    except RuntimeError:
        raise Unreadable("holds a tensor of impossible size") from None


class Dtype:
    """numpy.dtype while it is being put together."""

    def __init__(self, code: Any):
        if type(code) is not str or not re.fullmatch(r"\?|[a-zA-Z]\d{0,5}", code):
            raise Unreadable("is damaged (an array has no type)")
        self.code, self.order = code, "<"
        self.numeric = re.fullmatch(r"\?|b1|[iu][1248]|f[248]|f16|c8|c16", code) is not None

    def set_order(self, state: Any) -> None:
        if type(state) is not tuple or len(state) < 2 or state[1] not in ("<", ">", "|", "="):
            raise Unreadable("is damaged (an array's type is not whole)")
        self.order = "<" if state[1] in "|=" else state[1]

    @property
    def numpy(self) -> np.dtype:
        return np.dtype(self.order + ("b1" if self.code == "?" else self.code))


class Array:
    """A numpy array until its state is known, which sets `tensor`: a record where it has no numbers."""

    def __init__(self) -> None:
        self.tensor: Tensor | Foreign | None = None

    def set_state(self, state: Any, budget: Budget) -> None:
        if type(state) is not tuple or len(state) != 5 or self.tensor is not None:
            raise Unreadable("is damaged (an array is not whole)")
        _, shape, dtype, fortran, data = state
        self.tensor = array(data, dtype, shape, "F" if fortran else "C", budget)


def array(data: Any, dtype: Any, shape: Any, order: Any, budget: Budget) -> Tensor | Foreign:
    """The numbers of a numpy array as a tensor; unsigned types become wider. Texts, objects: a record."""
    if type(dtype) is Dtype and not dtype.numeric:
        return NOT_NUMBERS
    if type(shape) is int:
        shape = (shape,)
    good = type(dtype) is Dtype and type(data) in (bytes, memoryview) and order in ("C", "F", "A", "K")
    if not good or type(shape) is not tuple or not all(type(n) is int and 0 <= n < 2**48 for n in shape):
        raise Unreadable("is damaged (an array is not whole)")
    if len(shape) > 32:
        raise Unreadable("holds an array of too many axes")
    numel = 1
    for n in shape:
        numel *= n
    if numel * dtype.numpy.itemsize != len(data):
        raise Unreadable("is damaged (an array's data does not fill its shape)")
    budget.spend(2 * len(data))
    if not numel:
        return _empty(shape, torch.from_numpy(np.empty(0, WIDER.get(dtype.code) or np.dtype(dtype.code))).dtype)
    x = np.frombuffer(data, dtype.numpy).reshape(shape, order="F" if order == "F" else "C")
    wider = WIDER.get(dtype.code)
    if dtype.code == "u8" and x.max() <= np.iinfo(np.int64).max:
        wider = np.int64
    x = x.astype(wider or x.dtype.newbyteorder("="), order="C", copy=True)
    return torch.from_numpy(x.reshape(shape))


def scalar(dtype: Any, data: Any) -> Any:
    """A numpy scalar as a Python number; a record where it is none."""
    if type(dtype) is Dtype and not dtype.numeric:
        return NOT_NUMBERS
    if type(dtype) is not Dtype or type(data) is not bytes or len(data) != dtype.numpy.itemsize:
        raise Unreadable("is damaged (a number is not whole)")
    return np.frombuffer(data, dtype.numpy)[0].item()
