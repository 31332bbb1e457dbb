"""Measure the models: how well they hear (zero-shot), and whether edits and videos show what was heard (seeing,
sound-video, video-edit)."""

from __future__ import annotations

import argparse

from . import evaluate_seeing, evaluate_sound_video, evaluate_video_edit, evaluate_zero_shot

COMMANDS = {
    "zero-shot": evaluate_zero_shot,
    "seeing": evaluate_seeing,
    "sound-video": evaluate_sound_video,
    "video-edit": evaluate_video_edit,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_subparsers(required=True, metavar="WHAT")
    for name, module in COMMANDS.items():
        command = what.add_parser(name, help=module.__doc__.splitlines()[0], description=module.__doc__)
        module.add_arguments(command)
        command.set_defaults(evaluate=module.run)


def run(args: argparse.Namespace) -> int:
    return args.evaluate(args)
