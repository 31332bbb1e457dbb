"""Change a picture by the meaning of recordings, words, or both.

The picture is a random one of the generator (--seed), your own (--image), which is first found in it, or one that was
found before (--found). --method optimise+tuning or encoder+tuning lets the generator itself learn your picture, and
--blend-back carries the change to your photograph, at its own resolution.
What is transparent in a picture or a video is laid on white.
"""

from __future__ import annotations

import argparse
import re
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from ..common.errors import InputError, check_number
from ..common.files import check_input, check_writable
from ..systems.configs.image_manipulation import ManipulationConfig
from ..systems.configs.projection import ProjectionConfig
from .common import (
    add_common,
    add_generator,
    add_joint,
    add_report,
    emit_json,
    encode_files,
    load_joint_of,
    progress,
    say,
)
from .settings import add_config_arguments, add_preset_argument, config_from

if TYPE_CHECKING:
    from ..embedding.joint import JointEncoder
    from ..pipelines.image_manipulation import ChangedPicture
    from ..pipelines.inversion import FoundPicture


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
    add_config_arguments(
        parser, ProjectionConfig,
        "method", "fit", "refine_steps", "tuning_steps", "tuning_rate", "locality",
    )  # fmt: skip
    parser.add_argument(
        "--inversion-encoder", metavar="E",
        help="for the methods with an encoder: a registry name, or a file, of e4e or pSP too (default: the one that "
        "comes with the default generator)",
    )  # fmt: skip
    parser.add_argument(
        "--perceptual", metavar="P",
        help="tune by LPIPS on this trunk, a registry name (vgg16) or a file (default: by the joint encoder)",
    )  # fmt: skip
    parser.add_argument(
        "--save-found", metavar="S",
        help="where the picture as it was found goes, a .safetensors with what tuning changed (default: nowhere)",
    )  # fmt: skip
    parser.add_argument(
        "--found", metavar="S", help="the picture to change: one that --save-found has saved (default: none)"
    )
    parser.add_argument(
        "--blend-back", action="store_true",
        help="carry the change to the photograph of --image, at its own resolution (default: the generator's picture)",
    )  # fmt: skip
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
    _check_source(args)
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


def _check_source(args: argparse.Namespace) -> None:
    """Refuse options of which one makes no sense with or without another."""
    if args.blend_back and not args.image:
        raise InputError("There is no photograph to blend back into.", "Give it with --image.")
    if args.found and not args.blend_back and args.image:
        raise InputError("A picture and one that was found before are given.", "Give one, or --blend-back too.")
    if args.save_found:
        if not args.image or args.found:
            raise InputError("No picture is looked for, so that none can be saved.", "Give one with --image.")
        if not args.save_found.endswith(".safetensors"):
            raise InputError(f"{args.save_found} does not end in .safetensors.", "Give such a name.")
        check_writable(args.save_found)
    if args.found:
        check_input(args.found, "picture that was found")


def edit(args: argparse.Namespace, config: ManipulationConfig) -> tuple[dict, ChangedPicture]:
    """(report, the change)"""
    from ..common.memory import tune_malloc
    from ..losses.identity import load_identity
    from ..pipelines.image_manipulation import change_picture, target_by_layers, target_embeds

    joint = load_joint_of(args)
    if joint.device.type == "cpu":
        tune_malloc()
    identity = load_identity(args.identity, joint.device) if args.identity else None
    sounds = encode_files(joint, args.audio).split(1) if args.audio else ()
    texts = joint.encode_text(args.text).split(1) if args.text else ()
    by_layers, weights = args.mix == "layers", args.weight or None
    embeds = target_by_layers(sounds, texts, weights) if by_layers else target_embeds([*sounds, *texts], weights)
    found, about = source(args, joint)
    with progress("changing", makes="the picture") as on_step:
        changed = change_picture(
            found.ws[:1], embeds, generator=found.generator, joint=joint, config=config, by_layers=by_layers,
            sound_layers=_layers(args.sound_layers), identity=identity, on_step=on_step,
        )  # fmt: skip
    if args.blend_back:
        from ..media.images import load_image
        from ..pipelines.blend_back import blend_back

        photo = load_image(args.image).to(changed.img)
        changed.img = blend_back(photo, changed.result.img_src[:1], changed.img[:1], fit=about["config"]["fit"])
    names = (
        "audio text weight mix sound_layers image found blend_back psi class_index seed generator joint identity "
        "inversion_encoder perceptual"
    )
    return {
        "out": args.out,
        **changed.figures(),
        "found": about,
        "settings": {
            **{key: getattr(args, key) for key in names.split()},
            "device": str(joint.device),
            "config": asdict(config),
        },
    }, changed


def source(args: argparse.Namespace, joint: JointEncoder) -> tuple[FoundPicture, dict]:
    """The picture to change, by --found, --image or --seed; and what the report says of how it was found."""
    from ..generators.loading import load_generator
    from ..latents.encoder import load_inversion_encoder
    from ..losses.perceptual import load_perceptual
    from ..pipelines.inversion import saved_picture, source_picture

    config = config_from(args, ProjectionConfig, seed=args.seed)
    about = {"config": asdict(config)}
    if args.found:
        return saved_picture(args.found, joint.device), about
    generator, device = load_generator(args.generator, joint.device), str(joint.device)
    began = time.monotonic()
    with progress("finding the picture") as on_step:
        found = source_picture(
            generator, joint, image=args.image, config=config, psi=args.psi, class_index=args.class_index,
            encoder=load_inversion_encoder(args.inversion_encoder, device) if args.inversion_encoder else None,
            perceptual=load_perceptual(args.perceptual, device) if args.perceptual else None,
            name=args.generator, on_step=on_step,
        )  # fmt: skip
    if args.save_found:
        found.save(args.save_found)
    if args.image:
        about |= {"error": found.error, "seconds": round(time.monotonic() - began, 2)}
    return found, about


def _layers(text: str | None) -> str | list[int] | None:
    """ "0-3,8" => [0, 1, 2, 3, 8]; a group's name as it is."""
    if text is None or not text[:1].isdecimal():
        return text
    numbers = re.fullmatch(r"\d{1,3}(-\d{1,3})?(,\d{1,3}(-\d{1,3})?)*", text)
    if numbers is None:
        raise InputError(f"--sound-layers {text!r} names no layers.", "Give numbers such as 0-3,8, or coarse+mid.")
    ends = [[int(end) for end in part.split("-")] for part in text.split(",")]
    return [i for pair in ends for i in range(pair[0], pair[-1] + 1)]
