"""Train one of the models, by a recipe: the same seed and recipe give the same weights on the same machine.

Recipes are TOML files; those of the miniature come with the package and are the default. A run can be stopped with
Ctrl-C and taken up again with --resume.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

from ..common.errors import InputError
from ..common.files import read_toml
from ..common.outputs import own_folder
from .common import add_common, pick_device, progress

# name -> module of training/, each with run(*, config, out, device, seed, resume, on_step) -> path of the weights
THINGS = {
    "joint": "joint",
    "sound-encoder": "sound_encoder",
    "stylegan2": "stylegan2",
    "sound-video": "sound_video",
    "styleganv": "styleganv",
    "pixel-diffusion": "pixel_diffusion",
    "scene-classifier": "scene_classifier",
}
RECIPES = Path(__file__).resolve().parents[1] / "miniature" / "recipes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("thing", choices=THINGS, metavar="THING", help=", ".join(THINGS))
    parser.add_argument(
        "--config", metavar="TOML", help="a recipe: a path, or the name of a shipped one (default: the miniature's)"
    )
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in --out")
    parser.add_argument("--out", metavar="DIR", help="where checkpoints and weights go (default: runs/THING)")
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    module = THINGS[args.thing]
    config = read_recipe(args.config or module)
    out = args.out or Path("runs") / args.thing

    trainer = import_module(f"..training.{module}", __package__)
    with own_folder(out, overwrite=args.overwrite or args.resume) as out, progress(f"training {args.thing}") as on_step:
        path = trainer.run(
            config=config, out=out, device=pick_device(args), seed=args.seed, resume=args.resume, on_step=on_step
        )  # fmt: skip
    print(path)
    return 0


class Recipe(dict):
    """A recipe, or a table in one, that says what it lacks. Takes a dict or its pairs, as copies of it are made."""

    def __init__(self, table: dict | Iterable[tuple[str, object]]):
        pairs = dict(table).items()
        super().__init__({key: Recipe(value) if isinstance(value, dict) else value for key, value in pairs})

    def __missing__(self, key: str):
        raise InputError(f"The recipe does not say {key!r}.", "Start from one of the shipped recipes.")


def read_recipe(name_or_path: str) -> Recipe:
    """A recipe by path, or by the name of a shipped one. What it says replaces what its `base`, another, says."""
    path = Path(name_or_path)
    if not path.is_file():
        path = RECIPES / f"{name_or_path}.toml"
    if not path.is_file():
        shipped = ", ".join(sorted(recipe.stem for recipe in RECIPES.glob("*.toml")))
        raise InputError(f"There is no recipe {name_or_path}.", f"Give the path of a TOML file, or one of: {shipped}.")
    table = read_toml(path)
    base = table.pop("base", None)
    return Recipe(table if base is None else _over(read_recipe(base), table))


def _over(base: dict, table: dict) -> dict:
    """base with the entries of table, and so within the tables of both."""
    both = {
        key: _over(base[key], table[key]) for key in table if all(isinstance(x.get(key), dict) for x in (base, table))
    }
    return {**base, **table, **both}
