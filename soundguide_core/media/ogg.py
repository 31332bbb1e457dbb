"""Chained Ogg files: recordings one after another in one file, each with its own headers, as radio is recorded.

FFmpeg reads on with the headers of the first. "The Ogg Encapsulation Format Version 0", RFC 3533 (2003), sections 4
and 6: a page is "OggS", a version, flags, a position of 8 bytes, three numbers of 4, the count of its segments, their
sizes, and then the segments.
"""

from __future__ import annotations

import os

HEADER, FLAGS, BEGINS = 27, 5, 2  # bytes of a page's header; where its flags are; the one of a stream's first page
MOST = 1000  # recordings that are told apart


def links(path: str | os.PathLike) -> list[tuple[int, int]]:
    """Where each recording begins and ends in the file, in bytes; all of it for any other file."""
    size = os.path.getsize(path)
    starts, at, before = [0], 0, True
    with open(path, "rb") as file:
        while len(header := file.read(HEADER)) == HEADER and header.startswith(b"OggS") and len(starts) < MOST:
            begins = bool(header[FLAGS] & BEGINS)
            if begins and not before:  # the first pages of streams that sound together stand together
                starts.append(at)
            before = begins
            at += HEADER + header[-1] + sum(file.read(header[-1]))
            file.seek(at)
    return list(zip(starts, [*starts[1:], size]))
