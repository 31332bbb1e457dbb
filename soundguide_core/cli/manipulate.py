"""Change a picture by the meaning of recordings, words, or both.

The picture is a random one of the generator (--seed), or your own (--image), which is first projected into it.
What is transparent in a picture or a video is laid on white.
"""

from __future__ import annotations

import argparse
import re
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from ..common.errors import InputError, check_number
from ..common.files import check_writable
from ..systems.configs.image_manipulation import ManipulationConfig
from .common import (
    add_common,
    add_generator,
    add_joint,
    add_report,
    emit_json,
    encode_files,
    load_models,
    progress,
    say,
)
from .settings import add_config_arguments, add_preset_argument, config_from

if TYPE_CHECKING:
    from ..pipelines.image_manipulation import ChangedPicture


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--audio", action="append", default=[], metavar="A", help="a sound file; may be repeated (default: none)"
    )
    parser.add_argument(
        "--text", action="append", default=[], metavar="T", help="words; may be repeated (default: none)"
    )
    parser.add_argument(
        "--weight", action="append", type=float, default=[], metavar="W",
        help="weight of each --audio, then of each --text, in order (default: all equal)",
    )  # fmt: skip
    parser.add_argument(
        "--mix", choices=("embedding", "layers"), default="embedding",
        help="sound and text as one direction, or sound in the coarse layers and text in the fine (default embedding)",
    )  # fmt: skip
    parser.add_argument(
        "--sound-layers", metavar="LAYERS",
        help="with --mix layers: those of the sound, such as 0-8, or coarse+mid (default: the coarser half)",
    )  # fmt: skip
    parser.add_argument("--image", metavar="I", help="the picture to change (default: a random one)")
    add_generator(parser)
    add_joint(parser)
    parser.add_argument(
        "--identity", metavar="R",
        help="face recogniser that keeps a person's face: a registry name (ir-se50) or a file of weights "
        "(default: none)",
    )  # fmt: skip
    add_config_arguments(
        parser, ManipulationConfig,
        "strength", "variant", "schedule.steps", "schedule.lr", "similarity", "identity", "layer_masking", "mask_lr",
        "space", "samples", "crops",
    )  # fmt: skip
    add_preset_argument(parser, ManipulationConfig)
    parser.add_argument("--out", required=True, metavar="PNG", help="where the changed picture goes")
    parser.add_argument("--before", metavar="PNG", help="where the picture as it was goes (default: nowhere)")
    add_report(parser)
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    from ..media.images import check_suffix, save_image

    if not args.audio and not args.text:
        raise InputError("There is nothing to change the picture by.", "Give a recording with --audio.")
    given = len(args.audio) + len(args.text)
    if args.weight and len(args.weight) != given:
        raise InputError(
            f"{len(args.weight)} weights meet {given} sounds and texts.", "Give one --weight for each, sounds first."
        )
    check_number(args.psi, "--psi", low=0, high=2)
    for path in filter(None, (args.out, args.before)):
        check_suffix(path)
        check_writable(path)
    config = config_from(args, ManipulationConfig, seed=args.seed)
    if args.identity and not config.identity:
        raise InputError(
            "A face recogniser is given, but its term weighs nothing.",
            "Give --identity-weight 0.004, or a preset for faces such as --preset ffhq-paper.",
        )

    began = time.monotonic()
    report, changed = edit(args, config)
    report["seconds"] = round(time.monotonic() - began, 2)
    save_image(changed.img, args.out)
    if args.before:
        save_image(changed.result.img_src[:1], args.before)
    if args.json:
        emit_json(report, args.json)
    before, after = report["similarity"]["before"], report["similarity"]["after"]
    say(f"{args.out}: similarity to the sound {before:.3f} before, {after:.3f} after, {report['seconds']} s")
    return 0


def edit(args: argparse.Namespace, config: ManipulationConfig) -> tuple[dict, ChangedPicture]:
    """(report, the change)"""
    from ..losses.identity import load_identity
    from ..pipelines.image_manipulation import change_picture, source_latents, target_by_layers, target_embeds

    joint, generator = load_models(args)
    identity = load_identity(args.identity, joint.device) if args.identity else None
    sounds = encode_files(joint, args.audio).split(1) if args.audio else ()
    texts = joint.encode_text(args.text).split(1) if args.text else ()
    by_layers, weights = args.mix == "layers", args.weight or None
    embeds = target_by_layers(sounds, texts, weights) if by_layers else target_embeds([*sounds, *texts], weights)
    with progress("finding the picture") as on_step:
        ws_src = source_latents(
            generator, joint, image=args.image, seed=args.seed, psi=args.psi, class_index=args.class_index,
            on_step=on_step,
        )  # fmt: skip
    with progress("changing", makes="the picture") as on_step:
        changed = change_picture(
            ws_src, embeds, generator=generator, joint=joint, config=config, by_layers=by_layers,
            sound_layers=_layers(args.sound_layers), identity=identity, on_step=on_step,
        )  # fmt: skip
    names = "audio text weight mix sound_layers image psi class_index seed generator joint identity"
    return {
        "out": args.out,
        **changed.figures(),
        "settings": {
            **{key: getattr(args, key) for key in names.split()},
            "device": str(joint.device),
            "config": asdict(config),
        },
    }, changed


def _layers(text: str | None) -> str | list[int] | None:
    """ "0-3,8" => [0, 1, 2, 3, 8]; a group's name as it is."""
    if text is None or not text[:1].isdecimal():
        return text
    numbers = re.fullmatch(r"\d{1,3}(-\d{1,3})?(,\d{1,3}(-\d{1,3})?)*", text)
    if numbers is None:
        raise InputError(f"--sound-layers {text!r} names no layers.", "Give numbers such as 0-3,8, or coarse+mid.")
    ends = [[int(end) for end in part.split("-")] for part in text.split(",")]
    return [i for pair in ends for i in range(pair[0], pair[-1] + 1)]
