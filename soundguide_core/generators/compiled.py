"""When generators that render on a processor use the loops that numba compiles, and the threads that share a map.

numba comes with librosa. To import it and load its loops takes half a second, and a loop's first compilation some
seconds, which the disk then keeps: that pays for layers of large networks and for no others. Nothing but a layer's size
decides: pictures differ by rounding, and the same network is to render the same bytes however long a process runs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

WORTH = 2e8  # multiplications of an image in a layer, some milliseconds of one core's work


@cache
def load() -> ModuleType | None:
    """generators/loops.py, or None where numba is missing, has no folder to keep what it compiles, or does not suit
    this NumPy."""
    try:
        from . import loops
    except Exception as error:  # which error is numba's and llvmlite's own affair: pictures come without them too
        logging.getLogger(__name__).debug("Rendering without compiled loops: %s", error)
        return None
    return loops


def loops_for(x: Tensor, weight: Tensor) -> ModuleType | None:
    """The compiled loops, if a convolution of maps x [B,I,H,W] with weight [O,I,K,K] is enough work for them."""
    return load() if x.shape[2] * x.shape[3] * weight.numel() >= WORTH else None


def array(x: Tensor) -> np.ndarray:
    """x as the loops take it: float32, C-contiguous, in the same memory where it is so already."""
    return x.detach().contiguous().numpy()


@cache
def _threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="soundguide-loops")


def share(count: int, work: Callable[[int, int], None]) -> None:
    """work(first, last) for the whole of range(count), in as many threads as PyTorch computes with."""
    threads = torch.get_num_threads()
    size = -(-count // threads)
    if size == count:
        work(0, count)
    else:
        list(_threads(threads).map(lambda first: work(first, min(first + size, count)), range(0, count, size)))
