"""Figures of a folder of videos as the papers take theirs: inception score, Fréchet distance, temporal consistency.

They are taken in the space of a joint encoder, and compare folders that were measured alike: they are not those of the
papers' tables, whose networks are others.
"""

from __future__ import annotations

import argparse

from ..common.errors import check_number, check_whole
from .common import add_common, add_joint, add_json_flag, emit_json, pick_device, progress, say, split_list


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="holds videos, or folders of PNG frames")
    parser.add_argument("--real", metavar="DIR", help="videos that the Fréchet distance is taken to (default: none)")
    parser.add_argument("--labels", help="words of the inception score, such as rain,fire (default: without it)")
    parser.add_argument("--window", type=int, default=16, metavar="N", help="frames of a window (default 16)")
    parser.add_argument("--fps", type=float, default=12.0, help="frames a second that are looked at (default 12)")
    add_joint(parser)
    add_json_flag(parser)
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    check_whole(args.window, "--window", low=2, high=10_000)
    check_number(args.fps, "--fps", low=0.01, high=1000)
    labels = [] if args.labels is None else split_list(args.labels, "--labels")

    from ..embedding.joint import load_joint
    from ..pipelines.videos_report import measure_videos, videos_in

    paths, real = videos_in(args.folder), [] if args.real is None else videos_in(args.real)
    joint = load_joint(args.joint, pick_device(args))
    with progress("watching") as on_step:
        report = measure_videos(
            paths, joint, fps=args.fps, window=args.window, labels=labels, real=real, on_step=on_step
        )
    if args.json:
        settings = {name: getattr(args, name) for name in ("folder", "real", "window", "fps", "joint", "seed")}
        emit_json({**report, "settings": settings}, args.json)
        return 0
    for name, value in report["consistency"].items():
        say(f"{name:<16} {value:.4f}")
    if labels:
        say(f"inception score  {report['inception_score']['mean']:.3f} of at most {len(labels)}")
    if real:
        found = report["frechet"]
        say(f"Fréchet          {found['distance']:.4f} in the joint space, {found['windows']} windows")
    return 0
