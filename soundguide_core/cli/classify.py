"""Say which of the given words a recording sounds like."""

from __future__ import annotations

import argparse
import sys

from .common import add_common, add_joint, add_json_flag, emit_json, pick_device, progress, say, split_list


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("audio", nargs="+", metavar="AUDIO", help="sound files; the sound of a video works too")
    parser.add_argument("--labels", required=True, metavar="a,b,c", help="the words to choose from")
    add_joint(parser)
    add_json_flag(parser)
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    labels = split_list(args.labels, "--labels")

    from ..embedding.joint import load_joint
    from ..pipelines.classification import classify_files

    joint = load_joint(args.joint, device=pick_device(args))
    with progress("listening") as on_step:
        results = classify_files(joint, args.audio, labels, on_step)
    if args.json:
        settings = {"joint": args.joint, "labels": labels, "device": str(joint.device), "seed": args.seed}
        emit_json({"results": results, "settings": settings}, args.json)
        return 0
    width, block = max(map(len, labels)), _block()
    for result in results:
        say(result["audio"])
        for label, score in sorted(result["scores"].items(), key=lambda item: -item[1]):
            say(f"  {label:<{width}}  {score:6.1%}  {block * round(score * 40)}")
    return 0


def _block() -> str:
    """What a bar is made of; not every terminal's encoding has the block."""
    try:
        "█".encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return "#"
    return "█"
