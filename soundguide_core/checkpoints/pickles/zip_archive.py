"""The entries of a zip archive as torch.save writes it: stored, never compressed; each a view of the file.

PKWARE's APPNOTE 6.3.9, sections 4.3.7 (local header), 4.3.12 (directory) and 4.3.14 to 4.3.16 (its end, zip64).
"""

from __future__ import annotations

import stat
import struct
import zlib

from .values import Budget, Unreadable, text

LOCAL = struct.Struct("<4s5H3I2H")
ENTRY = struct.Struct("<4s6H3I5H2I")
END = struct.Struct("<4s4H2IH")
LOCATOR_64 = struct.Struct("<4sIQI")
END_64 = struct.Struct("<4sQ2H2I4Q")
LONGEST_COMMENT = 65535
FULL = 0xFFFFFFFF  # "see zip64" in a field of 32 bits
STORED = 0
STEPS = 20  # opcodes' worth of budget that an entry costs
DAMAGED = "is a damaged zip archive"


def entries(data: memoryview, budget: Budget) -> dict[str, memoryview]:
    """name => contents, a TorchScript program's source left out. Refused: compression, links, names that lead elsewhere
    or come twice, overlapping entries."""
    at, count = _directory(data)
    found: dict[str, memoryview] = {}
    total = 0
    for _ in range(count):
        budget.step(STEPS)
        fields = _unpack(ENTRY, data, at, b"PK\x01\x02")
        _, _, _, flags, method, _, _, crc, packed, size, name_size, extra_size, comment_size, *_, mode, start = fields
        end = at + ENTRY.size + name_size
        raw_name = data[at + ENTRY.size : end]
        packed, size, start = _wide(data[end : end + extra_size], size, packed, start)
        at = end + extra_size + comment_size
        name = text(raw_name)
        # nothing is unpacked to disk, and torch names the folder after the file, colons and all
        if name.startswith("/") or "\0" in name or ".." in name.split("/"):
            raise Unreadable("holds an entry that points out of the archive")
        if stat.S_ISLNK(mode >> 16):
            raise Unreadable("holds a link in place of weights")
        if name.split("/")[1:2] == ["code"]:
            continue
        if method != STORED or packed != size or flags & 1:
            raise Unreadable("is a zip archive with compressed entries, which PyTorch never writes", "Unpack it first.")
        if name in found:
            raise Unreadable("holds two entries of one name")
        total += size
        if total > len(data):
            raise Unreadable("holds entries that overlap")
        found[name] = _contents(data, start, size, crc, bytes(raw_name))
    return found


def _unpack(layout: struct.Struct, data: memoryview, at: int, magic: bytes) -> tuple:
    part = data[max(at, 0) : at + layout.size]
    if len(part) < layout.size or bytes(part[:4]) != magic:
        raise Unreadable(DAMAGED)
    return layout.unpack(part)


def _directory(data: memoryview) -> tuple[int, int]:
    """(where the directory begins, how many entries it has)"""
    tail_at = max(0, len(data) - LONGEST_COMMENT - END.size)
    at = tail_at + bytes(data[tail_at:]).rfind(b"PK\x05\x06")
    if at < tail_at:
        raise Unreadable("is cut short")
    *_, count, _, start, _ = _unpack(END, data, at, b"PK\x05\x06")
    if start == FULL or count == 0xFFFF:
        _, _, at, _ = _unpack(LOCATOR_64, data, at - LOCATOR_64.size, b"PK\x06\x07")
        *_, count, _, start = _unpack(END_64, data, at, b"PK\x06\x06")
    return start, count


def _wide(extra: memoryview, size: int, packed: int, start: int) -> tuple[int, int, int]:
    """(packed size, size, start), those that do not fit 32 bits from the zip64 field in extra."""
    values = [size, packed, start]
    missing = [i for i, value in enumerate(values) if value == FULL]
    at = 0
    while missing and at + 4 <= len(extra):
        field, length = struct.unpack("<2H", extra[at : at + 4])
        if field == 1 and length >= 8 * len(missing) and at + 4 + length <= len(extra):
            for i, value in zip(missing, struct.iter_unpack("<Q", extra[at + 4 : at + 4 + 8 * len(missing)])):
                values[i] = value[0]
            break
        at += 4 + length
    return values[1], values[0], values[2]


def _contents(data: memoryview, start: int, size: int, crc: int, name: bytes) -> memoryview:
    *_, name_size, extra_size = _unpack(LOCAL, data, start, b"PK\x03\x04")
    at = start + LOCAL.size
    if bytes(data[at : at + name_size]) != name:
        raise Unreadable(DAMAGED)
    at += name_size + extra_size
    contents = data[at : at + size]
    if len(contents) != size:
        raise Unreadable("is cut short")
    if crc and zlib.crc32(contents) != crc:  # 0: torch was told not to compute it
        raise Unreadable("is damaged (a checksum inside it does not match)")
    return contents
