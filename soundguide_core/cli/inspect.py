"""Show what a SoundGuide .safetensors file holds, without loading it."""

from __future__ import annotations

import argparse
import json
import math

from .common import add_common, add_json_flag, emit_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a .safetensors file")
    parser.add_argument("--tensors", action="store_true", help="list every tensor and its shape")
    add_json_flag(parser)
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    from ..checkpoints.safetensors_io import describe

    shapes, config = describe(args.file)
    numbers = sum(math.prod(shape) for shape in shapes.values())
    if args.json:
        report = {"file": args.file, "config": config, "numbers": numbers, "tensors": shapes}
        emit_json(report, args.json)
        return 0
    print(f"{args.file}: {len(shapes)} tensors, {numbers:,} numbers")
    print(json.dumps(config, indent=2))
    if args.tensors:
        for key, shape in shapes.items():
            print(f"{key}  {shape}")
    return 0
