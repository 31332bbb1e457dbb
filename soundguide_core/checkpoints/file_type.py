"""The type of a file by its first bytes: .safetensors, or what holds no weights."""

from __future__ import annotations

import os
from pathlib import Path

from ..common.errors import InputError

KINDS = (
    (b"PK\x03\x04", "a zip archive, as .pt and .pth files are"),
    (b"\x80", "a Python pickle"),
    (b"version https://git-lfs", "a Git LFS pointer, not the weights themselves"),
    (b"<", "a web page, not weights"),
    (b"{", "a text file"),
    (b"\x89PNG", "a PNG picture"),
    (b"\x89HDF", "an HDF5 file"),
    (b"GGUF", "a GGUF file"),
    (b"RIFF", "a sound or video"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
)


def describe_start(start: bytes) -> str | None:
    """start: the first 512 bytes => "a PNG picture"; None where they say nothing."""
    if start[257:262] == b"ustar":
        return "a tar archive, as PyTorch wrote before 2017"
    return next((kind for magic, kind in KINDS if start.startswith(magic)), None)


def is_safetensors(path: str | os.PathLike) -> bool:
    """Does the file begin, or at least end its name, as a .safetensors file? InputError where there is none."""
    path = Path(path)
    start = first_bytes(path)
    if len(start) > 8 and start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= path.stat().st_size:
        return True
    return path.suffix == ".safetensors" and not start.startswith((b"PK\x03\x04", b"\x80"))


def first_bytes(path: Path) -> bytes:
    """64 of them; InputError where there is no file."""
    if path.is_dir():
        raise InputError(f"{path} is a folder.", "Give the file inside it.")
    if not path.is_file():
        raise InputError(f"There is no file {path}.", "Check the path, or list what is here with `models`.")
    with path.open("rb") as file:
        return file.read(64)
