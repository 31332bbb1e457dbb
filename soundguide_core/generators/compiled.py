"""When generators that render on a processor use the loops that numba compiles, and the threads that share a map.

numba comes with librosa. Its import takes half a second and a loop's first compilation some seconds, which the disk
then keeps; so a process renders by PyTorch alone until it has done about as much. Pictures differ by rounding.
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

WORTH = 40e9  # multiplications done before, about a second of one core's work
_done = 0.0


@cache
def load() -> ModuleType | None:
    """generators/loops.py, or None where numba is missing or has no folder to keep what it compiles."""
    try:
        from . import loops
    except (ImportError, RuntimeError) as error:
        logging.getLogger(__name__).debug("Rendering without compiled loops: %s", error)
        return None
    return loops


def loops_for(x: Tensor, weight: Tensor) -> ModuleType | None:
    """The compiled loops, if this process has rendered enough to be worth their loading; a convolution of the map
    x [B,I,H,W] with weight [O,I,K,K], which is to be done now, is counted in."""
    global _done
    if _done < WORTH:
        _done += float(x.shape[0] * x.shape[2] * x.shape[3]) * weight.numel()
        return None
    return load()


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
