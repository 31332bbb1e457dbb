"""Which options of the commands name files that are read and which name files that are written."""

from __future__ import annotations

import argparse
import os

OUTPUTS = ("out", "before", "json", "save_found")
INPUTS = ("real",
    "audio", "data", "video", "image", "found", "mask", "file", "folder", "config", "sounds", "recordings",
    "vocabulary",
)  # fmt: skip
# read too: paths, or names in the registry
MODELS = (
    "joint", "generator", "trajectory", "unet", "flow", "judge", "identity", "encoder", "inversion_encoder",
    "perceptual",
)  # fmt: skip
# words, names and numbers; and the place of downloads, in which a file that is there is never replaced
NEITHER = (
    "text",
    "labels",
    "words",
    "sampler",
    "groups",
    "name",
    "kind",
    "folds",
    "variant",
    "device",
    "seed",
    "sound_layers",
)
# commands that add files to the folder --out as they go on, and read from it where they are told to resume
INTO_A_FOLDER = ("demo", "train")


def check_paths(args: argparse.Namespace) -> None:
    """Refuse a command line whose outputs would overwrite its inputs or each other, or whose report cannot be
    written, before any work."""
    from ..common.files import check_name, check_writable
    from ..common.outputs import check_apart

    outputs = [path for path in _values(args, OUTPUTS) if path != "-"]
    for path in outputs:
        check_name(path)
    for report in _values(args, ("json",)):
        if report != "-":
            check_writable(report)
    if args.command in INTO_A_FOLDER:
        return
    from ..checkpoints.registry import rows

    named = {row.name for row in rows()} | {"off"}
    models = [value for value in _values(args, MODELS) if value not in named]
    check_apart([value for value in _values(args, INPUTS) + models if value], outputs + _beside(args))


def _beside(args: argparse.Namespace) -> list[str]:
    """What a command may write beside --out: the sheet of --preview, the folder of an edit that is not finished."""
    from .preview import preview_path

    beside = []
    if getattr(args, "preview", None) is not None:
        beside.append(str(preview_path(args.out)))
    elif args.command == "edit":
        beside.append(os.path.splitext(args.out)[0] + ".unfinished")
    return beside


def _values(args: argparse.Namespace, names: tuple[str, ...] | list[str]) -> list[str]:
    """What these options were given, each value of those that may be given several times; none that is absent."""
    found = []
    for name in names:
        value = getattr(args, name, None)
        found += value if isinstance(value, list) else [value]
    return [value for value in found if isinstance(value, str)]
