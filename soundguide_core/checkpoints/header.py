"""What a SoundGuide file says of itself: its tensors' shapes and its config, from the header alone, without PyTorch.

A .safetensors file begins with the length of a JSON object in eight bytes, then that object: {name: {"dtype", "shape",
"data_offsets"}}, and texts under "__metadata__"; the numbers follow without gaps.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

from .registry import KINDS

LONGEST_HEADER = 32 * 2**20  # bytes
MOST_TENSORS = 50_000  # the largest networks have some thousands
CONFIG_KEY = "config"  # JSON in the file's metadata
SOURCE = "source"  # in the config of a converted file: {"kind", "format", "file", "sha256"}
SIZES = {"BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2, "I32": 4, "U32": 4, "F32": 4, "I64": 8,
         "U64": 8, "F64": 8}  # fmt: skip


def read_own(path: str | os.PathLike) -> tuple[dict[str, list[int]], dict] | None:
    """(shapes by name, config) of a whole file that SoundGuide has written; None of any other, or a damaged one."""
    path = Path(path)
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
            config = json.loads(metadata[CONFIG_KEY])
            shapes = _shapes(entries, room)
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
            return None
    return (shapes, config) if isinstance(config, dict) else None


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


def _shapes(entries: dict, room: int) -> dict[str, list[int]]:
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
    return {name: list(entry["shape"]) for name, entry in entries.items()}
