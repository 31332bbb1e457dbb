"""What a pickle is made of while it is read: records of unknown objects, the budget of a file, reasons to refuse it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

REMEDY_AGAIN = "Download or copy it again."
# only where a file asks for code to be run
REMEDY_DISTRUST = "Do not open it with other programs either; get the weights from somebody whom you trust."
REMEDY_STATE_DICT = "Give a file that holds the weights alone, such as a state dict."
REMEDY_QUANTIZED = "Give the weights as they were before they were quantized."
VALUE = 64  # bytes that one value in a container costs, about
KEY_STEPS = 100  # opcodes' worth of budget that each part of a compound key costs
KEY_DEPTH = 4
LARGEST_KEY = 2**60  # larger integers can be made to collide in a dict


class Unreadable(ValueError):
    """Why a file is not read, as the end of a sentence that begins with its path; and what to do about it."""

    def __init__(self, reason: str, remedy: str = REMEDY_AGAIN):
        super().__init__(reason)
        self.reason, self.remedy = reason, remedy


class Budget:
    """What one file may still cost: opcodes run, bytes that calls make beyond the file's own.

    numbers: whether they are wanted; else the large storages stay zero.
    """

    def __init__(self, opcodes: int, size: int, numbers: bool = True):
        self.opcodes, self.size, self.numbers = opcodes, size, numbers

    def step(self, count: int = 1) -> None:
        self.opcodes -= count
        if self.opcodes < 0:
            raise Unreadable("takes more steps to read than weights ever do", REMEDY_STATE_DICT)

    def spend(self, size: int) -> None:
        self.size -= size
        if self.size < 0:
            raise Unreadable("asks for far more memory than it has data")


@dataclass(frozen=True, eq=False, repr=False)
class Foreign:
    """An object whose class was never imported. state: what the file would have had it become, or None."""

    module: str
    name: str
    args: tuple
    state: Any

    def __repr__(self) -> str:
        return f"<{self.module}.{self.name}>"


class Name(Foreign):
    """A class or function that a file names, as a mere pair of words."""

    def __init__(self, module: str, name: str):
        super().__init__(module, name, (), None)

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


def text(data: Any) -> str:
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError:
        raise Unreadable("is damaged (a text is not UTF-8)") from None


def key(value: Any, budget: Budget, depth: int = 0) -> Any:
    """value, if it may be a key of a dict. What a file can choose the hash of, it may have few of."""
    if type(value) in (tuple, frozenset) and depth < KEY_DEPTH:
        budget.step(KEY_STEPS * (1 + len(value)))
        for part in value:
            key(part, budget, depth + 1)
        return value
    if type(value) not in (str, int, float, bool, bytes, complex, type(None), Foreign, Name):
        raise Unreadable(f"has a {type(value).__name__} as a key", REMEDY_STATE_DICT)
    if type(value) is int and abs(value) > LARGEST_KEY:
        raise Unreadable("has a number beyond 2^60 as a key", REMEDY_STATE_DICT)
    return value
