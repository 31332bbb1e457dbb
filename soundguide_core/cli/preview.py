"""--preview: one frame, or every n-th, of a video that is not made: a sheet to look at before long work."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..common.errors import InputError, check_whole
from .common import say

if TYPE_CHECKING:
    from torch import Tensor

ACROSS = 6  # frames side by side, where there is one row of them
WIDE = 1920  # pixels of a sheet, about
SMALL = 192  # pixels to which the frames of a small model are enlarged


def add_preview(parser: argparse._ActionsContainer) -> None:
    """--preview [N]."""
    parser.add_argument(
        "--preview", nargs="?", const=0, type=int, metavar="N",
        help="make the frame at the loudest moment, or every N-th, as a picture beside --out (OUT.preview.png), "
        "and no video (default: the video)",
    )  # fmt: skip


def preview_path(out: str) -> Path:
    """lake.mp4 => lake.preview.png"""
    return Path(out).with_name(f"{Path(out).stem}.preview.png")


def check_preview(args: argparse.Namespace) -> None:
    """Refuse what cannot be previewed, before any work."""
    from ..common.files import check_writable

    if args.preview is None:
        return
    check_whole(args.preview, "--preview", low=0, high=1_000_000)
    if args.json:
        raise InputError("A preview has no report.", "Leave out --json, or --preview.")
    check_writable(preview_path(args.out))


def chosen_frames(every: int, num_frames: int, loudness: Sequence[float] | None) -> list[int]:
    """Every n-th, or with 0 one: where it is loudest, or the middle where there is no sound."""
    if every:
        return list(range(0, num_frames, every))
    if loudness is None:
        return [num_frames // 2]
    return [max(range(num_frames), key=lambda i: loudness[i])]


def write_preview(out: str, rows: Mapping[str, Tensor], frames: Sequence[int], fps: float) -> None:
    """rows: name => pictures [n,3,H,W] of these frames; one row side by side, several rows as columns."""
    import torch

    from ..media.images import resize
    from .pictures import labelled_sheet

    path = preview_path(out)
    times = [f"{i / fps:.2f} s" for i in frames]
    columns = len(rows) if len(rows) > 1 else min(ACROSS, len(frames))
    imgs = torch.stack(list(rows.values()), dim=1).flatten(0, 1).detach().float().cpu().clamp(-1, 1)
    height, width = imgs.shape[2:]
    scale = min(WIDE / (columns * width), 1.0)
    if min(height, width) < SMALL:
        scale = -(-SMALL // min(height, width))
    size = max(round(height * scale), 1), max(round(width * scale), 1)
    imgs = imgs if scale == 1 else torch.cat([resize(img, size, "stretch") for img in imgs.split(1)])
    if len(rows) > 1:
        heads, sides = list(rows), times
    else:
        heads, sides = [""] * columns, times[::columns]
        if len(imgs) % columns:  # white where there are no frames left
            imgs = torch.cat([imgs, imgs.new_ones(-len(imgs) % columns, *imgs.shape[1:])])
    labelled_sheet(imgs.clamp(-1, 1), heads, sides, path)
    some = f"frame {frames[0]}" if len(frames) == 1 else f"{len(frames)} frames"
    say(f"{path}: {some}; without --preview all of the video is made")
