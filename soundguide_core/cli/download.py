"""Fetch published weights to this disk; nothing else in SoundGuide ever does."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..common.errors import InputError
from .common import add_common, add_json_flag, emit_json, progress, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="a name that `models` lists")
    parser.add_argument("--kind", help="where two kinds of weights share a name (default: the only one)")
    parser.add_argument("--folder", type=Path, help="save to this folder (default: where SoundGuide looks)")
    add_json_flag(parser)
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    from ..checkpoints.download import download
    from ..common.files import make_folder

    row = _row(args.name, args.kind)
    tell = (lambda line: None) if args.json else say
    fetched = {}
    for part, source in row.sources.items():
        path = args.folder / source.file if args.folder else row.files[part]
        if path.is_file():
            tell(f"{path} is here already.")
        elif not source.url:
            raise InputError(f"{row.name} has no address to fetch it from.", row.how_to_get)
        else:
            make_folder(path.parent)
            terms = "commercial use allowed" if row.commercial else "no commercial use"
            tell(f"{row.name}: licence {row.licence}, {terms}.")
            with progress(f"fetching {source.file}", unit="B") as on_step:
                download(
                    source.url, path, size=source.size, sha256=source.sha256, check=_check,
                    on_bytes=lambda done, total, on_step=on_step: on_step(done - 1, total),
                )  # fmt: skip
            tell(f"{path} is whole.")
        fetched[part] = str(path)
    if args.json:
        emit_json({"name": row.name, "kind": row.kind, "files": fetched}, args.json)
    return 0


def _row(name: str, kind: str | None):
    from ..checkpoints.registry import rows

    published = [row for row in rows() if row.sources]
    found = [row for row in published if row.name == name and kind in (None, row.kind)]
    if len(found) > 1:
        kinds = " or ".join(row.kind for row in found)
        raise InputError(f"There is more than one {name}.", f"Add --kind {kinds}.")
    if found:
        return found[0]
    if any(row.name == name for row in rows()):
        raise InputError(f"{name} comes with SoundGuide.", "There is nothing to download: use it by its name.")
    raise InputError(f"There are no weights called {name!r} to download.", "List what there is with `models`.")


def _check(path: Path) -> None:
    """Can what has arrived be read at all? A page of apology or half a file cannot."""
    from ..checkpoints import safe_pickle, safetensors_io
    from ..common.files import read_json

    if path.name.removesuffix(".part").endswith(".json"):
        read_json(path)
    elif safetensors_io.is_safetensors(path):
        safetensors_io.tensors_of(path)
    else:
        safe_pickle.read(path)
