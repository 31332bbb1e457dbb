"""What a SoundGuide file says of itself: its tensors' shapes and its config, from the header alone, without PyTorch.

A .safetensors file begins with the length of a JSON object in eight bytes, then that object: {name: {"dtype", "shape",
"data_offsets"}}, and texts under "__metadata__"; the numbers follow without gaps.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .registry import KINDS

if TYPE_CHECKING:
    from .pickles.numbers import Numbers

LONGEST_HEADER = 32 * 2**20  # bytes
MOST_TENSORS = 50_000  # the largest networks have some thousands
CONFIG_KEY = "config"  # JSON in the file's metadata
SOURCE = "source"  # in the config of a converted file: {"kind", "format", "file", "sha256"}
SIZES = {"BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2, "I32": 4, "U32": 4, "F32": 4, "I64": 8,
         "U64": 8, "F64": 8}  # fmt: skip
TYPES = {"BOOL": "bool", "U8": "uint8", "I8": "int8", "I16": "int16", "U16": "uint16", "F16": "float16",
         "BF16": "bfloat16", "I32": "int32", "U32": "uint32", "F32": "float32", "I64": "int64", "U64": "uint64",
         "F64": "float64"}  # their names in PyTorch  # fmt: skip


def read_own(path: str | os.PathLike) -> tuple[dict[str, list[int]], dict] | None:
    """(shapes by name, config) of a whole file that SoundGuide has written; None of any other, or a damaged one."""
    header = _read(Path(path))
    if header is None or header.config is None:
        return None
    return {name: list(entry["shape"]) for name, entry in header.entries.items()}, header.config


def tensors(path: str | os.PathLike) -> dict[str, Numbers] | None:
    """The tensors of a whole .safetensors file of another program, in the file itself; None of any other file."""
    import numpy as np

    from .pickles.numbers import HELD, Numbers

    header = _read(Path(path))
    if header is None or header.stated:
        return None
    found = {}
    for name, entry in header.entries.items():
        kind = TYPES[entry["dtype"]]
        start, shape = header.start + entry["data_offsets"][0], tuple(entry["shape"])
        whole = math.prod(shape) > 0  # nothing can be mapped where there is nothing
        dtype = np.dtype(HELD[kind])
        x = np.memmap(path, dtype, "r", start, shape) if whole else np.empty(shape, dtype)
        found[name] = Numbers.of(np.asarray(x), kind)
    return found


@dataclass(frozen=True)
class _Header:
    """entries by name; config: SoundGuide's, None where there is none that can be read; stated: whether there is one;
    start: where the numbers begin."""

    entries: dict[str, dict]
    config: dict | None
    stated: bool
    start: int


def _read(path: Path) -> _Header | None:
    """None where it is no .safetensors file, or not whole."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        room = path.stat().st_size - 8 - length
        if room < 0 or length > LONGEST_HEADER:
            return None
        try:
            entries = json.loads(file.read(length), object_pairs_hook=_once)
            metadata = entries.pop("__metadata__", {})
            stated = CONFIG_KEY in metadata
            config = json.loads(metadata[CONFIG_KEY]) if stated else None
            _check(entries, room)
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
            return None
    return _Header(entries, config if isinstance(config, dict) else None, stated, 8 + length)


def stated_kind(config: dict) -> str:
    """The kind that a converted file's config states, "" where it states none that there is."""
    source = config.get(SOURCE)
    kind = source.get("kind") if isinstance(source, dict) else None
    return kind if isinstance(kind, str) and kind in KINDS else ""


def _once(pairs: list) -> dict:
    """A JSON object; ValueError where it says a name twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError
    return found


def _check(entries: dict, room: int) -> None:
    """ValueError unless the tensors fill the room behind the header without gaps."""
    if len(entries) > MOST_TENSORS:
        raise ValueError
    at = 0
    for entry in sorted(entries.values(), key=lambda entry: entry["data_offsets"]):
        shape, (start, end) = entry["shape"], entry["data_offsets"]
        if not all(type(n) is int and n >= 0 for n in (*shape, start, end)):
            raise ValueError
        if start != at or end - start != math.prod(shape) * SIZES[entry["dtype"]]:
            raise ValueError
        at = end
    if at != room:
        raise ValueError
