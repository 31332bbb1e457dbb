"""Work in a thread of its own, in order and not far behind the one who gives it: frames are made while others are
encoded. FFmpeg and PyTorch leave Python's lock while they work, so both go on at once."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

AHEAD = 1  # pieces that wait, beside the one that is worked on and the one that is being made
LOOK_SEC = 0.2  # how often one who waits looks whether the worker still works


class Behind:
    """give(piece) hands a piece to work(piece), which runs in another thread, and waits while AHEAD pieces wait there.

    An error of the work is raised by the next give, or by finish. What was given must not be changed afterwards.
    waited_sec: how long give and finish have waited, busy_sec: how long the work took.
    """

    def __init__(self, work: Callable[[Any], None]):
        self.work = work
        self.waiting: queue.Queue = queue.Queue(AHEAD)
        self.error: BaseException | None = None
        self.given_up = False
        self.waited_sec = self.busy_sec = 0.0
        self.thread = threading.Thread(target=self._run, name="soundguide-encoder", daemon=True)
        self.thread.start()

    def give(self, piece: Any) -> None:
        began = time.perf_counter()
        while True:
            self._raise()
            with contextlib.suppress(queue.Full):
                self.waiting.put(piece, timeout=LOOK_SEC)
                break
        self.waited_sec += time.perf_counter() - began

    def finish(self) -> None:
        """Waits until all that was given is done; nothing can be given afterwards."""
        if self.thread.is_alive():
            self.give(_END)
            began = time.perf_counter()
            self.thread.join()
            self.waited_sec += time.perf_counter() - began
        self._raise()

    def give_up(self) -> None:
        """Leaves what waits undone, and ends when the piece that is worked on is done."""
        self.given_up = True
        while self.thread.is_alive():
            with contextlib.suppress(queue.Empty):
                self.waiting.get_nowait()
            with contextlib.suppress(queue.Full):
                self.waiting.put(_END, timeout=LOOK_SEC)
            self.thread.join(LOOK_SEC)

    def _raise(self) -> None:
        if self.error is not None:
            error, self.error = self.error, None
            raise error

    def _run(self) -> None:
        while (piece := self.waiting.get()) is not _END and not self.given_up:
            began = time.perf_counter()
            try:
                self.work(piece)
            except BaseException as error:  # which is raised in the thread of the one who gives
                self.error = error
                return
            self.busy_sec += time.perf_counter() - began


_END = object()
