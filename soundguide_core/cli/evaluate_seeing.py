"""Edit pictures by sounds and let an independent judge, part of no loss, name what it sees in them.

Every source is changed by each of the seven sounds of the miniature world. The judge was trained on renders alone.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..common.errors import InputError, check_number
from ..common.files import check_writable
from .common import (
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

if TYPE_CHECKING:
    from torch import Tensor


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sources", type=int, default=10, help="how many pictures to change (default 10)")
    parser.add_argument(
        "--sounds", metavar="DIR",
        help="a folder with rain.*, waves.* and so on to change them by (default: synthesised, new ones per picture)",
    )  # fmt: skip
    parser.add_argument("--steps", type=int, help="optimisation steps (default 10)")
    add_model(parser, "--judge", "scene-classifier", "a scene classifier, by name or path", "J")
    parser.add_argument("--out", metavar="PNG", help="where the grid of pictures goes")
    add_generator(parser)
    add_joint(parser)
    add_json_flag(parser)
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    check_number(args.sources, "--sources", low=2, high=1000)
    check_number(args.psi, "--psi", low=0, high=2)
    if args.out:
        from ..media.images import check_suffix

        check_suffix(args.out)
        check_writable(args.out)

    import torch

    from ..metrics.layout import layout_report
    from ..miniature.evaluation.scene_classifier import load_scene_classifier
    from ..miniature.world.scenes import PHENOMENA
    from ..systems.image_manipulation import ManipulationConfig

    config = ManipulationConfig(seed=args.seed)
    if args.steps is not None:
        config = replace(config, schedule=replace(config.schedule, steps=args.steps))
    judge = load_scene_classifier(args.judge, pick_device(args))
    sources, edits, heard = edit_all(args, config)  # [S,3,H,W], [S*7,3,H,W]
    seen = judge.name(edits)
    meant = list(PHENOMENA) * len(sources)
    right = [name == wanted for name, wanted in zip(seen, meant)]
    of_heard = [ok for ok, name, wanted in zip(right, heard, meant) if name == wanted]
    per_class = {p: sum(right[k :: len(PHENOMENA)]) / len(sources) for k, p in enumerate(PHENOMENA)}
    layout = layout_report(edits, sources, torch.arange(len(sources)).repeat_interleave(len(PHENOMENA)))
    report = {
        "accuracy": sum(right) / len(right),
        "pictures": len(right),
        "heard": len(of_heard) / len(right),
        "accuracy_of_heard": sum(of_heard) / len(of_heard) if of_heard else None,
        "per_class": per_class,
        "seen": [seen[i : i + len(PHENOMENA)] for i in range(0, len(seen), len(PHENOMENA))],
        "layout": asdict(layout),
        "settings": {
            **{key: getattr(args, key) for key in ("sources", "sounds", "psi", "generator", "judge", "joint", "seed")},
            "device": str(sources.device),
            "config": asdict(config),
        },
    }
    if args.out:
        from .pictures import labelled_sheet

        rows = torch.cat([sources[:, None], edits.unflatten(0, (len(sources), -1))], dim=1).flatten(0, 1)
        labels = [f"seed {args.seed + i}" for i in range(len(sources))]
        labelled_sheet(rows, ["source", *PHENOMENA], labels, args.out)
    if args.json:
        emit_json(report, args.json)
        return 0
    print(f"The judge names {sum(right)} of {len(right)} edited pictures as their sound: {report['accuracy']:.1%}")
    print(f"  of those whose sound the encoder had heard rightly: {sum(of_heard)} of {len(of_heard)}")
    for phenomenon, share in per_class.items():
        print(f"  {phenomenon:<9} {share:6.1%}")
    print(f"Layout: similarity {layout.own:.3f} to the own source, {layout.others:.3f} to others; ", end="")
    print(f"the own source is the nearest for {layout.nearest:.1%}.")
    return 0


def edit_all(args: argparse.Namespace, config) -> tuple[Tensor, Tensor, list[str]]:
    """(source pictures [S,3,H,W], each changed by the seven sounds [S*7,3,H,W], what the encoder took them for)"""
    import torch

    from ..miniature.world.scenes import PHENOMENA
    from ..systems.image_manipulation import manipulate

    joint, generator = load_models(args)
    sources, edits, heard = [], [], []
    n = args.sources * config.schedule.steps
    with progress("changing") as on_step:
        for i in range(args.sources):
            embeds = sound_embeds(args, joint, i)
            heard += [PHENOMENA[k] for k in joint.classify(embeds, PHENOMENA).argmax(dim=1)]
            ws_src = generator.sample_ws([args.seed + i], psi=args.psi).expand(len(embeds), -1, -1)
            done = i * config.schedule.steps
            result = manipulate(
                ws_src, embeds, generator=generator, joint=joint, config=config,
                on_step=lambda k, _, terms, preview, done=done: on_step(done + k, n, terms),
            )  # fmt: skip
            sources.append(result.img_src[:1])
            edits.append(result.img)
    return torch.cat(sources), torch.cat(edits), heard


def sound_embeds(args: argparse.Namespace, joint, take: int) -> Tensor:
    """[7,D] of the recordings in --sounds, or of sounds synthesised for this take."""
    import numpy as np
    import torch

    from ..audio.waveform import load_audio, to_mono
    from ..miniature.sounds.synthesis import synthesise
    from ..miniature.world.scenes import PHENOMENA

    embeds = []
    for phenomenon in PHENOMENA:
        if args.sounds is None:
            wave = synthesise(phenomenon, 5, intensity=np.full(2, 0.9), seed=args.seed + 1000 + take, fps=1)
            wave = torch.from_numpy(wave)
            embeds.append(joint.encode_audio(wave, 44100))
            continue
        paths = sorted(Path(args.sounds).glob(f"{phenomenon}.*"))
        if not paths:
            raise InputError(f"{args.sounds} holds no {phenomenon}.*.", "Put one recording of each of the seven there.")
        wave, sample_rate = load_audio(paths[0])
        embeds.append(joint.encode_audio(to_mono(wave), sample_rate))
    return torch.cat(embeds)
