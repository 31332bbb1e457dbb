"""Train one of the models, by a recipe: the same seed and recipe give the same weights on the same machine.

Recipes are TOML files; those that made the shipped weights come with the package and are the default. A run can be
stopped with Ctrl-C and taken up again with --resume.
"""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

from ..checkpoints import registry
from ..common.outputs import own_folder
from .common import add_common, pick_device, progress, say

# name -> module of this package, with run(*, config, out, device, seed, resume, on_step) -> path of the weights; the
# last part of its name is that of the recipe by default
THINGS = {
    "joint": "training.joint",
    "sound-encoder": "training.sound_encoder",
    "stylegan2": "training.stylegan2",
    "sound-video": "training.sound_video",
    "styleganv": "training.styleganv",
    "pixel-diffusion": "training.pixel_diffusion",
    "bridge": "training.bridge",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    things = _things()
    parser.add_argument("thing", choices=things, metavar="THING", help=", ".join(things))
    parser.add_argument(
        "--config", metavar="TOML", help="a recipe: a path, or the name of a shipped one (default: that of THING)"
    )
    parser.add_argument(
        "--data", metavar="PATH",
        help="learn from this folder (pictures, clips, captioned pictures, sounds), table of sounds, or x.tar shards "
        "(default: what the recipe says)",
    )  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in --out")
    parser.add_argument("--out", metavar="DIR", help="where checkpoints and weights go (default: runs/THING)")
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    from ..training.recipe import RECIPES, read_recipe

    module = _things()[args.thing]
    name = module.rpartition(".")[2]
    if args.data is not None and (RECIPES / f"folder_{name}.toml").is_file():
        name = f"folder_{name}"
    config = read_recipe(args.config or name)
    if args.data is not None:
        table = {key: value for key, value in config.get("data", {}).items() if key != "source"}
        config["data"] = type(config)({**table, "folder": args.data})
    out = args.out or Path("runs") / args.thing

    trainer = import_module(f"..{module}", __package__)
    with own_folder(out, overwrite=args.overwrite or args.resume) as out, progress(f"training {args.thing}") as on_step:
        path = trainer.run(
            config=config, out=out, device=pick_device(args), seed=args.seed, resume=args.resume, on_step=on_step
        )  # fmt: skip
    say(path)
    return 0


def _things() -> dict[str, str]:
    """Those of the library, and those that its clients add."""
    return THINGS | {name: module for client in registry.clients() for name, module in client.train.items()}
