"""Builds a network from the config of its file, with an upper bound on its size: a config may state any numbers."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..common.errors import InputError

SPARE = 2**24  # numbers beyond those of the file: masks, indices, windows of a Fourier transform
SMALLEST = 1000  # what each tensor counts as at least, so that a million empty layers are too many as well
# what a constructor ends in that is given the wrong config; a library's own branches may leave a variable unset
FAILURES = (
    ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, UnboundLocalError,
    ValueError,
)  # fmt: skip


@contextmanager
def bounded_build(path: str | os.PathLike, what: str, tensors: Mapping[str, Tensor]) -> Iterator[None]:
    """Context for building a network from an untrusted config; the network is to be filled with these tensors.

    what: what the network is, as in "a sound encoder".

    Raises:
        InputError: the network would be far larger than the tensors, or the config does not fit it.
    """
    remedy = "Get the file again from the people who made it, or convert it again."
    try:
        with _NoLarger(2 * sum(x.numel() for x in tensors.values()) + SPARE):
            yield
    except InputError:
        raise
    except _TooLarge as error:
        raise InputError(f"{path} describes a far larger network than it holds weights for.", remedy) from error
    except FAILURES as error:
        why = str(error).split("\n")[0][:200]
        raise InputError(f"{path} does not describe {what} ({why}).", remedy) from error


class _TooLarge(Exception):
    pass


class _NoLarger(TorchFunctionMode):
    """Counts the numbers of every new tensor before there is memory for it."""

    def __init__(self, most: int):
        super().__init__()
        self.left = most

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in _NUMEL:
            self.left -= max(_NUMEL[func](*args, **kwargs), SMALLEST)
            if self.left < 0:
                raise _TooLarge
        return func(*args, **kwargs)


def _by_shape(*size, **kwargs) -> int:
    size = kwargs.get("size", size)
    size = size[0] if len(size) == 1 and isinstance(size[0], (tuple, list)) else size
    return math.prod(n for n in size if isinstance(n, int))


def _full(size, *_, **__) -> int:
    return math.prod(size)


def _line(start, end, steps, **_) -> int:
    return steps


def _range(*bounds, **kwargs) -> int:
    return len(range(*map(math.ceil, bounds or (kwargs.get("start", 0), kwargs["end"], kwargs.get("step", 1)))))


def _square(n, m=None, **_) -> int:
    return n * (n if m is None else m)


def _window(length, *_, **__) -> int:
    return length


_NUMEL: dict[Callable, Callable[..., int]] = {
    **dict.fromkeys((torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn), _by_shape),
    **dict.fromkeys((torch.linspace, torch.logspace), _line),
    **dict.fromkeys((torch.hann_window, torch.hamming_window, torch.kaiser_window), _window),
    torch.full: _full,
    torch.arange: _range,
    torch.eye: _square,
}
