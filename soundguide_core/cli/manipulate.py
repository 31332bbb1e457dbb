"""Change a picture by the meaning of recordings, words, or both.

The picture is a random one of the generator (--seed), or your own (--image), which is first projected into it.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from ..common.errors import InputError, check_number
from ..common.files import check_writable
from ..systems.configs.image_manipulation import ManipulationConfig
from .common import add_common, add_generator, add_joint, emit_json, encode_files, load_models, progress
from .settings import add_config_arguments, config_from

if TYPE_CHECKING:
    from torch import Tensor


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--audio", action="append", default=[], metavar="A", help="a sound file; may be repeated")
    parser.add_argument("--text", action="append", default=[], metavar="T", help="words; may be repeated")
    parser.add_argument(
        "--weight", action="append", type=float, default=[], metavar="W",
        help="weight of each --audio, then of each --text, in order (default: all equal)",
    )  # fmt: skip
    parser.add_argument(
        "--mix", choices=("embedding", "layers"), default="embedding",
        help="sound and text as one direction, or sound in the coarse layers and text in the fine (default embedding)",
    )  # fmt: skip
    parser.add_argument("--image", metavar="I", help="the picture to change, instead of a random one")
    add_generator(parser)
    add_joint(parser)
    add_config_arguments(parser, ManipulationConfig, "variant", "schedule.steps", "schedule.lr", "similarity")
    parser.add_argument("--out", required=True, metavar="PNG", help="where the changed picture goes")
    parser.add_argument("--json", metavar="REPORT", help="where a report of figures and settings goes")
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
    check_suffix(args.out)
    for path in filter(None, (args.out, args.json)):
        check_writable(path)
    config = config_from(args, ManipulationConfig, seed=args.seed)

    began = time.monotonic()
    report, img = edit(args, config)
    report["seconds"] = round(time.monotonic() - began, 2)
    save_image(img, args.out)
    if args.json:
        emit_json(report, args.json)
    before, after = report["similarity"]["before"], report["similarity"]["after"]
    print(f"{args.out}: similarity to the sound {before:.3f} before, {after:.3f} after, {report['seconds']} s")
    return 0


def edit(args: argparse.Namespace, config) -> tuple[dict, Tensor]:
    """(report, changed picture [1,3,H,W])"""
    import torch

    from ..systems.image_manipulation import manipulate, mix_styles

    joint, generator = load_models(args)
    embeds = target_embeds(args, joint)
    ws_src = source_latents(args, generator, joint)
    with progress("changing") as on_step:
        result = manipulate(
            ws_src.expand(len(embeds), -1, -1), embeds,
            generator=generator, joint=joint, config=config, on_step=on_step,
        )  # fmt: skip
    img = result.img
    if len(embeds) == 2:
        with torch.no_grad():
            img = generator.synthesis(mix_styles(result.ws[:1], result.ws[1:]))
    with torch.no_grad():
        before, after = ((joint.encode_image(x) * embeds).sum(-1).mean().item() for x in (result.img_src[:1], img))
    settings = {
        **{key: getattr(args, key) for key in ("audio", "text", "weight", "mix", "image", "psi", "seed")},
        **{key: getattr(args, key) for key in ("generator", "joint")},
        "device": str(joint.device),
        "config": asdict(config),
    }
    return {
        "out": args.out,
        "similarity": {"before": before, "after": after},
        "layer_mask": result.layer_mask.mean(dim=0).tolist(),
        "history": result.history,
        "settings": settings,
    }, img


def target_embeds(args: argparse.Namespace, joint) -> Tensor:
    """[1,D], or [2,D] of sounds and texts apart where they are mixed by layers."""
    import torch

    from ..embedding.mixing import mix_embeds

    sounds = list(encode_files(joint, args.audio).split(1)) if args.audio else []
    texts = list(joint.encode_text(args.text).split(1)) if args.text else []
    weights = args.weight or [1.0] * (len(sounds) + len(texts))
    if args.mix == "embedding":
        return mix_embeds(sounds + texts, weights)
    if not sounds or not texts:
        raise InputError("Mixing by layers needs a sound and a text.", "Give both --audio and --text.")
    return torch.cat([mix_embeds(sounds, weights[: len(sounds)]), mix_embeds(texts, weights[len(sounds) :])])


def source_latents(args: argparse.Namespace, generator, joint) -> Tensor:
    """ws [1,L,D] of --image by projection, or of --seed."""
    if args.image is None:
        return generator.sample_ws([args.seed], psi=args.psi)

    from ..latents.projection import project
    from ..media.images import load_image

    with progress("finding the picture") as on_step:
        found = project(
            load_image(args.image), generator, features=joint.encode_image, seed=args.seed, on_step=on_step
        )  # fmt: skip
    return found.ws
