"""A small machine for the pickle opcodes that weights need: it imports nothing and calls nothing that a file names.

Opcodes as Python's pickletools describes them (protocols 2 to 5). Names, calls and states are handed to a `Resolver`;
there is no way from here to Python's own import or getattr.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

REMEDY_AGAIN = "Download or copy it again."
REMEDY_DISTRUST = "Do not open it with other programs either; get the weights from somebody whom you trust."
VALUE = 64  # bytes that one value in a container costs, about
SMALL = 65536  # longer byte strings stay views of the file until somebody needs them
LONGEST_NUMBER = 256  # bytes in an integer
LONGEST_NAME = 200
LARGEST_KEY = 2**60  # larger integers can be made to collide in a dict


class Unreadable(ValueError):
    """Why a file is not read, as the end of a sentence that begins with its path; and what to do about it."""

    def __init__(self, reason: str, remedy: str = REMEDY_AGAIN):
        super().__init__(reason)
        self.reason, self.remedy = reason, remedy


class Budget:
    """What one file may still cost: opcodes run, bytes that calls make beyond the file's own."""

    def __init__(self, opcodes: int, size: int):
        self.opcodes, self.size = opcodes, size

    def step(self, count: int = 1) -> None:
        self.opcodes -= count
        if self.opcodes < 0:
            raise Unreadable("takes more steps to read than weights ever do", REMEDY_DISTRUST)

    def spend(self, size: int) -> None:
        self.size -= size
        if self.size < 0:
            raise Unreadable("asks for far more memory than it has data", REMEDY_DISTRUST)


@dataclass(frozen=True, eq=False)
class Foreign:
    """An object whose class was never imported. state: what the file would have had it become, or None."""

    module: str
    name: str
    args: tuple
    state: object


class Name(Foreign):
    """A class or function that a file names, as a mere pair of words."""

    def __init__(self, module: str, name: str):
        super().__init__(module, name, (), None)

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class Resolver(Protocol):
    def name(self, module: str, name: str) -> Name: ...
    def call(self, name: Name, args: tuple) -> Any: ...
    def new(self, name: Name, args: tuple) -> Any: ...
    def build(self, value: Any, state: Any) -> None: ...
    def persistent(self, pid: Any) -> Any: ...


class Machine:
    """Runs one pickle in `data` from `at` on; afterwards `at` is where it ended."""

    def __init__(self, data: memoryview, at: int, resolver: Resolver, budget: Budget):
        self.data, self.at, self.resolver, self.budget = data, at, resolver, budget
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        while (code := self.byte()) != STOP:
            self.budget.step()
            if code not in OPCODES:
                raise Unreadable(f"uses a pickle opcode (0x{code:02x}) that weights never need", REMEDY_DISTRUST)
            OPCODES[code](self)
        value = self.pop()
        if self.stack or self.marks:
            raise Unreadable("is damaged (values are left over at its end)")
        return value

    # the file

    def take(self, size: int) -> memoryview:
        end = self.at + size
        if end > len(self.data):
            raise Unreadable("is cut short")
        part = self.data[self.at : end]
        self.at = end
        return part

    def byte(self) -> int:
        if self.at >= len(self.data):
            raise Unreadable("is cut short")
        self.at += 1
        return self.data[self.at - 1]

    def number(self, layout: struct.Struct) -> Any:
        return layout.unpack(self.take(layout.size))[0]

    def line(self) -> str:
        start = bytes(self.data[self.at : self.at + LONGEST_NAME])
        end = start.find(b"\n")
        if end < 0:
            raise Unreadable("is damaged (a name has no end)")
        self.at += end + 1
        return text(start[:end])

    # the stack

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise Unreadable("is damaged (a value is missing)")
        return self.stack.pop()

    def pop_mark(self) -> list:
        if not self.marks:
            raise Unreadable("is damaged (a mark is missing)")
        mark = self.marks.pop()
        values = self.stack[mark:]
        del self.stack[mark:]
        return values

    def top(self) -> Any:
        value = self.pop()
        self.stack.append(value)
        return value

    # the opcodes with some body

    def protocol(self) -> None:
        if self.byte() > 5:
            raise Unreadable("is a pickle of an unknown protocol", "Save it again with an older Python.")

    def long(self, size: int) -> None:
        if not 0 <= size <= LONGEST_NUMBER:
            raise Unreadable("holds a number of absurd length", REMEDY_DISTRUST)
        self.push(int.from_bytes(self.take(size), "little", signed=True))

    def binary(self, size: int) -> None:
        part = self.take(size)
        self.push(part if size > SMALL else bytes(part))

    def tuple(self, size: int) -> None:
        self.push(tuple([self.pop() for _ in range(size)][::-1]))

    def extend(self, values: list) -> None:
        target = self.top()
        if type(target) is not list:
            raise Unreadable("is damaged (values are added to what is not a list)")
        target.extend(values)

    def add(self, values: list) -> None:
        target = self.top()
        if type(target) is not set:
            raise Unreadable("is damaged (values are added to what is not a set)")
        target.update(map(key, values))

    def set_items(self, values: list) -> None:
        target = self.top()
        if type(target) is Foreign:  # a subclass of dict
            if target.state is None:
                object.__setattr__(target, "state", {})
            target = target.state
        if type(target) is not dict or len(values) % 2:
            raise Unreadable("is damaged (items are set on what is not a dict)")
        for i in range(0, len(values), 2):
            target[key(values[i])] = values[i + 1]

    def get(self, index: int) -> None:
        if index not in self.memo:
            raise Unreadable("is damaged (it refers to a value that is not there)")
        self.push(self.memo[index])

    def put(self, index: int) -> None:
        self.memo[index] = self.top()

    def name(self, module: Any, name: Any) -> None:
        if type(module) is not str or type(name) is not str:
            raise Unreadable("is damaged (a name is not text)")
        self.push(self.resolver.name(module, name))

    def stack_name(self) -> None:
        name, module = self.pop(), self.pop()
        self.name(module, name)

    def call(self, ask: Callable[[Name, tuple], Any]) -> None:
        args, name = self.pop(), self.pop()
        if type(name) is not Name or type(args) is not tuple:
            raise Unreadable("asks for something to be called that has no name", REMEDY_DISTRUST)
        self.push(ask(name, args))

    def build(self) -> None:
        state = self.pop()
        self.resolver.build(self.top(), state)


def text(data: Any) -> str:
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError:
        raise Unreadable("is damaged (a text is not UTF-8)") from None


def key(value: Any) -> Any:
    """value, if it may be a key of a dict: nothing whose hash a file can choose."""
    if type(value) not in (str, int, float, bool, bytes, type(None)):
        raise Unreadable(f"has a {type(value).__name__} as a key")
    if type(value) is int and abs(value) > LARGEST_KEY:
        raise Unreadable("has an absurd number as a key", REMEDY_DISTRUST)
    return value


STOP = ord(".")
INT32, UINT16, UINT32, UINT64, DOUBLE = map(struct.Struct, ("<i", "<H", "<I", "<Q", ">d"))

OPCODES: dict[int, Callable[[Machine], None]] = {
    # framing
    0x80: Machine.protocol,
    0x95: lambda m: m.take(8),
    ord("("): lambda m: m.marks.append(len(m.stack)),
    # numbers, texts, bytes
    ord("N"): lambda m: m.push(None),
    0x88: lambda m: m.push(True),
    0x89: lambda m: m.push(False),
    ord("J"): lambda m: m.push(m.number(INT32)),
    ord("K"): lambda m: m.push(m.byte()),
    ord("M"): lambda m: m.push(m.number(UINT16)),
    0x8A: lambda m: m.long(m.byte()),
    0x8B: lambda m: m.long(m.number(INT32)),
    ord("G"): lambda m: m.push(m.number(DOUBLE)),
    ord("U"): lambda m: m.push(str(m.take(m.byte()), "latin-1")),  # Python 2's str
    ord("T"): lambda m: m.push(str(m.take(m.number(UINT32)), "latin-1")),
    ord("C"): lambda m: m.binary(m.byte()),
    ord("B"): lambda m: m.binary(m.number(UINT32)),
    0x8E: lambda m: m.binary(m.number(UINT64)),
    0x96: lambda m: m.binary(m.number(UINT64)),
    0x8C: lambda m: m.push(text(m.take(m.byte()))),
    ord("X"): lambda m: m.push(text(m.take(m.number(UINT32)))),
    0x8D: lambda m: m.push(text(m.take(m.number(UINT64)))),
    # containers
    ord(")"): lambda m: m.push(()),
    0x85: lambda m: m.tuple(1),
    0x86: lambda m: m.tuple(2),
    0x87: lambda m: m.tuple(3),
    ord("t"): lambda m: m.push(tuple(m.pop_mark())),
    ord("]"): lambda m: m.push([]),
    ord("a"): lambda m: m.extend([m.pop()]),
    ord("e"): lambda m: m.extend(m.pop_mark()),
    ord("}"): lambda m: m.push({}),
    ord("s"): lambda m: m.set_items([m.pop(), m.pop()][::-1]),
    ord("u"): lambda m: m.set_items(m.pop_mark()),
    0x8F: lambda m: m.push(set()),
    0x90: lambda m: m.add(m.pop_mark()),
    # memo
    ord("q"): lambda m: m.put(m.byte()),
    ord("r"): lambda m: m.put(m.number(UINT32)),
    0x94: lambda m: m.put(len(m.memo)),
    ord("h"): lambda m: m.get(m.byte()),
    ord("j"): lambda m: m.get(m.number(UINT32)),
    # names and what is asked of them
    ord("c"): lambda m: m.name(m.line(), m.line()),
    0x93: Machine.stack_name,
    ord("R"): lambda m: m.call(m.resolver.call),
    0x81: lambda m: m.call(m.resolver.new),
    ord("b"): Machine.build,
    ord("Q"): lambda m: m.push(m.resolver.persistent(m.pop())),
}
