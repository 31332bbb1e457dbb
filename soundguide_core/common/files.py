"""Files appear whole or not at all, and only where nothing is lost by it; and the one reader of TOML and JSON."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from .errors import InputError, shown

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports]  (installed only where Python has no tomllib)

NO_ROOM = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
LONGEST_NAME, LONGEST_PATH = 255, 4095  # bytes, of one part of a path and of all of it


TEMPORARY = re.compile(r"\.soundguide-[0-9a-f]{16}(\.\w+)?")  # what temporary_name gives


def check_name(path: str | os.PathLike) -> Path:
    """The path, refused where no file can have that name."""
    try:
        text = os.fspath(path)
    except TypeError as error:
        raise InputError(f"{shown(path)} is no path of a file.", "Give the path as a text.") from error
    if isinstance(text, bytes):
        raise InputError(f"{shown(path)} is no path of a file.", "Give the path as a text.")
    if not text:
        raise InputError("The name of a file is empty.", "Give the path of a file.")
    try:
        encoded = os.fsencode(text)
    except UnicodeEncodeError as error:
        raise InputError(f"{shown(text)!r} cannot be the name of a file.", "Check the path.") from error
    if b"\0" in encoded or len(encoded) > LONGEST_PATH or any(len(p) > LONGEST_NAME for p in encoded.split(b"/")):
        raise InputError(f"{shown(text)} cannot be the name of a file.", "Give a shorter path of ordinary characters.")
    return Path(path)


def check_input(path: str | os.PathLike, what: str = "file") -> Path:
    """The path of a regular file that can be read; `what` it should be is named where it is none.

    Raises:
        InputError: there is none, or it is a folder, a device, a pipe, a socket, or one of the kernel's own files.
    """
    path = check_name(path)
    try:
        mode = path.stat().st_mode
    except OSError as error:  # absent, a loop of symlinks, a folder that may not be entered
        raise InputError(f"There is no {what} {path}.", "Check the path.") from error
    if stat.S_ISDIR(mode):
        raise InputError(f"{path} is a folder, not a {what}.", "Give the path of a file.")
    if not stat.S_ISREG(mode) or os.path.realpath(path).startswith(("/proc/", "/sys/")):
        raise InputError(f"{path} is not a regular file.", f"Copy the {what} to a file of its own and give that.")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path} may not be read.", "Ask for the permission, or copy it.")
    return path


def check_writable(path: str | os.PathLike) -> Path:
    """The path of a file about to be written, refused now rather than after the work is done.

    Raises:
        InputError: its folder is absent or may not be written to; it exists and is not a regular file (a folder, a
            device, a pipe, a socket, a symbolic link) or is write-protected.
    """
    path = check_name(path)
    try:
        mode = path.lstat().st_mode
    except OSError:  # absent, which is what it may be, or without a folder, which is said below
        mode = None
    if mode is not None and stat.S_ISDIR(mode):
        raise InputError(f"{path} is a folder.", "Give the name of a file inside it.")
    if mode is not None and stat.S_ISLNK(mode):
        raise InputError(f"{path} is a symbolic link.", "Give the name of the file that it leads to, or a new name.")
    if mode is not None and not stat.S_ISREG(mode):
        raise InputError(f"{path} is a device, a pipe or a socket, not a file.", "Give the name of a file.")
    if mode is not None and not mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH):
        raise InputError(f"{path} is write-protected.", "Give another name, or take the protection away.")
    check_parent(path)
    return path


def check_parent(path: Path) -> None:
    """Refuse a path whose folder is absent or may not be written to."""
    if not os.path.isdir(path.parent):
        raise InputError(f"The folder {path.parent} does not exist.", "Create it, or choose another place to save to.")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"The folder {path.parent} cannot be written to.", "Choose another place to save to.")


def make_folder(path: str | os.PathLike) -> Path:
    """The folder at path, made where it is absent."""
    path = check_name(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"The folder {path} cannot be made: {error.strerror}.", "Choose another place to save to."
        ) from error
    return path


def temporary_name(path: Path) -> Path:
    """A hidden name that nothing has yet, beside path, with the same ending."""
    return path.with_name(f".soundguide-{secrets.token_hex(8)}{path.suffix}")


@contextlib.contextmanager
def full_disk_told(path: Path) -> Iterator[None]:
    """A disk without room, or a quota that is used up, becomes an InputError that names what was to be written."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise InputError(f"There is no room on the disk for {path}.", "Make room, or choose another place.") from error


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path`, same ending; it becomes `path` if the block ends well and goes if not.

    Killed at any moment, the process leaves under `path` what was there before or all of what is new.
    """
    path = check_writable(path)
    temporary = temporary_name(path)
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}.", "Choose another place to save to.") from error
    try:
        with full_disk_told(path):
            mode = temporary.stat().st_mode
            yield temporary
            os.chmod(temporary, mode)  # some writers keep what they write to themselves
            sync(temporary)
            check_writable(path)  # the work may have taken hours
            os.replace(temporary, path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Have the disk hold what was written to a file, or the names in a folder, where the system can do that."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sha256_of(path: str | os.PathLike) -> str:
    """The SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def read_toml(path: str | os.PathLike) -> dict:
    """The table in a TOML file; InputError where it is not one."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path} is not a TOML file ({error}).", "Mend it, or start from one that works.") from error


def read_json(path: str | os.PathLike) -> dict:
    """The object in a JSON file; InputError where it is not one."""
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is not readable as JSON ({error}).", "Copy it again from where it came.") from error
    if not isinstance(values, dict):
        raise InputError(f"{path} holds no JSON object.", "Copy it again from where it came.")
    return values
