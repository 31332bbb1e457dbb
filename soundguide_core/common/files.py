"""Files appear whole or not at all; and the one reader of TOML."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

from .errors import InputError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def check_writable(path: str | os.PathLike) -> Path:
    """The path of a file about to be written, refused now rather than after the work is done."""
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder.", "Give the name of a file inside it.")
    if not path.parent.is_dir():
        raise InputError(f"The folder {path.parent} does not exist.", "Create it, or choose another place to save to.")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"The folder {path.parent} cannot be written to.", "Choose another place to save to.")
    return path


def make_folder(path: str | os.PathLike) -> Path:
    """The folder at path, made where it is absent."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"The folder {path} cannot be made: {error.strerror}.", "Choose another place to save to."
        ) from error
    return path


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path`, same ending; it becomes `path` if the block ends well and goes if not."""
    path = check_writable(path)
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode
        yield temporary
        os.chmod(temporary, mode)  # some writers keep what they write to themselves
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


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
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
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
