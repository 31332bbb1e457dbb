"""Accuracy of hearing without training: a folder of labelled clips in the ESC-50 layout, the labels given as words."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from ..common.errors import InputError
from .common import add_common, add_encoder, add_joint, add_json_flag, emit_json, pick_device, progress, say, split_list


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="holds meta/esc50.csv and audio/")
    parser.add_argument("--folds", help="only these folds, such as 4,5 (default: all)")
    add_joint(parser)
    add_encoder(parser)
    add_json_flag(parser)
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    folds = None if args.folds is None else parse_folds(args.folds)

    from ..embedding.hearing.loading import load_ears
    from ..embedding.joint import load_joint
    from ..metrics.zero_shot import zero_shot

    device = pick_device(args)
    hears = load_joint(args.joint, device) if args.encoder is None else load_ears(args.encoder, device)
    with progress("listening") as on_step:
        found = zero_shot(hears, args.folder, folds=folds, on_step=on_step)
    if args.json:
        settings = {"folder": args.folder, "folds": folds, "device": str(device)}
        settings |= {"joint": args.joint} if args.encoder is None else {"encoder": args.encoder}
        emit_json({**asdict(found), "settings": {**settings, "seed": args.seed}}, args.json)
        return 0
    say(f"{found.accuracy:.1%} of {found.clips} clips are heard as what they are")
    for label, share in found.per_class.items():
        say(f"  {label:<18} {share:6.1%}")
    return 0


def parse_folds(text: str) -> list[int]:
    """ "4,5" => [4, 5]"""
    entries = split_list(text, "--folds")
    if not all(entry.isdecimal() and len(entry) < 10 for entry in entries):
        raise InputError(f"--folds {text!r} does not name folds.", "Give their numbers, such as 4,5.")
    return [int(entry) for entry in entries]
