"""torch.save's two containers: the zip archive since 1.6, and the run of pickles before it (and inside NVIDIA's files).

Both hold one pickle whose persistent ids are ("storage", type, key, location, numel) and the storages' raw numbers.
"""

from __future__ import annotations

import io
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

from .arrays import BIG_ENDIAN, STORAGES, Storage
from .machine import AGAIN, DISTRUST, Budget, Machine, Name, Unreadable
from .names import Meaning

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
LOCAL_HEADER = struct.Struct("<4s5H3I2H")  # APPNOTE 4.3.7
DAMAGED = "is damaged (a storage is not whole)"


class TorchMeaning(Meaning):
    """A Meaning with storages: found(key) fills one at once, or returns None where its numbers come later."""

    def __init__(self, budget: Budget, found: Callable[[str], memoryview | None], storage_of: Callable[[Any], Any]):
        super().__init__(budget, storage_of)
        self.found = found
        self.storages: dict[str, Storage] = {}

    def persistent(self, pid: Any) -> Any:
        if type(pid) is tuple and len(pid) == 4 and pid[0] == "module" and type(pid[1]) is Name:
            return pid[1]  # a class with its source text, from torch before 1.0
        if type(pid) is not tuple or not 5 <= len(pid) <= 6 or pid[0] != "storage" or type(pid[2]) is not str:
            raise Unreadable(DAMAGED)
        _, kind, key, _, numel, *view = pid
        dtype = STORAGES.get(kind.name) if type(kind) is Name and kind.module in ("torch", "torch.storage") else None
        if dtype is None or any(view):
            raise Unreadable(f"holds numbers of a kind ({ascii(getattr(kind, 'name', kind))[:40]}) that is not read")
        if key not in self.storages:
            data = self.found(key)
            if data is not None and len(data) != numel * dtype.itemsize:
                raise Unreadable(DAMAGED)
            self.storages[key] = Storage(dtype, numel, self.budget)
            if data is not None:
                self.storages[key].fill(data)
        storage = self.storages[key]
        if storage.flat.dtype != dtype or storage.flat.numel() != numel:
            raise Unreadable(DAMAGED)
        return storage


def read_zip(data: memoryview, budget: Budget, storage_of: Callable[[Any], Any]) -> Any:
    """torch.save since 1.6: NAME/data.pkl and NAME/data/KEY in a zip archive without compression."""
    records = _records(data)
    roots = [name for name in records if re.fullmatch(r"[^/]+/data\.pkl", name)]
    if len(roots) != 1:
        raise Unreadable("is a zip archive, but not of weights", "Unpack it, or give the weights inside it.")
    root = roots[0].removesuffix("data.pkl")
    if root + "constants.pkl" in records:
        raise Unreadable("is a TorchScript program, not plain weights", "Use the state dict that it was made from.")
    if bytes(records.get(root + "byteorder", b"little")) != b"little":
        raise BIG_ENDIAN
    meaning = TorchMeaning(budget, lambda key: _record(records, f"{root}data/{key}"), storage_of)
    return Machine(records[roots[0]], 0, meaning, budget).run()


def _record(records: dict[str, memoryview], name: str) -> memoryview:
    if name not in records:
        raise Unreadable("is damaged (a storage is missing)")
    return records[name]


def _records(data: memoryview) -> dict[str, memoryview]:
    """Every entry of an archive, as views of the file."""
    try:
        with zipfile.ZipFile(_File(data)) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, OverflowError, struct.error) as error:
        raise Unreadable("is a damaged zip archive") from error
    records: dict[str, memoryview] = {}
    total = 0
    for entry in entries:
        name = entry.filename
        odd = "\\" in entry.orig_filename or name.startswith("/") or ".." in name.split("/") or ":" in name
        if odd or stat.S_ISLNK(entry.external_attr >> 16):
            raise Unreadable("holds an entry that points out of the archive", DISTRUST)
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size or entry.flag_bits & 1:
            raise Unreadable("holds compressed entries, which PyTorch never writes", DISTRUST)
        if name in records:
            raise Unreadable("holds two entries of one name", DISTRUST)
        total += entry.file_size
        if total > len(data):
            raise Unreadable("holds entries that overlap", DISTRUST)
        records[name] = _contents(data, entry)
    return records


def _contents(data: memoryview, entry: zipfile.ZipInfo) -> memoryview:
    start = entry.header_offset
    header = data[start : start + LOCAL_HEADER.size]
    if start < 0 or len(header) < LOCAL_HEADER.size or bytes(header[:4]) != b"PK\x03\x04":
        raise Unreadable("is a damaged zip archive")
    *_, name_size, extra_size = LOCAL_HEADER.unpack(header)
    start += LOCAL_HEADER.size + name_size + extra_size
    contents = data[start : start + entry.file_size]
    if len(contents) != entry.file_size:
        raise Unreadable("is cut short")
    if zlib.crc32(contents) != entry.CRC:
        raise Unreadable("is damaged (a checksum inside it does not match)")
    return contents


class _File(io.RawIOBase):
    """A memoryview as a file that zipfile reads, without a copy of the whole."""

    def __init__(self, data: memoryview):
        self.data, self.at = data, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        at = offset + (0, self.at, len(self.data))[whence]
        if at < 0:
            raise ValueError("before the start")
        self.at = at
        return at

    def tell(self) -> int:
        return self.at

    def read(self, size: int = -1) -> bytes:
        end = len(self.data) if size is None or size < 0 else min(self.at + size, len(self.data))
        part = bytes(self.data[self.at : end])
        self.at = max(self.at, end)
        return part


def is_legacy(data: memoryview) -> bool:
    """Does this begin as torch.save wrote before 1.6?"""
    return bytes(data[:15]) == b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


def read_legacy(data: memoryview, budget: Budget, storage_of: Callable[[Any], Any]) -> Any:
    """torch.save before 1.6: pickles of magic, protocol, machine, object and storage keys; then each storage."""
    meaning = TorchMeaning(budget, lambda key: None, storage_of)
    at = 0

    def run() -> Any:
        nonlocal at
        machine = Machine(data, at, meaning, budget)
        value = machine.run()
        at = machine.at
        return value

    if run() != MAGIC_NUMBER or run() != LEGACY_PROTOCOL:
        raise Unreadable("is of an unknown PyTorch format", AGAIN)
    machine = run()
    if type(machine) is dict and machine.get("little_endian", True) is not True:
        raise BIG_ENDIAN
    value = run()
    keys = run()
    if type(keys) is not list or set(map(str, keys)) != meaning.storages.keys() or len(keys) != len(meaning.storages):
        raise Unreadable(DAMAGED)
    for key in keys:
        storage = meaning.storages[str(key)]
        if at + 8 + storage.size > len(data):
            raise Unreadable("is cut short")
        (numel,) = struct.unpack("<q", data[at : at + 8])
        if numel != storage.flat.numel():
            raise Unreadable(DAMAGED)
        storage.fill(data[at + 8 : at + 8 + storage.size])
        at += 8 + storage.size
    if at != len(data):
        raise Unreadable("is damaged (it goes on after its end)")
    return value
