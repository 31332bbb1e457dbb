"""How many frames a network takes at once: a number that was asked for, or one that a short measurement finds."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from .memory import free_memory, peak_memory, ran_out_of_memory, release_memory, wait_for

if TYPE_CHECKING:
    import torch

R = TypeVar("R")
DEARER = 1.15  # times the best cost of a frame: what is measured beside other work differs by less,
NOTHING = 0.002  # or by so many seconds, for which nobody chooses another size
SHARE = 0.5  # of the free memory: what twice as many frames may take more
TURNS = 2  # measurements of a size, of which the shorter one counts


class Batches:
    """Up to `most` frames at once; with a device, as many as are found on it while it works.

    After a first frame alone, which prepares what all others use, two turns each of 1, 2, 4, ... frames are timed, to
    `most`, or until a frame costs clearly more than it did in a smaller batch, or twice as many may not fit into
    memory. From then on it is the largest number whose frame costs hardly more than the best: the network sums in
    another order in batches of another size, so two runs should not choose by chance. Where memory runs out, half as
    many are tried, and never more again. first: how many at the beginning; `most` of them are not measured.
    """

    def __init__(
        self, most: int, device: torch.device | None = None, *, first: int = 1,
        clock: Callable[[], float] = time.perf_counter, peak: Callable[[torch.device], int] = peak_memory,
        free: Callable[[torch.device], int] = free_memory,
    ) -> None:  # fmt: skip
        self.most, self.device, self.clock, self.peak, self.free = most, device, clock, peak, free
        self.size = most if device is None else min(first, most)
        self.settled = device is None or self.size == most
        self.costs: dict[int, list[float]] = {}  # seconds of a frame by the size of its batch; 0: of the first frame
        self.before: int | None = None  # memory, before the first

    def run(self, work: Callable[[int], R], left: int) -> R:
        """work(n) of the next n frames, of which there are `left`."""
        count = min(self.size, left)
        if self.device is None:
            return work(count)
        while True:
            try:
                return work(count) if self.settled or count < self.size else self._measured(work)
            except (RuntimeError, MemoryError) as error:
                if count == 1 or not ran_out_of_memory(error):
                    raise
            release_memory(self.device)  # not in the handler, which still holds what the failed attempt has made
            count = self.most = self.size = max(count // 2, 1)
            self.settled = True

    def _measured(self, work: Callable[[int], R]) -> R:
        assert self.device is not None
        if self.before is None:
            self.before = self.peak(self.device)
        wait_for(self.device)
        began = self.clock()
        made = work(self.size)
        wait_for(self.device)
        first = not self.costs
        self.costs.setdefault(0 if first else self.size, []).append((self.clock() - began) / self.size)
        if not first and len(self.costs[self.size]) == TURNS:
            self._choose()
        return made

    def _choose(self) -> None:
        """The next size to measure, or the one to stay at."""
        best = {size: min(costs) for size, costs in self.costs.items() if size}
        within = DEARER * min(best.values()) + NOTHING
        if best[self.size] <= within and self.size * 2 <= self.most and self._fits():
            self.size *= 2
            return
        self.size, self.settled = max(size for size, cost in best.items() if cost <= within), True

    def _fits(self) -> bool:
        """Whether twice as many frames fit: they take once more what these have taken."""
        assert self.device is not None and self.before is not None
        free = self.free(self.device)  # 0: not known
        return not free or self.peak(self.device) - self.before <= SHARE * free
