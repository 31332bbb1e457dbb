"""Measure the models: how well they hear (zero-shot), and what the clients of the library measure on data of theirs."""

from __future__ import annotations

import argparse
from importlib import import_module

from ..checkpoints import registry
from . import evaluate_videos, evaluate_zero_shot


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = {"zero-shot": evaluate_zero_shot, "videos": evaluate_videos}
    for client in registry.clients():
        commands |= {name: import_module(f"..{module}", __package__) for name, module in client.evaluate.items()}
    what = parser.add_subparsers(required=True, metavar="WHAT")
    for name, module in commands.items():
        command = what.add_parser(name, help=(module.__doc__ or name).splitlines()[0], description=module.__doc__)
        module.add_arguments(command)
        command.set_defaults(evaluate=module.run)


def run(args: argparse.Namespace) -> int:
    return args.evaluate(args)
