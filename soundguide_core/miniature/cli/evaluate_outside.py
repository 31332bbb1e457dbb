"""Make videos of sounds that are none of the miniature's phenomena: does the picture stay calm, and does it flip?

Synthesised speech, music, machines, animals and noise that no training used, and silence; --recordings adds the classes
of an ESC-50 folder that are no phenomenon, --sounds a folder of your own sounds. The judge is part of no loss.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from ...cli.common import (
    add_common,
    add_generator,
    add_joint,
    add_json_flag,
    add_model,
    emit_json,
    load_models,
    pick_device,
    progress,
    say,
)
from ...common.errors import check_number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--trajectory", action="append", metavar="J", help="a name or path; may be repeated (default: miniature)"
    )
    parser.add_argument("--per-kind", type=int, default=1, help="synthesised sounds of each kind (default 1)")
    parser.add_argument("--recordings", metavar="DIR", help="a folder in the layout of ESC-50 too (default: none)")
    parser.add_argument(
        "--folds", type=int, nargs="+", default=[4, 5], metavar="N", help="of the recordings (default 4 5)"
    )
    parser.add_argument("--sounds", metavar="DIR", help="a folder of your own sounds too (default: none)")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each at most (default 5)")
    parser.add_argument("--fps", type=float, default=12.0, help="frames a second (default 12)")
    add_model(parser, "--judge", "scene-classifier", "a scene classifier, by name or path", "J")
    parser.add_argument(
        "--out", metavar="PNG", help="where a sheet of frames goes, a row for each sound (default: none)"
    )
    add_generator(parser)
    add_joint(parser)
    add_json_flag(parser)
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    from ...checkpoints import registry
    from ...common.files import check_writable
    from ...media.images import check_suffix
    from ...systems.configs.sound_to_video import VideoConfig
    from ...trajectory.loading import load_trajectory
    from ..evaluation import outside
    from ..evaluation.scene_classifier import load_scene_classifier
    from ..evaluation.sound_video import Models

    check_number(args.per_kind, "--per-kind", low=1, high=1000)
    check_number(args.seconds, "--seconds", low=1, high=600)
    config = VideoConfig(fps=args.fps, seed=args.seed)
    if args.out:
        check_suffix(args.out)
        check_writable(args.out)
    sounds = list(outside.new_outside(args.per_kind, args.seconds, fps=args.fps, seed=args.seed))
    if args.recordings:
        sounds += outside.recorded_outside(Path(args.recordings), args.folds)
    if args.sounds:
        sounds += outside.own_files(Path(args.sounds), args.seconds)
    device, reports = pick_device(args), {}
    (joint, generator), judge = load_models(args), load_scene_classifier(args.judge, device)
    for name in args.trajectory or [registry.default("trajectory")]:
        models = Models(generator, load_trajectory(name, device), joint, judge)
        with progress(f"watching {name}") as on_step:
            videos = list(
                outside.watch(
                    models, sounds, len(sounds), config=config, psi=args.psi, seed=args.seed, on_step=on_step
                )
            )  # fmt: skip
        reports[name] = outside.figures(videos)
        if args.out:
            _sheet(videos, Path(args.out))
    if args.json:
        settings = {key: getattr(args, key) for key in ("per_kind", "recordings", "folds", "sounds", "seconds", "seed")}
        emit_json({"trajectories": reports, "settings": settings | {"config": asdict(config)}}, args.json)
        return 0
    for name, report in reports.items():
        say(f"{name}: calm in {report['calm']:.1%} of the frames, {report['flips_per_minute']:.1f} flips a minute")
        say("  " + ", ".join(f"{kind} {share:.0%}" for kind, share in report["calm_per_kind"].items()))
    return 0


def _sheet(videos: list, path: Path) -> None:
    import torch

    from ...cli.pictures import labelled_sheet

    columns = min(len(video.frames) for video in videos)
    rows = torch.cat([video.frames[:columns] for video in videos])
    labelled_sheet(rows, [f"{i} s" for i in range(columns)], [f"{v.kind} {v.calm:.0%}" for v in videos], path)
