"""Show what a file of weights holds: SoundGuide's own, or another program's; nothing in it is run."""

from __future__ import annotations

import argparse
import json
import math
import re
from pathlib import Path

from ..checkpoints.file_type import is_safetensors
from ..checkpoints.header import SOURCE, read_own, stated_kind, tensors
from ..common.errors import InputError, shown
from .common import add_common, add_json_flag, emit_json, say

# what in a SoundGuide config tells its kind, asked in this order
KEYS = {
    "trajectory": "trajectory",
    "unet": "unet",
    "encoder": "sound",
    "vision_cfg": "clip",
    "open_clip": "clip",
    "classifier": "sound-classifier",
    "classes": "scene-classifier",
    "motion_z_dim": "video-generator",
    "resolution": "generator",
}
# (resolution, channels) of a generator's layers: StyleGAN2's and StyleGAN-V's from the shape, StyleGAN3's by name
BLOCK = re.compile(r"synthesis\.b(\d+)\.conv1\.weight")
LAYER = re.compile(r"synthesis\.L\d+_(\d+)_(\d+)\.weight")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a .safetensors, .pkl, .pt, .pth or .bin file")
    parser.add_argument("--tensors", action="store_true", help="list every tensor and its shape")
    add_json_flag(parser)
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    report = describe(args.file)
    if args.json:
        emit_json(report, args.json)
        return 0
    say(f"{shown(args.file, 200)}: {report['kind'] or 'kind not stated'}, {shown(report['format'], 200)}")
    say(f"    {len(report['tensors'])} tensors, {report['numbers']:,} numbers")
    if report["resolution"]:
        size = shown(report["resolution"])
        say(f"    {size} x {size} pixels")
    if report["widths"]:
        say(f"    channels: {', '.join(map(shown, report['widths']))}")
    if report["known_as"]:
        terms = "commercial use allowed" if report["commercial"] else "no commercial use"
        say(f"    Licence, if it is the published {report['known_as']}: {report['licence']}, {terms}")
    else:
        say("    Licence: not known; ask those who made it")
    print(json.dumps(report["config"], indent=2))
    if args.tensors:
        for key, shape in report["tensors"].items():
            say(f"{ascii(key)[1:-1]}  {shape}")
    return 0


def describe(path: str) -> dict:
    """What the command says, as one dict."""
    own = read_own(path) or _read_slowly(path)
    if own is not None:
        shapes, config = own
        kind = stated_kind(config) or next((kind for key, kind in KEYS.items() if key in config), "")
        layout = "SoundGuide"
        if stated_kind(config):
            layout += f", converted from {json.dumps(config[SOURCE].get('format'))}"
    else:
        from ..checkpoints.formats import open_foreign

        foreign = open_foreign(path, numbers=False)
        shapes = {key: list(x.shape) for key, x in foreign.tensors.items()}
        config, kind, layout = foreign.config, foreign.kind, foreign.format
    stated = config.get("unet")
    unet = stated if isinstance(stated, dict) else {}
    row = _row(path, config)
    widths = unet.get("block_out_channels")
    return {
        "file": path,
        "kind": kind,
        "format": layout,
        "resolution": config.get("resolution") or _sampled_size(unet),
        "widths": widths if widths and isinstance(widths, list) else _widths(shapes),
        "numbers": sum(math.prod(shape) for shape in shapes.values()),
        "known_as": row.name if row else None,
        "licence": row.licence if row else None,
        "commercial": row.commercial if row else None,
        "config": config,
        "tensors": shapes,
    }


def _read_slowly(path: str) -> tuple[dict[str, list[int]], dict] | None:
    """As read_own, by the library, which says what is wrong with a damaged file and knows every type of number."""
    if not is_safetensors(path) or tensors(path) is not None:
        return None
    from ..checkpoints import safetensors_io

    if safetensors_io.has_config(path):
        return safetensors_io.describe(path)
    return None


def _widths(shapes: dict[str, list[int]]) -> list[int]:
    """Channels of a generator from its smallest resolution to its largest."""
    blocks = {int(found[1]): shape[0] for key, shape in shapes.items() if (found := BLOCK.fullmatch(key))}
    return [blocks[size] for size in sorted(blocks)] or [
        int(found[2]) for key in shapes if (found := LAYER.fullmatch(key))
    ]


def _sampled_size(unet: dict) -> int | None:
    """Pixels along a side of what a diffusion UNet paints; its sample_size counts patches."""
    size, patch = unet.get("sample_size"), unet.get("patch", 1)
    return size * patch if isinstance(size, int) and isinstance(patch, int) else None


def _row(path: str, config: dict):
    """The registry row that this file, or the one it was converted from, belongs to; None where it is nobody's."""
    from ..checkpoints.registry import rows

    source = config.get(SOURCE)
    stated = source if isinstance(source, dict) else {}
    odd = next((key for key, value in stated.items() if not isinstance(value, str)), None)
    if odd is not None:
        raise InputError(
            f"The config of {path} has a {type(stated[odd]).__name__} as {SOURCE}.{odd}, where words belong.",
            "Convert the file that it was made from again.",
        )
    names = {Path(path).name, stated.get("file", "")}
    for row in rows():
        if Path(path).resolve() in [file.resolve() for file in row.files.values()]:
            return row
        if names & {published.file for published in row.sources.values()}:
            return row
    return None
