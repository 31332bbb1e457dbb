"""Edit videos of the miniature world by new sounds and let an independent judge, part of no loss, name what it sees.

Also: whether every pixel outside the mask is the source's, whether louder moments change more (rank correlation,
against shuffled sounds), and how well the frames follow the movement of the source (masked warp error). Give --variant
or --flow-weight several times to see them side by side.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace

from ...cli.common import add_common, add_joint, add_json_flag, add_model, emit_json, pick_device, progress
from ...common.errors import check_number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser, "--unet", "unet", "pixel diffusion: a registry name or a file", "U")
    parser.add_argument("--videos", type=int, default=20, help="pairs of a video and a sound (default 20)")
    parser.add_argument("--frames", type=int, default=16, help="of each (default 16)")
    parser.add_argument("--fps", type=float, default=2.0, help="frames a second (default 2)")
    parser.add_argument(
        "--variant", action="append", metavar="V", help="clean, paper or score; may be repeated (default: score)"
    )
    parser.add_argument(
        "--flow-weight", action="append", type=float, metavar="W", help="may be repeated; 0 is without (default: 0.5)"
    )
    parser.add_argument("--steps", type=int, help="diffusion steps (default: the variant's)")
    add_model(parser, "--judge", "scene-classifier", "a scene classifier, by name or path", "J")
    parser.add_argument(
        "--out", metavar="PNG", help="where a sheet goes: of each pair sources above edits (default: nowhere)"
    )
    add_joint(parser)
    add_json_flag(parser)
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    from ...common.files import check_writable
    from ...diffusion.denoiser import load_denoiser
    from ...embedding.joint import load_joint
    from ...media.images import check_suffix
    from ..evaluation.scene_classifier import load_scene_classifier
    from ..evaluation.video_editing import measure

    check_number(args.videos, "--videos", low=1, high=1000)
    check_number(args.frames, "--frames", low=2, high=1000)
    check_number(args.fps, "--fps", low=1, high=60)
    configs = _configs(args)
    if args.out:
        check_suffix(args.out)
        check_writable(args.out)
    device = pick_device(args)
    models = load_denoiser(args.unet, device), load_joint(args.joint, device), load_scene_classifier(args.judge, device)
    with progress("editing") as on_step:
        reports, edits = measure(
            *models, configs, count=args.videos, num_frames=args.frames, fps=args.fps, seed=args.seed, on_step=on_step
        )
    if args.out:
        _sheet(next(iter(edits.values())), args.out)
    settings = {key: getattr(args, key) for key in ("unet", "videos", "frames", "fps", "judge", "joint", "seed")}
    settings |= {"device": str(device), "configs": {name: asdict(config) for name, config in configs.items()}}
    if args.json:
        emit_json({"edits": reports, "settings": settings}, args.json)
        return 0
    _table(reports)
    return 0


def _configs(args: argparse.Namespace) -> dict:
    """One EditConfig for each variant and weight of the flow."""
    from ...systems.video_editing import EditConfig

    usual = EditConfig(seed=args.seed, **({} if args.steps is None else {"steps": args.steps}))
    configs = {}
    for variant in args.variant or [usual.variant]:
        for weight in args.flow_weight or [usual.weights["flow"]]:
            weights = {**usual.weights, "flow": weight}
            configs[f"{variant} flow={weight:g}"] = replace(usual, variant=variant, weights=weights)
    return configs


ROWS = {
    "frames in which the judge names the sound": lambda r: f"{r['named']:.1%}",
    "of sounds that the encoder hears rightly": lambda r: f"{r['named_of_heard']:.1%} ({r['heard']:.0%})",
    "painted into the same regions by the renderer": lambda r: f"{r['painted']:.1%}",
    "videos that are the source's outside, to the bit": lambda r: f"{r['outside_equal']:.1%}",
    "change inside the mask": lambda r: f"{r['change']:.3f}",
    "rank correlation of loudness and change": lambda r: f"{r['rank']['mean']:.2f}",
    "nulls below it (their 99th percentile)": lambda r: f"{r['rank']['above_nulls']:.1%} ({r['rank']['null_99']:.2f})",
    "warp error (of the sources)": lambda r: f"{r['warp_error']:.5f} ({r['warp_error_source']:.5f})",
}


def _table(reports: dict[str, dict]) -> None:
    print(" " * 50 + "".join(f"{name:>20}" for name in reports))
    for title, value in ROWS.items():
        print(f"{title:<50}" + "".join(f"{value(report):>20}" for report in reports.values()))
    for name, report in reports.items():
        for key in ("named_per_class", "named_per_region"):
            print(f"{name}: " + ", ".join(f"{group} {share:.0%}" for group, share in report[key].items()))


def _sheet(edits: list, path: str) -> None:
    import torch

    from ...cli.pictures import labelled_sheet

    every = max(len(edits[0].frames) // 8, 1)
    rows = [part[::every][:8] for edit in edits for part in (edit.pair.frames, edit.frames)]
    labels = [
        label for edit in edits for label in (f"{edit.pair.region}", f"{edit.pair.phenomenon} {edit.named.mean():.0%}")
    ]
    labelled_sheet(torch.cat(rows), [f"{i * every}" for i in range(len(rows[0]))], labels, path)
