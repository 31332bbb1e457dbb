"""What is computed of a layer's weight once, and kept while the weight stays as it is: a frozen network has the same
kernels at every call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

Made = TypeVar("Made")
ALIGNED = 16  # a processor's matrix products are up to half as fast again where rows are a multiple of so many numbers


class Kept(Generic[Made]):
    """make(weight, *others) of the last weight that it was asked for; no part of a network's state."""

    def __init__(self, make: Callable[..., Made]):
        self.make = make
        self.made: Made | None = None
        self.of: tuple | None = None

    def __call__(self, weight: Tensor, *others: Any) -> Made:
        of = (weight.data_ptr(), 0 if weight.is_inference() else weight._version, *others)
        if self.made is None or self.of != of:
            with torch.inference_mode(False), torch.no_grad():  # it outlives the caller's mode
                self.made, self.of = self.make(weight.detach(), *others), of
        return self.made


def aligned(size: int) -> int:
    """size or a little more: the next multiple of ALIGNED."""
    return -(-size // ALIGNED) * ALIGNED
