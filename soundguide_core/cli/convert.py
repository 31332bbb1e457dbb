"""Turn a checkpoint of another program into a .safetensors that SoundGuide loads faster; nothing in it is run."""

from __future__ import annotations

import argparse
from pathlib import Path

from .common import add_common, add_json_flag, emit_json, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a .pkl, .pt, .pth, .bin or .safetensors file of a known layout")
    parser.add_argument("--out", required=True, metavar="X.safetensors", help="the file to write")
    parser.add_argument("--half", action="store_true", help="half the size, numbers rounded to 16 bits")
    add_json_flag(parser)
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    from ..checkpoints import weights

    config = weights.convert(args.file, args.out, half=args.half)
    if args.json:
        emit_json({"file": args.file, "out": args.out, "half": args.half, "config": config}, args.json)
        return 0
    what = ascii(config[weights.SOURCE].get("format"))[1:-1] if weights.stated_kind(config) else "SoundGuide"
    say(f"{what} => {args.out} ({Path(args.out).stat().st_size / 1e6:.1f} MB)")
    return 0
