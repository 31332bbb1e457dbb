"""The type of a file that holds no weights, by its first bytes."""

from __future__ import annotations

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
