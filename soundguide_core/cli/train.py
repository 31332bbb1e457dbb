"""Train one of the models, by a recipe: the same seed and recipe give the same weights on the same machine.

Recipes are TOML files; those that made the shipped weights come with the package and are the default. Ctrl-C ends a
run after the step in hand and keeps it, and --resume goes on from there; an earlier training is never overwritten
unasked. Its figures are in metrics.csv in --out. Several GPUs share each batch under `accelerate launch -m
soundguide_core train ...` or torchrun. docs/training.md goes from clips to a node.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from ..checkpoints import registry
from ..common.errors import InputError
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
    "inversion-encoder": "training.inversion_encoder",
}

PRECISIONS = ("auto", "float32", "bfloat16")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    things = _things()
    parser.add_argument("thing", choices=things, metavar="THING", help=", ".join(things))
    parser.add_argument(
        "--config", metavar="TOML", help="a recipe: a path, or the name of a shipped one (default: that of THING)"
    )
    parser.add_argument(
        "--data", metavar="PATH",
        help="learn from a folder (pictures, clips, captioned pictures, sounds), a CSV of files, or x-{0..9}.tar "
        "(default: what the recipe says)",
    )  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in --out")
    parser.add_argument("--out", metavar="DIR", help="where checkpoints and weights go (default: runs/THING)")
    parser.add_argument(
        "--max-time", type=float, metavar="MIN", help="save and stop after so many minutes (default: no limit)"
    )
    parser.add_argument(
        "--estimate", action="store_true", help="take a few steps, say what time and memory all will take, and stop"
    )
    parser.add_argument(
        "--accumulate", type=int, metavar="N",
        help="compute each batch in N parts, one after the other, which takes less memory (default 1)",
    )  # fmt: skip
    parser.add_argument(
        "--precision", choices=PRECISIONS, help="of features; auto is bfloat16 on a GPU (default: the recipe's)"
    )
    parser.add_argument(
        "--validate-every", type=int, metavar="STEPS", help="look at the held-out part so often (default: when saving)"
    )
    parser.add_argument("--tensorboard", action="store_true", help="write TensorBoard's events beside metrics.csv")
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    from ..training.engine.distributed import init_distributed, rank
    from ..training.engine.estimate import Estimated
    from ..training.recipe import RECIPES, read_recipe

    module = _things()[args.thing]
    name = module.rpartition(".")[2]
    if args.data is not None and (RECIPES / f"folder_{name}.toml").is_file():
        name = f"folder_{name}"
    config = read_recipe(args.config or name)
    if args.data is not None:
        table = {key: value for key, value in config.get("data", {}).items() if key != "source"}
        config["data"] = type(config)({**table, "folder": args.data})
    given = {
        "max_time": args.max_time, "accumulate": args.accumulate, "dtype": args.precision,
        "validate_every": args.validate_every, "tensorboard": args.tensorboard or None,
        "estimate": args.estimate or None,
    }  # fmt: skip
    config["run"] = {**config.get("run", {}), **{key: value for key, value in given.items() if value is not None}}
    out = Path(args.out or Path("runs") / args.thing)
    if not (args.resume or args.overwrite or args.estimate):
        _check_untrained(out)
    device = pick_device(args)
    init_distributed(device)

    trainer = import_module(f"..{module}", __package__)
    try:
        overwrite = args.overwrite or args.resume
        bar = contextlib.nullcontext() if rank() else progress(f"training {args.thing}")
        with own_folder(out, overwrite=overwrite) as out, _estimates_said(), bar as show:
            how = {"device": device, "seed": args.seed, "resume": args.resume, "on_step": show}
            path = trainer.run(config=config, out=out, **how)
    except Estimated as found:
        if not rank():
            say(found)
        return 0
    if not rank():
        say(path)
    return 0


@contextlib.contextmanager
def _estimates_said() -> Iterator[None]:
    """What the loop says of time and memory goes to the terminal."""
    engine, handler = logging.getLogger("soundguide_core.training.engine"), logging.StreamHandler()
    before = engine.level
    engine.addHandler(handler)
    engine.setLevel(logging.INFO)
    try:
        yield
    finally:
        engine.removeHandler(handler)
        engine.setLevel(before)


def _check_untrained(out: Path) -> None:
    """Refuse a folder with the checkpoint or the weights of an earlier training, hours of work that are soon lost."""
    from ..training.bridge_pairs import FEATURES  # which a new training makes again where they do not fit
    from ..training.engine.loop import STATE

    found = sorted(path for pattern in ("*.safetensors", f"*/{STATE}") for path in out.glob(pattern))
    found = [path for path in found if path.name != FEATURES]
    if found:
        raise InputError(
            f"{out} holds a training already, such as {found[0].name}.",
            "Go on with it by --resume, give another --out, or add --overwrite to begin anew over it.",
        )


def _things() -> dict[str, str]:
    """Those of the library, and those that its clients add."""
    return THINGS | {name: module for client in registry.clients() for name, module in client.train.items()}
