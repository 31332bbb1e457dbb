"""torch.save's two containers: the zip archive since 1.6, and the run of pickles before it (and inside NVIDIA's files).

Both hold one pickle whose persistent ids are ("storage", type, key, location, numel) and the storages' raw numbers.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from .arrays import QUANTIZED, STORAGES, Storage
from .machine import Machine
from .numbers import HELD
from .resolver import Resolver
from .values import REMEDY_AGAIN, REMEDY_QUANTIZED, Budget, Name, Unreadable
from .zip_archive import entries

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
LEGACY_START = re.compile(
    rb"\x80.(\x95.{8})?\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19\.|L119547037146038801333356L\n\.", re.DOTALL
)
DAMAGED = "is damaged (a storage is not whole)"


class TorchResolver(Resolver):
    """Resolver of a torch file. found(key): the bytes of a storage, or None where they follow the pickle."""

    def __init__(self, budget: Budget, found: Callable[[str], memoryview | None], storage_of: Callable[[Any], Any]):
        super().__init__(budget, storage_of)
        self.found = found
        self.storages: dict[str, Storage] = {}

    def persistent(self, pid: Any) -> Any:
        if type(pid) is tuple and len(pid) == 4 and pid[0] == "module" and type(pid[1]) is Name:
            return pid[1]  # a class with its source text, from torch before 1.0
        if type(pid) is not tuple or not 5 <= len(pid) <= 6 or pid[0] != "storage":
            raise Unreadable(DAMAGED)
        _, kind, key, _, numel, *view = list(pid)
        if type(kind) is not Name or type(key) is not str or type(numel) is not int or view not in ([], [None]):
            raise Unreadable(DAMAGED)
        numbers = STORAGES.get(kind.name) if kind.module in ("torch", "torch.storage") else None
        if numbers is None:
            said = f"holds numbers of a kind ({ascii(kind.name)[1:-1]}) that is not read"
            raise Unreadable(said, REMEDY_QUANTIZED if kind.name in QUANTIZED else REMEDY_AGAIN)
        if key not in self.storages:
            data = self.found(key)
            if data is not None and len(data) != numel * np.dtype(HELD[numbers]).itemsize:
                raise Unreadable(DAMAGED)
            self.storages[key] = Storage(numbers, numel, self.budget)
            if data is not None:
                self.storages[key].fill(data)
        storage = self.storages[key]
        if storage.kind != numbers or storage.flat.size != numel:
            raise Unreadable(DAMAGED)
        return storage


def read_zip(data: memoryview, budget: Budget, storage_of: Callable[[Any], Any]) -> Any:
    """torch.save since 1.6, and torch.jit.save: NAME/data.pkl and NAME/data/KEY, uncompressed, in a zip archive."""
    records = entries(data, budget)
    roots = [name for name in records if re.fullmatch(r"[^/]+/data\.pkl", name)]
    if len(roots) != 1:
        raise Unreadable("is a zip archive, but not of weights", "Unpack it, or give the weights inside it.")
    root = roots[0].removesuffix("data.pkl")
    if not all(name.startswith(root) for name in records):
        raise Unreadable("holds entries outside its own folder")
    if bytes(records.get(root + "byteorder", b"little")) != b"little":
        raise _big_endian()
    resolver = TorchResolver(budget, lambda key: _record(records, f"{root}data/{key}"), storage_of)
    return Machine(records[roots[0]], 0, resolver, budget).run()


def _record(records: dict[str, memoryview], name: str) -> memoryview:
    if name not in records:
        raise Unreadable("is damaged (a storage is missing)")
    return records[name]


def _big_endian() -> Unreadable:
    return Unreadable("was saved on a machine of the other byte order", "Save it again on a common machine.")


def is_legacy(data: memoryview) -> bool:
    """Does this begin as torch.save wrote before 1.6?"""
    return LEGACY_START.match(bytes(data[:64])) is not None


def read_legacy(data: memoryview, budget: Budget, storage_of: Callable[[Any], Any]) -> Any:
    """torch.save before 1.6: pickles of magic, protocol, machine, object and storage keys; then each storage."""
    resolver = TorchResolver(budget, lambda key: None, storage_of)
    at = 0

    def run() -> Any:
        nonlocal at
        machine = Machine(data, at, resolver, budget)
        value = machine.run()
        at = machine.at
        return value

    for expected in (MAGIC_NUMBER, LEGACY_PROTOCOL):
        found = run()
        if type(found) is not int or found != expected:
            raise Unreadable("is of an unknown PyTorch format")
    machine = run()
    if type(machine) is dict and machine.get("little_endian", True) is not True:
        raise _big_endian()
    value = run()
    keys = run()
    if type(keys) is not list or not all(type(key) is str for key in keys) or len(set(keys)) != len(keys):
        raise Unreadable(DAMAGED)
    if set(keys) != resolver.storages.keys():
        raise Unreadable(DAMAGED)
    for key in keys:
        storage = resolver.storages[key]
        if at + 8 + storage.size > len(data):
            raise Unreadable("is cut short")
        (numel,) = struct.unpack("<q", data[at : at + 8])
        if numel != storage.flat.size:
            raise Unreadable(DAMAGED)
        storage.fill(data[at + 8 : at + 8 + storage.size])
        at += 8 + storage.size
    if at != len(data):
        raise Unreadable("is damaged (it goes on after its end)")
    return value
