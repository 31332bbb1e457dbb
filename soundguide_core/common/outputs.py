"""Folders as outputs, and outputs against inputs: nothing of somebody else's is deleted or overwritten.

A folder that SoundGuide made holds a marker, `.soundguide.json`, which lists what was written into it and how large.
Any other folder with something in it is refused, or with `overwrite` added to: then files of the same name are
replaced, one by one, and everything else stays.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import shutil
import stat
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

from .errors import InputError
from .files import TEMPORARY, check_name, check_parent, full_disk_told, make_folder, sync, temporary_name

MARKER = ".soundguide.json"
# what is nobody's work: files that appear where somebody looks at a folder, and what we leave when we are killed
NOBODYS = re.compile(rf"\.DS_Store|Thumbs\.db|desktop\.ini|{TEMPORARY.pattern}")
OVERWRITE = "Give an empty folder or a new name, or add --overwrite to put the new files among them."

# ---- folders


def strangers(folder: Path) -> list[str]:
    """What is in a folder that SoundGuide did not write, or that was changed since: names, sorted."""
    written = _listed(folder)
    return sorted(
        entry.name
        for entry in os.scandir(folder)
        if entry.name != MARKER and not NOBODYS.fullmatch(entry.name) and not _unchanged(entry, written)
    )


def check_folder(path: str | os.PathLike, *, overwrite: bool = False) -> Path:
    """The path of a folder about to be written, refused now rather than after the work is done.

    Raises:
        InputError: it exists and is not a folder, or holds something that SoundGuide did not write there.
    """
    path = check_name(path)
    if not os.path.lexists(path):
        check_parent(path)
        return path
    if path.is_symlink() or not path.is_dir():
        raise InputError(f"{path} exists and is not a folder.", "Give a new name.")
    if not os.access(path, os.W_OK):
        raise InputError(f"The folder {path} cannot be written to.", "Choose another place to save to.")
    found = [] if overwrite else strangers(path)
    if found:
        raise InputError(f"The folder {path} holds other files, such as {found[0]}.", OVERWRITE)
    return path


@contextlib.contextmanager
def replacing_folder(path: str | os.PathLike, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary folder; if the block ends well its files become `path`, if not it goes.

    A folder of ours is exchanged for the new one as a whole. Where that cannot be (a mounted disk; a folder of other
    files, with `overwrite`) the files are moved in one by one.
    """
    path = check_folder(path, overwrite=overwrite)
    inside = path.is_dir() and (os.path.ismount(path) or not os.access(path.parent, os.W_OK) or bool(strangers(path)))
    temporary = temporary_name(path / MARKER if inside else path)
    temporary.mkdir()
    try:
        with full_disk_told(path):
            yield temporary
            if inside:
                _move_in(temporary, path)
            else:
                _write_marker(temporary, _sizes(temporary))
                check_folder(path)  # again, as the work may have taken hours
                _exchange(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync(path.parent)
    if temporary.is_dir():  # now what was there before
        _remove_own(temporary)


@contextlib.contextmanager
def own_folder(path: str | os.PathLike, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a folder to write files into as work goes on, made where it is absent and marked as ours.

    A folder made here goes again if the block fails before anything is in it.

    Raises:
        InputError: it holds something and was not made by SoundGuide, unless with overwrite.
    """
    path = check_name(path)
    absent = not os.path.lexists(path)
    folder = make_folder(path)
    others = {entry.name for entry in os.scandir(folder) if not NOBODYS.fullmatch(entry.name)}
    if others and MARKER not in others and not overwrite:
        raise InputError(f"The folder {folder} holds other files, such as {min(others)}.", OVERWRITE)
    if not others:
        _write_marker(folder, {})
    try:
        yield folder
    except BaseException:
        if absent and {entry.name for entry in os.scandir(folder)} == {MARKER}:
            (folder / MARKER).unlink()
            folder.rmdir()
        raise


def _listed(folder: Path) -> dict[str, int]:
    """name -> bytes, as the marker of a folder has them; empty where there is none that can be read."""
    marker = folder / MARKER
    try:
        if not stat.S_ISREG(marker.lstat().st_mode):
            return {}
        files = json.loads(marker.read_text(encoding="utf-8"))["files"]
        return {name: size for name, size in files.items() if isinstance(size, int)}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def _unchanged(entry: os.DirEntry, written: dict[str, int]) -> bool:
    return (
        entry.name in written
        and entry.is_file(follow_symlinks=False)
        and entry.stat(follow_symlinks=False).st_size == written[entry.name]
    )


def _sizes(folder: Path) -> dict[str, int]:
    return {entry.name: entry.stat(follow_symlinks=False).st_size for entry in os.scandir(folder)}


def _write_marker(folder: Path, files: dict[str, int]) -> None:
    """Whole or not at all, as a folder whose marker is broken is nobody's."""
    about = "Written by SoundGuide, which may replace the files listed here."
    temporary = temporary_name(folder / MARKER)
    temporary.write_text(json.dumps({"about": about, "files": files}, indent=0), encoding="utf-8")
    sync(temporary)
    os.replace(temporary, folder / MARKER)


def _move_in(source: Path, path: Path) -> None:
    """The files of source into path, in place of those of the same names; what we wrote before and not now goes."""
    new, before = _sizes(source), _listed(path)
    for name in new:
        target = path / name
        if os.path.lexists(target) and (target.is_symlink() or not target.is_file()):
            raise InputError(f"{target} is not a regular file.", "Give an empty folder or a new name.")
    others = set(strangers(path)) - {source.name}
    gone = [name for name in before if name not in new and name not in others]
    for name in sorted(new):
        os.replace(source / name, path / name)
    for name in gone:
        (path / name).unlink(missing_ok=True)
    if not others or before:
        _write_marker(path, new)
    sync(path)


def _exchange(new: Path, path: Path) -> None:
    """new takes the name path; what had it, a folder of ours or an empty one, takes the name of new."""
    if not os.path.lexists(path):
        os.rename(new, path)
        return
    if _swap(new, path):
        return
    aside = temporary_name(path)
    os.rename(path, aside)
    try:
        os.rename(new, path)
    except OSError:
        os.rename(aside, path)
        raise
    os.rename(aside, new)


def _swap(a: Path, b: Path) -> bool:
    """Exchange two names in one step, where system and disk can (Linux, macOS)."""
    name, arguments = ("renamex_np", "{a} {b}") if sys.platform == "darwin" else ("renameat2", "here {a} here {b}")
    function = None if sys.platform == "win32" else getattr(ctypes.CDLL(None), name, None)
    if function is None:
        return False
    values = {"{a}": os.fsencode(a), "{b}": os.fsencode(b), "here": -100}
    exchange = 2  # RENAME_EXCHANGE, RENAME_SWAP
    return function(*(values[word] for word in arguments.split()), exchange) == 0


def _remove_own(folder: Path) -> None:
    """Delete a folder with what we wrote into it; what somebody has added to it meanwhile stays, and so does it."""
    kept = strangers(folder)
    for entry in list(os.scandir(folder)):
        if entry.name not in kept:
            shutil.rmtree(entry.path) if entry.is_dir(follow_symlinks=False) else os.unlink(entry.path)
    if not kept:
        folder.rmdir()


# ---- outputs against inputs


def check_apart(inputs: Iterable[str | os.PathLike], outputs: Iterable[str | os.PathLike]) -> None:
    """Refuse outputs that would overwrite an input or each other, whatever names they go by.

    Two names are one file also by a link, by the case of letters or by the way to them. Nothing may be written over a
    file in a folder that is read, nor into a folder that is written as a whole.
    """
    inputs, outputs = [path for path in inputs if _exists(path)], [check_name(path) for path in outputs]
    for i, out in enumerate(outputs):
        for other in outputs[:i]:
            if _same(out, other) or _within(out, other) or _within(other, out):
                raise InputError(f"{out} and {other} would be written over each other.", "Give them different names.")
        for given in inputs:
            if _same(out, given):
                raise InputError(f"{out} is also read, as {given}.", "Give another name for what is written.")
            if os.path.isdir(out) and _within(given, out):
                raise InputError(f"{given} is read and lies in {out}, which is written.", "Give another place.")
            if os.path.isdir(given) and os.path.isfile(out) and _within(out, given):
                raise InputError(f"{out} exists and lies in {given}, which is read.", "Give another place.")


def _exists(path: str | os.PathLike) -> bool:
    try:
        return os.path.exists(path)
    except ValueError:  # no file can have that name
        return False


def _same(a: str | os.PathLike, b: str | os.PathLike) -> bool:
    with contextlib.suppress(OSError):
        return os.path.samefile(a, b)
    return _place(a) == _place(b)


def _within(path: str | os.PathLike, folder: str | os.PathLike) -> bool:
    return _place(path).startswith(_place(folder).rstrip(os.sep) + os.sep)


def _place(path: str | os.PathLike) -> str:
    """Where a path leads, alike for names that some disks cannot tell apart."""
    return unicodedata.normalize("NFC", os.path.realpath(path)).casefold()
