"""Which weights exist: rows of registry.toml, files in the host's model folders, and plain paths."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..errors import InputError
from ..files import read_toml

PACKAGE = Path(__file__).resolve().parents[1]

# the files of each kind; a kind with one file is named by that file, one with several by their folder
KINDS: dict[str, tuple[str, ...]] = {
    "joint": ("clip", "sound"),
    "sound": ("sound",),
    "generator": ("generator",),
    "video-generator": ("generator",),
    "unet": ("unet",),
    "trajectory": ("trajectory",),
    "scene-classifier": ("classifier",),
}

_folders: dict[str, list[Path]] = {kind: [] for kind in KINDS}


@dataclass(frozen=True)
class Row:
    """One set of weights: what it is called, where its files are, and on what terms it may be used."""

    name: str
    kind: str
    files: dict[str, Path]
    licence: str
    commercial: bool
    parameters: int  # single numbers in its files; 0 where not stated
    trained_on: str
    citation: str
    description: str

    @property
    def missing(self) -> list[Path]:
        """Those of its files that are not on disk."""
        return [path for path in self.files.values() if not path.is_file()]


@cache
def rows() -> tuple[Row, ...]:
    """Every row of registry.toml."""
    table = read_toml(PACKAGE / "checkpoints" / "registry.toml")
    return tuple(
        Row(**{**row, "files": {part: PACKAGE / path for part, path in row["files"].items()}}) for row in table["row"]
    )


def add_folder(kind: str, folder: str | os.PathLike) -> None:
    """Let find and names look in one more folder, such as the host's models/soundguide/generator."""
    _check_kind(kind)
    folder = Path(folder)
    if folder not in _folders[kind]:
        _folders[kind].append(folder)


def names(kind: str) -> list[str]:
    """What find answers to: registry names first, then files in the added folders, by relative path."""
    _check_kind(kind)
    found = [row.name for row in rows() if row.kind == kind]
    for folder in _folders[kind]:
        found += sorted(path.relative_to(folder).as_posix() for path in _candidates(kind, folder))
    return list(dict.fromkeys(found))


def find(kind: str, name_or_path: str | os.PathLike) -> Row:
    """The row of a registry name, of a file in an added folder, or of any path.

    A path of a kind with several files is the folder that holds them (clip.safetensors and sound.safetensors).

    Raises:
        InputError: the name is unknown (the known ones are listed) or a file is missing.
    """
    _check_kind(kind)
    name = os.fspath(name_or_path)
    for row in rows():
        if row.kind == kind and row.name == name:
            if row.missing:
                raise InputError(f"{row.missing[0]} is missing.", "Install SoundGuide again: it comes with this file.")
            return row
    if name:
        for path in (*(folder / name for folder in _folders[kind]), Path(name)):
            if path.exists():
                return _own_row(kind, name, path)
    raise InputError(
        f"There is no {kind} called {name!r}.", f"Use one of: {', '.join(names(kind))}; or the path of one."
    )


def _own_row(kind: str, name: str, path: Path) -> Row:
    parts = KINDS[kind]
    files = {parts[0]: path} if len(parts) == 1 else {part: path / f"{part}.safetensors" for part in parts}
    row = Row(name, kind, files, "not stated", False, 0, "not stated", "", "Your own file.")
    if row.missing:
        wanted = (
            "a .safetensors file"
            if len(parts) == 1
            else "a folder with " + " and ".join(p.name for p in files.values())
        )
        raise InputError(f"{path} does not hold a {kind}.", f"Give {wanted}.")
    return row


def _candidates(kind: str, folder: Path) -> list[Path]:
    parts = KINDS[kind]
    if len(parts) == 1:
        return list(folder.rglob("*.safetensors"))
    holds_all = (path.parent for path in folder.rglob(f"{parts[0]}.safetensors"))
    return [path for path in holds_all if all((path / f"{part}.safetensors").is_file() for part in parts)]


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise InputError(f"There is no kind of weights called {kind!r}.", f"Use one of: {', '.join(KINDS)}.")
