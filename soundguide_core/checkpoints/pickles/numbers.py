"""Numbers out of a file before PyTorch is imported: numpy's arrays with the few methods of a tensor that formats call.

A command that only describes a file works with these; everything else turns them into tensors, which share memory
exactly where the arrays do.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

# a type's name in PyTorch => numpy's type that its numbers are held in, of the same size
HELD = {
    "float32": "<f4", "float64": "<f8", "float16": "<f2", "bfloat16": "<u2", "int64": "<i8", "int32": "<i4",
    "int16": "<i2", "int8": "i1", "uint8": "u1", "bool": "?", "complex64": "<c8", "complex128": "<c16", "uint16": "<u2",
    "uint32": "<u4", "uint64": "<u8", "complex32": "<u4", "float8_e4m3fn": "u1", "float8_e4m3fnuz": "u1",
    "float8_e5m2": "u1", "float8_e5m2fnuz": "u1", "float8_e8m0fnu": "u1",
}  # fmt: skip


class Numbers(np.ndarray):
    """An array whose dtype in PyTorch is called `kind`; "": numpy's own."""

    kind: str = ""

    @classmethod
    def of(cls, x: np.ndarray, kind: str = "") -> Numbers:
        made = x.view(cls)
        made.kind = kind
        return made

    def __array_finalize__(self, made_from: Any) -> None:
        self.kind = getattr(made_from, "kind", "")

    def double(self) -> Numbers:
        x = (self.astype("<u4") << 16).view("<f4") if self.kind == "bfloat16" else self
        return Numbers.of(x.astype("<f8"))

    def contiguous(self) -> Numbers:
        return Numbers.of(np.ascontiguousarray(self), self.kind)

    def t(self) -> Numbers:
        return self.T

    def permute(self, *axes: int) -> Numbers:
        return self.transpose(axes)

    def movedim(self, source: int, to: int) -> Numbers:
        return Numbers.of(np.moveaxis(self, source, to), self.kind)

    def flip(self, *axes: int) -> Numbers:
        return Numbers.of(np.flip(self, axes), self.kind)

    def flatten(self, first: int = 0, last: int = -1) -> Numbers:  # type: ignore[override]
        last %= self.ndim
        return Numbers.of(self.reshape(*self.shape[:first], -1, *self.shape[last + 1 :]), self.kind)

    def unflatten(self, axis: int, sizes: tuple[int, ...]) -> Numbers:
        return Numbers.of(self.reshape(*self.shape[:axis], *sizes, *self.shape[axis:][1:]), self.kind)

    def expand(self, *sizes: int) -> Numbers:
        lead = len(sizes) - self.ndim
        shape = [self.shape[i - lead] if size == -1 else size for i, size in enumerate(sizes)]
        return Numbers.of(np.broadcast_to(self, shape), self.kind)

    def new_tensor(self, value: Any) -> Numbers:
        return Numbers.of(np.asarray(value, self.dtype), self.kind)


def is_tensor(x: Any) -> bool:
    """Whether x is a tensor of PyTorch's, or one that is not yet."""
    torch = sys.modules.get("torch")  # where nobody has imported it, nobody has one
    return isinstance(x, Numbers) or (torch is not None and isinstance(x, torch.Tensor))


def as_tensor(x: Numbers) -> Tensor:
    """A tensor of the same memory; a copy where PyTorch's type is another than what the numbers are held in."""
    import torch

    dtype, held = getattr(torch, x.kind or x.dtype.name, None), np.dtype(HELD.get(x.kind, x.dtype))
    if dtype is None:
        from .values import Unreadable

        raise Unreadable(f"holds numbers of a kind ({x.kind}) that this PyTorch has not")
    if not x.size:
        return torch.empty(x.shape, dtype=dtype)
    plain = torch.from_numpy(x.view(np.ndarray))
    return plain.view(dtype) if held == x.dtype else plain.to(dtype)
