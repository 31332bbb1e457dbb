"""Let the pixel diffusion paint out of noise what words and sounds ask for, and a judge, part of no loss, name it.

Each of 14 prompts and of 14 synthesised sounds is painted from the same noises, by classifier-free guidance at several
scales; scale 0 tells the diffusion nothing. How strange the pictures are to the diffusion itself, its error in taking
noise off them, stands beside that of scenes which it has not seen.
"""

from __future__ import annotations

import argparse

from ...cli.common import add_common, add_joint, add_json_flag, add_model, emit_json, pick_device, progress
from ...common.errors import check_number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser, "--unet", "unet", "a conditioned pixel diffusion: a registry name or a file", "U")
    parser.add_argument(
        "--scale", action="append", type=float, metavar="S", help="may be repeated (default 0, 1, 2, 3)"
    )
    parser.add_argument("--pictures", type=int, default=5, help="of each prompt and each sound (default 5)")
    parser.add_argument("--sampler", default="dpm-solver", help="ddpm, ddim or dpm-solver (default dpm-solver)")
    parser.add_argument("--steps", type=int, default=15, help="diffusion steps (default 15)")
    add_model(parser, "--judge", "scene-classifier", "a scene classifier, by name or path", "J")
    parser.add_argument(
        "--out", metavar="PNG", help="where a sheet goes: a picture of each prompt at each scale (default: nowhere)"
    )
    add_joint(parser)
    add_json_flag(parser)
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    from ...common.files import check_writable
    from ...diffusion.denoiser import load_denoiser
    from ...diffusion.sampler import SamplerConfig
    from ...embedding.joint import load_joint
    from ...media.images import check_suffix
    from ..evaluation import told_pictures as told
    from ..evaluation.scene_classifier import load_scene_classifier

    check_number(args.pictures, "--pictures", low=1, high=1000)
    scales = args.scale or [0.0, 1.0, 2.0, 3.0]
    if args.out:
        check_suffix(args.out)
        check_writable(args.out)
    device = pick_device(args)
    denoiser, joint = load_denoiser(args.unet, device), load_joint(args.joint, device)
    judge = load_scene_classifier(args.judge, device)
    config = SamplerConfig(args.sampler, args.steps)
    asked = {"words": told.asked_in_words(joint), "sounds": told.asked_by_sounds(joint, args.seed)}
    reports, sheet = {}, []
    for kind, wanted in asked.items():
        for scale in scales:
            if kind == "sounds" and not scale:
                continue
            with progress(f"{kind}, scale {scale:g}") as on_step:
                img = told.painted(
                    denoiser, wanted, config, scale=scale, pictures=args.pictures, seed=args.seed, on_step=on_step
                )
            reports[f"{kind} {scale:g}"] = told.report(img, wanted, judge, denoiser)
            sheet.append((f"{kind} {scale:g}", img[:: args.pictures]))
    real = told.held_out_scenes(64, denoiser.resolution or 64).to(device)
    scenes = {"strangeness": told.strangeness(denoiser, real).mean().item()}
    if args.out:
        _sheet(sheet, [each.phenomenon for each in asked["words"]], args.out)
    settings = {key: getattr(args, key) for key in ("unet", "pictures", "sampler", "steps", "judge", "joint", "seed")}
    if args.json:
        emit_json({"pictures": reports, "scenes": scenes, "settings": settings | {"device": str(device)}}, args.json)
        return 0
    print(f"strangeness of new scenes: {scenes['strangeness']:.4f}")
    for name, each in reports.items():
        per_class = ", ".join(f"{label} {share:.0%}" for label, share in each["per_class"].items())
        print(f"{name:<12} named {each['named']:.1%}  strangeness {each['strangeness']:.4f}  ({per_class})")
    return 0


def _sheet(rows: list, columns: list[str], path: str) -> None:
    import torch

    from ...cli.pictures import labelled_sheet

    labelled_sheet(torch.cat([img for _, img in rows]), columns, [label for label, _ in rows], path)
