"""What goes wrong because of what was given: one sentence of cause, one of remedy."""

from __future__ import annotations

import math
from numbers import Real


class InputError(ValueError):
    """Bad input. The command line answers it with exit status 2, the host with its error dialog."""

    def __init__(self, cause: str, remedy: str):
        super().__init__(f"{cause} {remedy}")
        self.cause = cause
        self.remedy = remedy

    def __reduce__(self):
        return InputError, (self.cause, self.remedy)


def check_number(value: object, name: str, *, low: float | None = None, high: float | None = None) -> None:
    """Refuse what is not a finite number in low..high, both ends included; None leaves that end open."""
    numeric = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if not numeric or (low is not None and value < low) or (high is not None and value > high):
        ends = [f"at least {low:g}" if low is not None else "", f"at most {high:g}" if high is not None else ""]
        bounds = " and ".join(end for end in ends if end)
        raise InputError(f"{name} is {value!r}.", f"Give a number{' of ' + bounds if bounds else ''}.")


def check_whole(value: object, name: str, *, low: int, high: int) -> None:
    """Refuse what is not a whole number in low..high, both ends included."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        shown = repr(value) if not isinstance(value, int) or abs(value) < 10**18 else "beyond all measure"
        raise InputError(f"{name} is {shown[:80]}.", f"Give a whole number from {low} to {high}.")
