"""Stop, for loops that tell nobody of their steps: whoever runs them says how it is asked, and they ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_ASK: ContextVar[Callable[[], None] | None] = ContextVar("ask", default=None)


@contextmanager
def stopped_by(ask: Callable[[], None]) -> Iterator[None]:
    """Within the block check_stop calls ask(), which raises where the work shall end."""
    before = _ASK.set(ask)
    try:
        yield
    finally:
        _ASK.reset(before)


def check_stop() -> None:
    """Ends the work by what ask() raises, where stopped_by has named one; costs next to nothing."""
    ask = _ASK.get()
    if ask is not None:
        ask()
