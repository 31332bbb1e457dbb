"""The command line: one module per command, each with add_arguments(parser) and run(args) -> exit status."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from .. import __version__
from ..common.errors import InputError, shown
from . import (
    classify,
    continuous,
    convert,
    demo,
    download,
    edit,
    evaluate,
    generate,
    inspect,
    manipulate,
    models,
    train,
)
from .paths import check_paths

COMMANDS = {
    "demo": demo,
    "classify": classify,
    "manipulate": manipulate,
    "generate": generate,
    "edit": edit,
    "continuous": continuous,
    "evaluate": evaluate,
    "train": train,
    "models": models,
    "inspect": inspect,
    "convert": convert,
    "download": download,
}

WRITE_FOLDERS = ("demo", "generate", "edit", "continuous", "train")  # or may
BAD_INPUT = 2  # what argparse, too, answers with
STOPPED = 130  # 128 + SIGINT


class Parser(argparse.ArgumentParser):
    """Refuses in one line, in which what was given is shortened and made printable."""

    def error(self, message: str) -> NoReturn:
        super().error(shown(message, most=300))


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    about = "Pictures changed by the meaning of sounds."
    top = Parser("python -m soundguide_core", description=about)
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        summary = module.__doc__.splitlines()[0]
        command = commands.add_parser(name, help=summary, description=module.__doc__)
        module.add_arguments(command)
        if name in WRITE_FOLDERS:
            command.add_argument("--overwrite", action="store_true", help="write into a folder that holds other files")
        command.set_defaults(run=module.run)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; bad input becomes two sentences on stderr, Ctrl-C a quiet end."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal in cp1252 has no sign for every letter of every name
            stream.reconfigure(errors="backslashreplace")
    args = parser().parse_args(argv)
    try:
        check_paths(args)
        return args.run(args)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("\nStopped; nothing half done was written.", file=sys.stderr)
        return STOPPED
