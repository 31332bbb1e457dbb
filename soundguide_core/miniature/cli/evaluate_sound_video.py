"""Make videos of new sounds and let an independent judge, part of no loss, name what it sees in each frame.

Also: whether the picture moves with the loudness (against 200 shuffled sounds each), how much neighbouring frames agree
and how much moves, Fréchet distances to painted videos, and when the crossfade from each phenomenon to each other is
seen. --recordings takes real sounds in place of synthesised ones, and no crossfades. Give --trajectory several times to
see them side by side.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

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
)
from ...common.errors import InputError, check_number

if TYPE_CHECKING:
    import numpy as np


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--trajectory", action="append", metavar="J", help="a name or path; may be repeated (default: the miniature)"
    )
    parser.add_argument("--sounds", type=int, default=21, help="how many (default 21: three of each phenomenon)")
    parser.add_argument(
        "--natural",
        action="store_true",
        help="sounds as they come, some quite even, not ones that rise and fall",
    )
    parser.add_argument(
        "--recordings", metavar="DIR", help="real ones: a folder in the layout of ESC-50 (default: synthesised)"
    )
    parser.add_argument(
        "--folds", type=int, nargs="+", default=[4, 5], metavar="N", help="of the recordings (default 4 5)"
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each (default 10)")
    parser.add_argument("--fps", type=float, default=12.0, help="frames a second (default 12)")
    add_model(parser, "--judge", "scene-classifier", "a scene classifier, by name or path", "J")
    parser.add_argument(
        "--out", metavar="PNG", help="where a sheet of frames goes, a row for each sound (default: nowhere)"
    )
    add_generator(parser)
    add_joint(parser)
    add_json_flag(parser)
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    from ...checkpoints import registry
    from ...common.files import check_writable
    from ...common.memory import tune_malloc
    from ...media.images import check_suffix
    from ...systems.sound_to_video import VideoConfig
    from ...trajectory.loading import load_trajectory
    from ..evaluation.scene_classifier import load_scene_classifier
    from ..evaluation.sound_video import Models, measure, new_sounds

    check_number(args.sounds, "--sounds", low=1, high=10_000)
    check_number(args.seconds, "--seconds", low=2.5, high=600)
    check_number(args.psi, "--psi", low=0, high=2)
    config = VideoConfig(fps=args.fps, seed=args.seed)
    if args.out:
        check_suffix(args.out)
        check_writable(args.out)

    sounds = None if args.recordings is None else _recorded(args)
    device = pick_device(args)
    if device.type == "cpu":
        tune_malloc()
    joint, generator = load_models(args)
    judge = load_scene_classifier(args.judge, device)
    names = args.trajectory or [registry.default("trajectory")]
    reports = {}
    for name in names:
        models = Models(generator, load_trajectory(name, device), joint, judge)
        with progress(f"watching {name}") as on_step:
            heard = sounds or new_sounds(
                args.sounds, args.seconds, fps=args.fps, seed=args.seed, swelling=not args.natural
            )
            count = args.sounds if sounds is None else len(sounds)
            reports[name], videos = measure(
                models, heard, count, config=config, psi=args.psi, seed=args.seed, crossfades=sounds is None,
                on_step=on_step,
            )  # fmt: skip
        if args.out:
            path = Path(args.out)
            _sheet(videos, path if len(names) == 1 else path.with_stem(f"{path.stem}-{Path(name).stem}"))
    kind = ("sounds", "natural", "seconds") if sounds is None else ("recordings", "folds")
    chosen = (*kind, "psi", "generator", "judge", "joint", "seed")
    settings = {key: getattr(args, key) for key in chosen}
    settings |= {"device": str(device), "config": asdict(config)}
    if args.json:
        emit_json({"trajectories": reports, "settings": settings}, args.json)
        return 0
    _table(reports)
    return 0


def _recorded(args: argparse.Namespace) -> list[tuple[str, np.ndarray]]:
    """(phenomenon, wave) of the recordings of phenomena in the chosen folds."""
    from ...audio.waveform import load_audio, resample, to_mono
    from ..data.scene_clips import of_phenomena
    from ..evaluation.sound_video import SAMPLE_RATE
    from ..world.scenes import PHENOMENA

    sounds = []
    for path, phenomenon in of_phenomena(Path(args.recordings), args.folds):
        wave, sample_rate = load_audio(path)
        sounds.append((phenomenon, resample(to_mono(wave)[None], sample_rate, SAMPLE_RATE)[0].numpy()))
    if not sounds:
        raise InputError(
            f"{args.recordings} has no recordings of {', '.join(PHENOMENA)} in folds "
            f"{', '.join(map(str, args.folds))}.",
            "Choose others.",
        )
    return sounds


ROWS = {
    "frames in which the judge names the sound": lambda r: f"{r['named']:.1%}",
    "sounds whose video reacts (above 99 % of 200 nulls)": lambda r: f"{r['reactive']:.1%}",
    "correlation with loudness, mean": lambda r: f"{r['correlation']:.2f} (nulls' 99th: {r['null_99']:.2f})",
    "lag within two frames": lambda r: f"{r['lag_frames']['within_2']:.1%} (mean {r['lag_frames']['mean']:+.2f})",
    "crossfades seen within half a second": lambda r: f"{r['crossfades_in_time']:.1%}" if r["crossfades"] else "-",
    "half of them seen within": lambda r: (
        "-" if r["crossfades_median_sec"] is None else f"{r['crossfades_median_sec']:.2f} s"
    ),
    "nearness to the sound": lambda r: f"{r['similarity']:.3f}",
    "neighbouring frames, cosine: mean, least": lambda r: f"{r['adjacent']['mean']:.4f}, {r['adjacent']['least']:.4f}",
    "motion between them: mean, largest": lambda r: f"{r['motion']['mean']:.4f}, {r['motion']['largest']:.4f}",
    "Fréchet distance, frames": lambda r: f"{r['frechet']['frames']:.4f}",
    "Fréchet distance, windows of 12": lambda r: f"{r['frechet']['windows']:.4f}",
}


def _table(reports: dict[str, dict]) -> None:
    print(" " * 53 + "".join(f"{Path(name).stem:>28}" for name in reports))
    for title, value in ROWS.items():
        print(f"{title:<53}" + "".join(f"{value(report):>28}" for report in reports.values()))
    for name, report in reports.items():
        classes = ", ".join(f"{p} {share:.0%}" for p, share in report["named_per_class"].items())
        print(f"{Path(name).stem}: {classes}")


def _sheet(videos: list, path: Path) -> None:
    import torch

    from ...cli.pictures import labelled_sheet

    columns = min(len(video.frames) for video in videos)
    rows = torch.cat([video.frames[:columns] for video in videos])
    labels = [f"{video.phenomenon} r={video.reactivity.correlation:.2f}" for video in videos]
    labelled_sheet(rows, [f"{i} s" for i in range(columns)], labels, path)
