"""Which weights exist: rows of registry.toml, files in the model folders, and plain paths. Which are the defaults, and
which clients of the library there are (registry.toml says what that is)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from ..common.called import command
from ..common.errors import InputError
from ..common.files import check_name, read_toml

PACKAGE = Path(__file__).resolve().parents[1]
MODELS_VARIABLE = "SOUNDGUIDE_MODELS"
SUFFIXES = (".safetensors", ".pkl", ".pt", ".pth", ".bin", ".h5")  # what safetensors_io, safe_pickle, keras_h5 read

# the files of each kind; a kind with one file is named by that file, one with several by their folder
KINDS: dict[str, tuple[str, ...]] = {
    "joint": ("clip", "sound"),
    "clip": ("clip",),
    "sound": ("sound",),
    "generator": ("generator",),
    "video-generator": ("generator",),
    "unet": ("unet",),
    "trajectory": ("trajectory",),
    "released-trajectory": ("inversion", "coarse", "mid", "fine"),
    "inversion-encoder": ("encoder",),
    "found-picture": ("picture",),
    "identity": ("identity",),
    "flow": ("flow",),
    "perceptual": ("trunk",),
    "scene-classifier": ("classifier",),
    "sound-classifier": ("classifier",),
    "stem-separator": ("separator",),
}

_folders: dict[str, list[Path]] = {kind: [] for kind in KINDS}


@dataclass(frozen=True)
class Source:
    """Where a published file comes from.

    file: its name on disk. url: for `download`; "" where it must be fetched by hand from page. size: bytes, 0 where
    not published. sha256: hexadecimal, or as many of its first digits as are published, "" where none are.
    """

    file: str
    url: str = ""
    page: str = ""
    size: int = 0
    sha256: str = ""


@dataclass(frozen=True)
class Row:
    """One set of weights: what it is called, where its files are or belong, and on what terms it may be used."""

    name: str
    kind: str
    files: dict[str, Path]
    licence: str
    commercial: bool
    parameters: int  # single numbers in its files; 0 where not stated
    trained_on: str
    citation: str
    description: str
    preprocessing: str = ""
    sources: dict[str, Source] = field(default_factory=dict)
    parts: dict[str, str] = field(default_factory=dict)  # kind -> name, of a row that puts other rows together

    @property
    def missing(self) -> list[Path]:
        """Those of its files that are not on disk."""
        return [path for path in self.files.values() if not os.path.isfile(path)]

    @property
    def how_to_get(self) -> str:
        """One sentence: what to do about missing files."""
        if not self.sources:
            return "Install SoundGuide again: it comes with this file."
        if all(source.url for source in self.sources.values()):
            return f"Get it with {command(f'download {self.name}')}."
        pages = " and ".join(dict.fromkeys(source.page for source in self.sources.values() if not source.url))
        places = " and ".join(str(self.files[part]) for part, source in self.sources.items() if not source.url)
        return f"Fetch it by hand from {pages} and save it as {places}."


@dataclass(frozen=True)
class Client:
    """A package inside this one that the library can do without.

    folder: where it is. recipes: its folder of recipes. train, evaluate: the commands that it adds, by name: the
    module, dotted from this package. sources: where the data of a training come from if its recipe names none, by the
    training's module: ".module:function".
    """

    folder: Path
    recipes: Path
    train: dict[str, str]
    evaluate: dict[str, str]
    sources: dict[str, str] = field(default_factory=dict)


def models_folder() -> Path:
    """Where downloads go: $SOUNDGUIDE_MODELS, or models/soundguide of the ComfyUI around this pack, or a cache."""
    if os.environ.get(MODELS_VARIABLE):
        return Path(os.environ[MODELS_VARIABLE])
    # ComfyUI/custom_nodes/<pack>/soundguide_core
    pack = PACKAGE.parent
    if pack.parent.name == "custom_nodes" and (pack.parent.parent / "models").is_dir():
        return pack.parent.parent / "models" / "soundguide"
    home = Path(os.path.expanduser("~"))  # "~" itself for a user without one, as in a container
    home = home if home.is_absolute() else Path(tempfile.gettempdir())
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "soundguide"


def rows(kind: str | None = None) -> tuple[Row, ...]:
    """All rows of registry.toml, or a kind's; their files where they are or, if they are nowhere, where they belong."""
    return tuple(_located(row) for row in _table() if kind in (None, row.kind))


@cache
def _file() -> dict:
    return read_toml(PACKAGE / "checkpoints" / "registry.toml")


@cache
def _table() -> tuple[Row, ...]:
    return tuple(_row(**row) for row in _file()["row"])


def default(kind: str) -> str:
    """The name of the row that is meant where nobody names one."""
    _check_kind(kind)
    name = _file()["default"].get(kind)
    if name is None:
        raise InputError(f"There is no {kind} that is taken by default.", "Name one: `models` lists them.")
    return name


def clients() -> list[Client]:
    """Those that are installed."""
    listed = _file()["client"]
    found = [
        Client(folder, folder / client["recipes"], client["train"], client["evaluate"], client.get("sources", {}))
        for folder, client in ((PACKAGE / client["folder"], client) for client in listed)
    ]
    return [client for client in found if (client.folder / "__init__.py").is_file()]


def _row(files: dict[str, str] | None = None, sources: dict[str, dict] | None = None, **fields) -> Row:
    """files: what comes with the package, by path inside it. sources: what is published elsewhere."""
    published = {part: Source(**source) for part, source in (sources or {}).items()}
    places = {part: PACKAGE / path for part, path in (files or {}).items()}
    return Row(
        files={**places, **{part: Path(source.file) for part, source in published.items()}}, **fields, sources=published
    )


def _located(row: Row) -> Row:
    if row.parts:
        return _put_together(row)
    if not row.sources:
        return row
    own = row.name if len(KINDS[row.kind]) > 1 else ""  # a set of files has a folder of its own
    files = dict(row.files)
    searched = _searched(row.kind)
    for part, source in row.sources.items():
        places = [folder / own / source.file for folder in searched]
        # os.path.isfile: a folder that may not be looked into holds nothing, and is no error
        files[part] = next((place for place in places if os.path.isfile(place)), places[-1])
    return replace(row, files=files)


def _put_together(row: Row) -> Row:
    """A row of other rows has their files, its own kind's first."""
    found = [_located(other) for other in _table() if row.parts.get(other.kind) == other.name]
    files = {part: path for other in found for part, path in other.files.items()}
    sources = {part: source for other in found for part, source in other.sources.items()}
    order = [*KINDS[row.kind], *(part for part in files if part not in KINDS[row.kind])]
    return replace(
        row,
        files={part: files[part] for part in order if part in files},
        sources={part: sources[part] for part in order if part in sources},
    )


def add_folder(kind: str, folder: str | os.PathLike) -> None:
    """Let find and names look in one more folder, such as the host's models/soundguide/generator."""
    _check_kind(kind)
    folder = Path(folder)
    if folder not in _folders[kind]:
        _folders[kind].append(folder)


def _searched(kind: str) -> list[Path]:
    return list(dict.fromkeys([*_folders[kind], models_folder() / kind]))


def folders(kind: str) -> list[Path]:
    """Where weights of this kind, and what belongs to them, are looked for."""
    _check_kind(kind)
    return _searched(kind)


def names(kind: str) -> list[str]:
    """What find answers to and is on disk: registry names first, then files in the model folders, by relative path."""
    _check_kind(kind)
    here = [row for row in rows(kind) if not row.missing]
    found = [row.name for row in here]
    named = {path for row in here for path in row.files.values()}
    for folder in _searched(kind):
        others = [path for path in _candidates(kind, folder) if path not in named and not _holds(path, named)]
        found += sorted(path.relative_to(folder).as_posix() for path in others)
    return list(dict.fromkeys(found))


def find(kind: str, name_or_path: str | os.PathLike | None = None) -> Row:
    """The row of a registry name, of a file in a model folder, or of any path; None is the default of the kind.

    A path of a kind with several files is the folder that holds them (clip.safetensors and sound.safetensors).

    Raises:
        InputError: the name is unknown (the known ones are listed) or a file is missing (how to get it is said).
    """
    _check_kind(kind)
    name = default(kind) if name_or_path is None else name_or_path
    name = os.fspath(check_name(name)) if name != "" else ""
    row = next((row for row in rows(kind) if row.name == name), None)
    if row is not None and not row.missing:
        return row
    if name:
        for path in (*(folder / name for folder in _searched(kind)), Path(name)):
            if path.exists():
                return _own_row(kind, name, path)
    if row is not None:
        raise InputError(f"{row.missing[0]} is missing.", row.how_to_get)
    raise InputError(
        f"There is no {kind} called {name!r}.",
        f"Use one of: {', '.join(names(kind))}; or the path of one; or one that `models` lists, after its download.",
    )


def _own_row(kind: str, name: str, path: Path) -> Row:
    parts = KINDS[kind]
    files = {parts[0]: path} if len(parts) == 1 else {part: _part(path, part) for part in parts}
    row = Row(name, kind, files, "not stated", False, 0, "not stated", "", "Your own file.")
    if row.missing:
        wanted = (
            f"a {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]} file"
            if len(parts) == 1
            else f"a folder with {_listed(row.files.values())}"
        )
        raise InputError(f"{path} does not hold a {kind}.", f"Give {wanted}.")
    return row


def _listed(paths: Iterable[Path]) -> str:
    *first, last = [path.name for path in paths]
    return f"{', '.join(first)} and {last}" if first else last


def _part(folder: Path, part: str) -> Path:
    """folder/part with the first ending that is there."""
    places = [folder / f"{part}{suffix}" for suffix in SUFFIXES]
    return next((place for place in places if os.path.isfile(place)), places[0])


def _candidates(kind: str, folder: Path) -> list[Path]:
    parts = KINDS[kind]
    files = [path for suffix in SUFFIXES for path in folder.rglob(f"*{suffix}")]
    if len(parts) == 1:
        return files
    holds_all = dict.fromkeys(path.parent for path in files if path.stem == parts[0])
    return [path for path in holds_all if all(os.path.isfile(_part(path, part)) for part in parts)]


def _holds(folder: Path, named: set[Path]) -> bool:
    return any(folder in path.parents for path in named)


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise InputError(f"There is no kind of weights called {kind!r}.", f"Use one of: {', '.join(KINDS)}.")
