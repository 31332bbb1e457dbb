"""Edit pictures by sounds and let an independent judge, part of no loss, name what it sees in them.

Every source is changed by each of the seven sounds of the miniature world. The judge was trained on renders alone.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
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
)
from ...common.errors import check_number
from ...common.files import check_writable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sources", type=int, default=10, help="how many pictures to change (default 10)")
    parser.add_argument(
        "--sounds", metavar="DIR",
        help="a folder with rain.*, waves.* and so on to change them by (default: synthesised, new ones per picture)",
    )  # fmt: skip
    parser.add_argument("--steps", type=int, help="optimisation steps (default 10)")
    add_model(parser, "--judge", "scene-classifier", "a scene classifier, by name or path", "J")
    parser.add_argument("--out", metavar="PNG", help="where the grid of pictures goes (default: nowhere)")
    add_generator(parser)
    add_joint(parser)
    add_json_flag(parser)
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    check_number(args.sources, "--sources", low=2, high=1000)
    check_number(args.psi, "--psi", low=0, high=2)
    if args.out:
        from ...media.images import check_suffix

        check_suffix(args.out)
        check_writable(args.out)

    from ...systems.image_manipulation import ManipulationConfig
    from ..evaluation.scene_classifier import load_scene_classifier
    from ..evaluation.seeing import edit_sources, report

    config = ManipulationConfig(seed=args.seed)
    if args.steps is not None:
        config = replace(config, schedule=replace(config.schedule, steps=args.steps))
    judge = load_scene_classifier(args.judge, pick_device(args))
    joint, generator = load_models(args)
    recordings = None if args.sounds is None else Path(args.sounds)
    with progress("changing") as on_step:
        edited = edit_sources(
            joint, generator, config,
            count=args.sources, psi=args.psi, seed=args.seed, recordings=recordings, on_step=on_step,
        )  # fmt: skip
    found = report(edited, judge)
    if args.out:
        _sheet(edited, args.seed, args.out)
    if args.json:
        chosen = ("sources", "sounds", "psi", "generator", "judge", "joint", "seed")
        settings = {key: getattr(args, key) for key in chosen}
        settings |= {"device": str(edited.sources.device), "config": asdict(config)}
        emit_json({**found, "settings": settings}, args.json)
        return 0
    _table(found)
    return 0


def _table(found: dict) -> None:
    right, heard = (round(found[key] * found["pictures"]) for key in ("accuracy", "heard"))
    right_of_heard = round((found["accuracy_of_heard"] or 0) * heard)
    print(f"The judge names {right} of {found['pictures']} edited pictures as their sound: {found['accuracy']:.1%}")
    print(f"  of those whose sound the encoder had heard rightly: {right_of_heard} of {heard}")
    for phenomenon, share in found["per_class"].items():
        print(f"  {phenomenon:<9} {share:6.1%}")
    layout = found["layout"]
    print(f"Layout: similarity {layout['own']:.3f} to the own source, {layout['others']:.3f} to others; ", end="")
    print(f"the own source is the nearest for {layout['nearest']:.1%}.")


def _sheet(edited, seed: int, path: str) -> None:
    """Each source, and what the phenomena made of it, in a row."""
    import torch

    from ...cli.pictures import labelled_sheet
    from ..world.scenes import PHENOMENA

    count = len(edited.sources)
    rows = torch.cat([edited.sources[:, None], edited.edits.unflatten(0, (count, -1))], dim=1).flatten(0, 1)
    labelled_sheet(rows, ["source", *PHENOMENA], [f"seed {seed + i}" for i in range(count)], path)
