"""Storages, tensors and numpy arrays out of the numbers that a pickle gives, every bound checked before it is used."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from .numbers import HELD, Numbers
from .values import Budget, Foreign, Unreadable

# torch's storage class => the name of its dtype
STORAGES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "UntypedStorage": "uint8",
}
RECENT = tuple(name for name in HELD if name not in STORAGES.values())  # without a storage class of their own
SMALL = 2**16  # bytes of a storage that is read even where a file is only described: constants that formats check
WIDER = {"u2": np.int32, "u4": np.int64, "f16": np.float64}  # types that torch lacks or can compute little with
REPEATED = 1 << 20  # numbers of a tensor that repeats those of a smaller storage, within the file's budget
QUANTIZED = ("QInt8Storage", "QUInt8Storage", "QInt32Storage", "QUInt4x2Storage", "QUInt2x4Storage")

NOT_NUMBERS = Foreign("numpy", "ndarray", (), None)  # an array or scalar of texts, dates or objects


class Storage:
    """flat: [N] numbers that tensors are views of; filled at once, or after they are made (legacy files)."""

    def __init__(self, kind: str, numel: int, budget: Budget):
        if type(numel) is not int or numel < 0:
            raise Unreadable("is damaged (a storage has no length)")
        held = np.dtype(HELD[kind])
        budget.spend(numel * held.itemsize)
        made = np.empty if budget.numbers else np.zeros  # zeros: no memory until somebody writes there
        self.numbers, self.flat = budget.numbers, Numbers.of(made(numel, held), kind)

    @property
    def kind(self) -> str:
        return self.flat.kind

    @property
    def size(self) -> int:
        return self.flat.nbytes

    def fill(self, data: memoryview) -> None:
        if len(data) != self.size:
            raise Unreadable(f"is damaged (a storage of {self.size} bytes has {len(data)})")
        if self.size and (self.numbers or self.size <= SMALL):
            self.flat.view(np.ndarray).view("u1")[:] = np.frombuffer(data, "u1") != 0 if self.kind == "bool" else data


def tensor(storage: Any, offset: Any, shape: Any, stride: Any, budget: Budget, kind: str = "") -> Numbers:
    """A view of a storage; it may repeat numbers, as an expanded tensor does, but not without measure."""
    whole = type(shape) is tuple and type(stride) is tuple and len(shape) == len(stride) <= 32
    if type(storage) is not Storage or not whole:
        raise Unreadable("is damaged (a tensor has no storage or shape)")
    if not all(type(n) is int and 0 <= n < 2**48 for n in (offset, *shape, *stride)):
        raise Unreadable("holds a tensor of impossible size")
    flat = storage.flat
    if kind and kind != storage.kind:
        held = np.dtype(HELD[kind])
        if storage.kind != "uint8" or flat.size % held.itemsize:
            raise Unreadable("is damaged (a storage does not divide into its numbers)")
        flat = Numbers.of(flat.view(np.ndarray).view(held), kind)
    numel = 1
    for n in shape:
        numel *= n
    last = offset + sum((n - 1) * step for n, step in zip(shape, stride)) if numel else 0
    if last >= max(flat.size, 1) or numel > max(flat.size, REPEATED):
        raise Unreadable("holds a tensor that reaches beyond its data")
    size = flat.itemsize
    budget.spend(numel * size)
    if not numel or not flat.size:
        if numel:
            raise Unreadable("holds a tensor that reaches beyond its data")
        return _empty(shape, flat.dtype, flat.kind)
    strides = [step * size for step in stride]
    return Numbers.of(np.ndarray(shape, flat.dtype, flat.view("u1").data, offset * size, strides), flat.kind)


def _empty(shape: tuple, dtype: np.dtype, kind: str = "") -> Numbers:
    """An array of no numbers; some of its axes may be long."""
    try:
        return Numbers.of(np.empty(shape, dtype), kind)
    except (ValueError, MemoryError):
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
        self.tensor: Numbers | Foreign | None = None

    def set_state(self, state: Any, budget: Budget) -> None:
        if type(state) is not tuple or len(state) != 5 or self.tensor is not None:
            raise Unreadable("is damaged (an array is not whole)")
        _, shape, dtype, fortran, data = state
        self.tensor = array(data, dtype, shape, "F" if fortran else "C", budget)


def array(data: Any, dtype: Any, shape: Any, order: Any, budget: Budget) -> Numbers | Foreign:
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
        return _empty(shape, np.dtype(WIDER.get(dtype.code) or dtype.code))
    x = np.frombuffer(data, dtype.numpy).reshape(shape, order="F" if order == "F" else "C")
    wider = WIDER.get(dtype.code)
    if dtype.code == "u8" and x.max() <= np.iinfo(np.int64).max:
        wider = np.int64
    x = x.astype(wider or x.dtype.newbyteorder("="), order="C", copy=True)
    return Numbers.of(x.reshape(shape))


def scalar(dtype: Any, data: Any) -> Any:
    """A numpy scalar as a Python number; a record where it is none."""
    if type(dtype) is Dtype and not dtype.numeric:
        return NOT_NUMBERS
    if type(dtype) is not Dtype or type(data) is not bytes or len(data) != dtype.numpy.itemsize:
        raise Unreadable("is damaged (a number is not whole)")
    return np.frombuffer(data, dtype.numpy)[0].item()
