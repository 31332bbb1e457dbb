"""A progress bar for work whose end nobody knows: it moves as long as the work asks for Stop.

    value = seconds / (seconds + TYPICAL_SEC), half way after TYPICAL_SEC, and ever slower

A node that knows how far it is makes a bar of its own (host.on_step, host.in_chunks), and this one rests.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import comfy.model_management as mm  # pyright: ignore[reportMissingImports] the host
import comfy.utils  # pyright: ignore[reportMissingImports] the host

TYPICAL_SEC = 10.0
FIRST_SEC, EVERY_SEC = 0.5, 0.25
FINE = 1000  # steps of the bar


class Waiting:
    """Asked by the loops of one run of a node; raises where Stop was pressed."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.next = self.began + FIRST_SEC
        self.bar = None

    def ask(self) -> None:
        mm.throw_exception_if_processing_interrupted()
        now = time.monotonic()
        if now < self.next:
            return
        self.next = now + EVERY_SEC
        if self.bar is None:
            self.bar = comfy.utils.ProgressBar(FINE)
        waited = now - self.began
        self.bar.update_absolute(int(FINE * waited / (waited + TYPICAL_SEC)))

    def rest(self) -> None:
        """Another bar says how far the work is."""
        self.next = float("inf")


_RUN: ContextVar[Waiting | None] = ContextVar("run", default=None)


@contextmanager
def waiting() -> Iterator[Waiting]:
    """The run of one node."""
    run = Waiting()
    before = _RUN.set(run)
    try:
        yield run
    finally:
        _RUN.reset(before)


def ask() -> None:
    """Raises where Stop was pressed; moves the bar of this run, where there is none that knows better."""
    run = _RUN.get()
    if run is None:
        mm.throw_exception_if_processing_interrupted()
    else:
        run.ask()


def rest() -> None:
    """Called by whoever makes a bar that knows how far the work is."""
    run = _RUN.get()
    if run is not None:
        run.rest()
