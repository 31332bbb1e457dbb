"""How many frames a network takes at once: a number that was asked for, or one that a short measurement finds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from .memory import free_memory, peak_memory, ran_out_of_memory, release_memory, wait_for

if TYPE_CHECKING:
    import torch

R = TypeVar("R")
DEARER = 2.0  # times the best cost of a frame: a GPU whose memory goes on in that of the machine; less may be chance
NOTHING = 0.002  # seconds of a frame for which nobody chooses another size
SHARE = 0.5  # of the free memory: what twice as many frames may take more


class Batches:
    """Up to `most` frames at once; with a device, as many as are found on it while it works.

    After a first frame alone, which prepares what all others use, 1, 2, 4, ... frames are measured, to `most`, or until
    twice as many may not fit into memory, or a frame costs twice of what it did in a smaller batch, and does so again.
    Smaller differences decide nothing: a larger batch is seldom dearer, clocks differ by chance, and as the network
    sums in another order in batches of another size, two runs are to choose alike. Where memory runs out, half as many
    are tried, and never more again.

    first: how many at the beginning; `most` of them are not measured.
    """

    def __init__(
        self, most: int, device: torch.device | None = None, *, first: int = 1,
        clock: Callable[[], float] | None = None, peak: Callable[[torch.device], int] = peak_memory,
        free: Callable[[torch.device], int] = free_memory,
    ) -> None:  # fmt: skip
        on_processor = device is not None and device.type == "cpu"  # whose other work is no cost of ours
        fine = sys.platform != "win32"  # which counts a thread's time in steps of 16 ms, longer than many a frame
        self.clock = clock or (time.thread_time if on_processor and fine else time.perf_counter)
        self.most, self.device, self.peak, self.free = most, device, peak, free
        self.size = most if device is None else min(first, most)
        self.settled = device is None or self.size == most
        self.costs: dict[int, float] = {}  # seconds of a frame by the size of its batch, the least
        self.before: int | None = None  # memory, before the first frame

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
        wait_for(self.device)
        first, began = self.before is None, self.clock()
        if self.before is None:
            self.before = self.peak(self.device)
        made = work(self.size)
        wait_for(self.device)
        if not first:
            self._judge((self.clock() - began) / self.size)
        return made

    def _judge(self, cost: float) -> None:
        """What is next, after one turn of this size."""
        again = self.size in self.costs
        self.costs[self.size] = min(cost, self.costs.get(self.size, cost))
        if self.costs[self.size] > DEARER * min(self.costs.values()) + NOTHING:
            if again:
                self.size, self.settled = self.size // 2, True
        elif self.size * 2 <= self.most and self._fits():
            self.size *= 2
        else:
            self.settled = True

    def _fits(self) -> bool:
        """Whether twice as many frames fit: they take once more what these have taken."""
        assert self.device is not None and self.before is not None
        free = self.free(self.device)  # 0: not known
        return not free or self.peak(self.device) - self.before <= SHARE * free
