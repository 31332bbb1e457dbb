"""One file over HTTP: goes on where it broke off, checks length and hash, and appears whole or not at all.

Called on a person's explicit word only (`download NAME`), never at import and never while a node runs.
"""

from __future__ import annotations

import http.client
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from ..common.errors import InputError
from ..common.files import check_writable, sha256_of

PART = ".{}.soundguide-download"  # nobody else names a file so: a NAME.part beside it may be a browser's
PIECE = 1 << 20  # bytes
LARGEST = 32 << 30  # bytes, where nobody says how many there will be
TRIES = 4  # in a row that bring nothing
TIMEOUT_SEC = 30.0
PAUSE_SEC = 1.0  # before the second try; doubled before each further one
ASK = "Look for the file on the page of its paper, which `models` names."
LATER = "Try again later: the same command goes on where this one stopped."
BROKEN = (http.client.HTTPException, ConnectionError, TimeoutError)


class _Interrupted(Exception):
    """The connection broke; what has arrived is kept."""


def download(
    url: str,
    path: str | os.PathLike,
    *,
    size: int = 0,
    sha256: str = "",
    check: Callable[[Path], object] = lambda path: None,
    on_bytes: Callable[[int, int], None] = lambda done, total: None,
    timeout_sec: float = TIMEOUT_SEC,
    pause_sec: float = PAUSE_SEC,
) -> Path:
    """Fetch url to path through a hidden file of ours beside it (PART), kept where a download breaks off.

    size: bytes, 0 if unknown. sha256: hexadecimal or its first digits. check(file) raises InputError where the whole
    file is not what it should be. on_bytes(done, total): progress in bytes; total 0 while unknown.

    Raises:
        InputError: the address is none, the server refuses or keeps breaking off, the disk is too small, or what has
            arrived is not the file that was asked for (it is deleted then).
    """
    path = check_writable(path)
    _check_address(url)
    part = path.with_name(PART.format(path.name))
    idle = 0
    while True:
        before = part.stat().st_size if part.is_file() else 0
        try:
            _fetch(url, part, size, on_bytes, timeout_sec)
            break
        except _Interrupted as error:
            idle = 0 if part.is_file() and part.stat().st_size > before else idle + 1
            if idle == TRIES:
                raise InputError(f"{url} keeps breaking off ({error}).", LATER) from error
            time.sleep(pause_sec * 2**idle)
    try:
        _check_whole(url, part, size, sha256)
        check(part)
    except InputError:
        _forget(part)
        raise
    os.replace(part, path)
    _forget(part)
    return path


def _fetch(url: str, part: Path, size: int, on_bytes: Callable[[int, int], None], timeout_sec: float) -> None:
    """Bring part up to the length that the server states; one connection."""
    version = _version_file(part)
    done = part.stat().st_size if part.is_file() and version.is_file() else 0
    if size and done == size:
        return
    headers = {"User-Agent": "SoundGuide", "Accept-Encoding": "identity"}
    if done:  # the rest, but only of the same file
        headers |= {"Range": f"bytes={done}-", "If-Range": version.read_text(encoding="utf-8")}
    try:
        with _OPENER.open(urllib.request.Request(url, headers=headers), timeout=timeout_sec) as reply:
            done, total = _position(reply, done)
            _check_room(part, (total or size) - done)
            if size and total and total != size:
                _forget(part)
                raise InputError(
                    f"{url} is {total:,} bytes and should be {size:,}.", "Report it: the file has changed."
                )
            tag = reply.headers.get("ETag") or reply.headers.get("Last-Modified") or ""
            if tag and not tag.startswith("W/"):
                version.write_text(tag, encoding="utf-8")
            else:
                version.unlink(missing_ok=True)
            with part.open("r+b" if done else "wb") as file:
                file.seek(done)
                file.truncate()
                while piece := reply.read1(PIECE):
                    _write(file, piece, part)
                    done += len(piece)
                    on_bytes(done, total or size)
                    if done > (size or LARGEST):
                        _forget(part)
                        raise InputError(f"{url} sends more than it should.", "Report it: the file has changed.")
            if done < total:
                raise _Interrupted(f"{done:,} of {total:,} bytes arrived")
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # nothing is left to send, or the file has become shorter
            _forget(part)
            raise _Interrupted("the server does not know the place to go on from") from error
        if error.code in (429, 500, 502, 503, 504):
            raise _Interrupted(f"the server answers {error.code}") from error
        raise InputError(f"{url} cannot be fetched: the server answers {error.code}.", ASK) from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, BROKEN):
            raise _Interrupted(str(error.reason) or "the server does not answer") from error
        raise InputError(f"{url} cannot be reached ({error.reason}).", "Check the network, then try again.") from error
    except (http.client.HTTPException, OSError) as error:
        raise _Interrupted(str(error) or type(error).__name__) from error


def _write(file, piece: bytes, part: Path) -> None:
    try:
        file.write(piece)
    except OSError as error:
        raise InputError(f"{part} cannot be written ({error.strerror}).", "Free some space on this disk.") from error


def _position(reply, asked: int) -> tuple[int, int]:
    """(where the reply's bytes begin, length of the whole file or 0)."""
    if asked and reply.status == 206:
        unit, _, rest = reply.headers.get("Content-Range", "").partition(" ")
        span, _, total = rest.partition("/")
        if unit == "bytes" and span.split("-")[0] == str(asked) and total.isdecimal():
            return asked, int(total)
        raise _Interrupted("the server sends another part than was asked for")
    length = reply.headers.get("Content-Length", "")
    return 0, int(length) if length.isdecimal() else 0


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to web addresses only, and never from https to http."""

    def redirect_request(self, request, reply, code, message, headers, address):
        _check_address(address)
        if urlsplit(request.full_url).scheme == "https" != urlsplit(address).scheme:
            raise InputError(f"{request.full_url} leads to an address without encryption.", "Fetch it by hand.")
        return super().redirect_request(request, reply, code, message, headers, address)


_OPENER = urllib.request.build_opener(_Redirects)


def _check_address(url: str) -> None:
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
        raise InputError(f"{url!r} is no web address.", "Give one that begins with https://.")


def _check_room(part: Path, wanted: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if wanted > free:
        raise InputError(
            f"{part.parent} has {free / 1e9:.1f} GB free and the file needs {wanted / 1e9:.1f} GB more.",
            "Free some space on this disk.",
        )


def _check_whole(url: str, part: Path, size: int, sha256: str) -> None:
    found = part.stat().st_size
    if size and found != size:
        raise InputError(f"{url} gave {found:,} bytes in place of {size:,}.", "Try again, or fetch it by hand.")
    if not sha256:
        return
    digest = sha256_of(part)
    if not digest.startswith(sha256.lower()):
        raise InputError(
            f"What {url} sends is not the published file (SHA-256 {digest[:16]}...).",
            "Do not use it; try again later, or fetch the file by hand.",
        )


def _version_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.version")


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _version_file(part).unlink(missing_ok=True)
