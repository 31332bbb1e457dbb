"""The same work on every core of the processor: rendering scenes and sounds is plain NumPy, one at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
FEW = 64  # items for which starting processes costs more than it saves


def parallel_map(
    function: Callable[[Item], Result], items: Sequence[Item], *, cores: int | None = None
) -> Iterator[Result]:
    """function(item) of every item, in their order; what an item gives may depend on nothing but the item.

    function: of a module, or a functools.partial of one, so that it can be sent to other processes. cores: how many
    to use; None for all that this process may use. A few items are worked on here.
    """
    cores = cores or _cores()
    if cores == 1 or len(items) < FEW:
        yield from map(function, items)
        return
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    chunk = max(1, min(32, len(items) // (4 * cores)))
    with ProcessPoolExecutor(cores, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(function, items, chunksize=chunk)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
