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
    """make(weight, *others) of the last weight that it was asked for; no part of a network's state or of its copies.

    Of a weight that learns nothing is kept: fused optimisers change it without counting that in its version.
    """

    def __init__(self, make: Callable[..., Made]):
        self.make = make
        self.kept: tuple[tuple, Tensor, Made] | None = None  # of what, the weight itself, and what is made of it

    def __reduce__(self) -> tuple:
        return Kept, (self.make,)

    @property
    def made(self) -> Made | None:
        return self.kept[2] if self.kept else None

    def __call__(self, weight: Tensor, *others: Any) -> Made:
        of = (weight.data_ptr(), 0 if weight.is_inference() else weight._version, *others)
        kept = self.kept  # once, for another thread may replace it
        if kept is not None and kept[0] == of and not weight.requires_grad:
            return kept[2]
        with torch.inference_mode(False), torch.no_grad():  # it outlives the caller's mode
            held = weight.detach()  # and so no other weight comes to lie at its address
            made = self.make(held, *others)
        self.kept = None if weight.requires_grad else (of, held, made)
        return made


def aligned(size: int) -> int:
    """size or a little more: the next multiple of ALIGNED."""
    return -(-size // ALIGNED) * ALIGNED
