"""What goes wrong because of what was given: one sentence of cause, one of remedy."""

from __future__ import annotations

import math
import re
from numbers import Real
from typing import TypeGuard

ECHO = 80  # characters of what was given that a message repeats
_LONG_RUN = re.compile(rf"\S{{{ECHO + 20},}}")
_LONGEST = 380  # characters of a sentence


class InputError(ValueError):
    """Bad input. The command line answers it with exit status 2, the host with its error dialog.

    Both sentences are made printable, and what they repeat of the input is shortened.
    """

    def __init__(self, cause: str, remedy: str):
        cause, remedy = _sentence(cause), _sentence(remedy)
        super().__init__(f"{cause} {remedy}")
        self.cause = cause
        self.remedy = remedy

    def __reduce__(self):
        return InputError, (self.cause, self.remedy)


class Stopped(KeyboardInterrupt):
    """Ctrl-C, with what was kept of the work as its message: part of a sentence, without a full stop."""


def printable(text: object) -> str:
    """text on one line, with every control character, lone surrogate and terminal escape as an escape sequence."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text))


def shown(text: object, most: int = ECHO) -> str:
    """text as a message repeats it: printable, and its middle left out where it is longer than `most`."""
    text = str(text)
    if len(text) > 2 * most:  # an escape is longer than what it stands for
        text = f"{text[:most]}…{text[-most:]}"
    text = printable(text)
    head = (most - 1) // 2
    return text if len(text) <= most else f"{text[:head]}…{text[head + 1 - most :]}"


def _sentence(text: str) -> str:
    """A sentence without control characters, overlong words and overlong middles."""
    text = _LONG_RUN.sub(lambda run: shown(run[0]), printable(text))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]}…{text[-_LONGEST // 2 + 1 :]}"


def is_finite(value: object) -> TypeGuard[float]:
    """Is this a real number, finite also as a float? bool is not a number here."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number past the range of floats
        return False


def check_number(value: object, name: str, *, low: float | None = None, high: float | None = None) -> None:
    """Refuse what is not a finite number in low..high, both ends included; None leaves that end open."""
    if not is_finite(value) or (low is not None and value < low) or (high is not None and value > high):
        ends = [f"at least {low:g}" if low is not None else "", f"at most {high:g}" if high is not None else ""]
        bounds = " and ".join(end for end in ends if end)
        raise InputError(f"{name} is {value_shown(value)}.", f"Give a number{' of ' + bounds if bounds else ''}.")


def check_whole(value: object, name: str, *, low: int, high: int) -> None:
    """Refuse what is not a whole number in low..high, both ends included."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InputError(f"{name} is {value_shown(value)}.", f"Give a whole number from {low} to {high}.")


def value_shown(value: object) -> str:
    """A wrong value as a message repeats it; the digits of an enormous number are not worked out."""
    if isinstance(value, int) and abs(value) >= 10**18:
        return "beyond all measure"
    return shown(repr(value))
