"""The command line: one module per command, each with add_arguments(parser) and run(args) -> exit status."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from .. import __version__
from ..common.errors import InputError
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

BAD_INPUT = 2  # what argparse, too, answers with
STOPPED = 130  # 128 + SIGINT


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    about = "Pictures changed by the meaning of sounds."
    top = argparse.ArgumentParser("python -m soundguide_core", description=about)
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        summary = module.__doc__.splitlines()[0]
        command = commands.add_parser(name, help=summary, description=module.__doc__)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; bad input becomes two sentences on stderr, Ctrl-C a quiet end."""
    args = parser().parse_args(argv)
    try:
        return args.run(args)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("\nStopped; nothing half done was written.", file=sys.stderr)
        return STOPPED
