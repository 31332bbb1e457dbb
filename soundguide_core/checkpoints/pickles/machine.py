"""A small machine for the pickle opcodes that weights need: it imports nothing and calls nothing that a file names.

Opcodes as Python's pickletools describes them (protocols 0 to 5). Names, calls and states are handed to a `Resolver`;
there is no way from here to Python's own import or getattr. One table of opcodes and the machine that they work on are
one thing, hence the length.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable
from typing import Any, Protocol

from .values import REMEDY_DISTRUST, REMEDY_STATE_DICT, Budget, Foreign, Name, Unreadable, key, text

SMALL = 65536  # longer byte strings stay views of the file until somebody needs them
LONGEST_NUMBER = 256  # bytes in an integer
LONGEST_NAME = 200
LONGEST_LINE = 2**20
for _codec in ("latin-1", "raw-unicode-escape", "unicode-escape"):
    codecs.lookup(_codec)  # Python imports a codec at its first use, which is not to happen for a file


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
                raise Unreadable(f"is damaged, or uses a pickle opcode (0x{code:02x}) that weights never need")
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

    def line(self, longest: int = LONGEST_NAME) -> bytes:
        """Up to the next line feed."""
        size = LONGEST_NAME
        while (end := (start := bytes(self.data[self.at : self.at + size])).find(b"\n")) < 0:
            if size >= longest:
                raise Unreadable("is damaged (a name has no end)")
            size *= 16
        self.at += end + 1
        return start[:end]

    def decimal(self) -> int:
        """A whole number written out, as protocol 0 has them."""
        line = self.line().removesuffix(b"L")
        if not line.lstrip(b"-").isdigit():
            raise Unreadable("is damaged (a number is none)")
        return int(line)

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
            raise Unreadable("is damaged (a number has an impossible length)")
        self.push(int.from_bytes(self.take(size), "little", signed=True))

    def binary(self, size: int) -> None:
        part = self.take(size)
        self.push(part if size > SMALL else bytes(part))

    def tuple(self, size: int) -> None:
        self.push(tuple([self.pop() for _ in range(size)][::-1]))

    def extend(self, values: list) -> None:
        target = self.top()
        if type(target) is Foreign:  # a subclass of list
            if target.state is None:
                object.__setattr__(target, "state", [])
            target = target.state
        if type(target) is not list:
            raise Unreadable("is damaged (values are added to what is not a list)")
        target.extend(values)

    def add(self, values: list) -> None:
        target = self.top()
        if type(target) is not set:
            raise Unreadable("is damaged (values are added to what is not a set)")
        target.update(self.keys(values))

    def keys(self, values: list) -> list:
        return [key(value, self.budget) for value in values]

    def set_items(self, values: list) -> None:
        target = self.top()
        if type(target) is Foreign:  # a subclass of dict
            if target.state is None:
                object.__setattr__(target, "state", {})
            target = target.state
        if type(target) is not dict or len(values) % 2:
            raise Unreadable("is damaged (items are set on what is not a dict)")
        for i in range(0, len(values), 2):
            target[key(values[i], self.budget)] = values[i + 1]

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

    def call(self, ask: Callable[[Name, tuple], Any], name: Any, args: Any) -> None:
        if isinstance(name, Foreign) and type(name) is not Name:
            raise Unreadable(f"asks for {name!a}, an object of its own, to be called", REMEDY_DISTRUST)
        if type(name) is not Name or type(args) is not tuple:
            raise Unreadable("is damaged (what it calls has no name)")
        self.push(ask(name, args))

    def call_top(self, ask: Callable[[Name, tuple], Any]) -> None:
        args, name = self.pop(), self.pop()
        self.call(ask, name, args)

    def new_with_keywords(self) -> None:
        self.pop()  # keyword arguments, which a record does not keep
        self.call_top(self.resolver.new)

    def call_marked(self) -> None:
        """A class and its arguments since the mark (opcode OBJ)."""
        name, *args = self.pop_mark() or [None]
        self.call(self.resolver.call, name, tuple(args))

    def call_named(self) -> None:
        """A class named here and its arguments since the mark (opcode INST)."""
        self.name(self.text_line(), self.text_line())
        self.call(self.resolver.call, self.pop(), tuple(self.pop_mark()))

    def text_line(self) -> str:
        return text(self.line())

    def string(self) -> None:
        """A quoted string of protocol 0, with Python's escapes."""
        line = self.line(LONGEST_LINE).strip()
        if len(line) < 2 or line[0] != line[-1] or line[:1] not in (b"'", b'"'):
            raise Unreadable("is damaged (a text has no quotes)")
        try:
            self.push(str(codecs.escape_decode(line[1:-1])[0], "latin-1"))
        except ValueError:
            raise Unreadable("is damaged (a text has an unknown escape)") from None

    def unicode(self) -> None:
        try:
            self.push(str(self.line(LONGEST_LINE), "raw-unicode-escape"))
        except UnicodeDecodeError:
            raise Unreadable("is damaged (a text has an unknown escape)") from None

    def integer(self) -> None:
        bools = {b"00": False, b"01": True}
        start = bytes(self.data[self.at : self.at + 3])
        if start[2:] == b"\n" and start[:2] in bools:
            self.at += 3
            self.push(bools[start[:2]])
        else:
            self.push(self.decimal())

    def real(self) -> None:
        try:
            self.push(float(self.line()))
        except ValueError:
            raise Unreadable("is damaged (a number is none)") from None

    def dict_of(self, values: list) -> None:
        self.push({})
        self.set_items(values)

    def drop(self) -> None:
        if self.marks and len(self.stack) == self.marks[-1]:
            self.marks.pop()
        else:
            self.pop()

    def build(self) -> None:
        state = self.pop()
        self.resolver.build(self.top(), state)


def refuse(reason: str) -> Callable[[Machine], None]:
    def opcode(_: Machine) -> None:
        raise Unreadable(reason, REMEDY_STATE_DICT)

    return opcode


STOP = ord(".")
INT32, UINT16, UINT32, UINT64, DOUBLE = map(struct.Struct, ("<i", "<H", "<I", "<Q", ">d"))

OPCODES: dict[int, Callable[[Machine], object]] = {
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
    ord("I"): Machine.integer,
    ord("L"): lambda m: m.push(m.decimal()),
    ord("F"): Machine.real,
    ord("G"): lambda m: m.push(m.number(DOUBLE)),
    ord("S"): Machine.string,
    ord("V"): Machine.unicode,
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
    0x91: lambda m: m.push(frozenset(m.keys(m.pop_mark()))),
    ord("l"): lambda m: m.push(m.pop_mark()),
    ord("d"): lambda m: m.dict_of(m.pop_mark()),
    # the stack
    ord("0"): Machine.drop,
    ord("1"): lambda m: m.pop_mark() and None,
    ord("2"): lambda m: m.push(m.top()),
    # memo
    ord("p"): lambda m: m.put(m.decimal()),
    ord("g"): lambda m: m.get(m.decimal()),
    ord("q"): lambda m: m.put(m.byte()),
    ord("r"): lambda m: m.put(m.number(UINT32)),
    0x94: lambda m: m.put(len(m.memo)),
    ord("h"): lambda m: m.get(m.byte()),
    ord("j"): lambda m: m.get(m.number(UINT32)),
    # names and what is asked of them
    ord("c"): lambda m: m.name(m.text_line(), m.text_line()),
    0x93: Machine.stack_name,
    ord("R"): lambda m: m.call_top(m.resolver.call),
    0x81: lambda m: m.call_top(m.resolver.new),
    0x92: Machine.new_with_keywords,
    ord("i"): Machine.call_named,
    ord("o"): Machine.call_marked,
    ord("b"): Machine.build,
    ord("Q"): lambda m: m.push(m.resolver.persistent(m.pop())),
    ord("P"): lambda m: m.push(m.resolver.persistent(m.text_line())),
    **dict.fromkeys((0x82, 0x83, 0x84), refuse("names things by numbers that another program has given out")),
    **dict.fromkeys((0x97, 0x98), refuse("was pickled without its numbers")),
}
