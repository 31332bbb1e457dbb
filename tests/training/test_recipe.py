"""Recipes: an entry that nothing reads is refused before any work, in every shipped recipe and every table of it."""

from __future__ import annotations

import copy
from importlib import import_module

import pytest

from soundguide_core.checkpoints import registry
from soundguide_core.cli.train import _things
from soundguide_core.common.errors import InputError
from soundguide_core.training.recipe import RECIPES, Recipe, check_entries, names_of, read_recipe

FOLDERS = (RECIPES, *(client.recipes for client in registry.clients()))
NAMES = sorted(file.stem for folder in FOLDERS for file in folder.glob("*.toml"))
OPENERS = ("open_data", "data_source", "open_sounds", "open_pairs", "open_source", "render_scenes", "load_clip",
           "load_joint", "load_generator", "load_trajectory")  # fmt: skip
LATER = {"clip.vision_cfg", "clip.text_cfg", "encoder.kwargs", "synthesised", "label_weights", "trajectory.encoder"}


class Reached(Exception):
    """The work would have begun."""


def tables(table: dict, path: tuple[str, ...] = ()):
    yield path
    for key, value in table.items():
        if isinstance(value, dict):
            yield from tables(value, (*path, key))


def trainer(name: str):
    modules = sorted(_things().values(), key=lambda module: -len(module))
    part = name.removeprefix("folder_")
    return import_module("soundguide_core." + next(m for m in modules if part.startswith(m.rpartition(".")[2])))


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_entry_is_refused_before_the_work(name, diffusers, tmp_path, monkeypatch):
    module = trainer(name)

    def reached(*args, **kwargs):
        raise Reached

    for opener in OPENERS:
        if hasattr(module, opener):
            monkeypatch.setattr(module, opener, reached)
    whole = read_recipe(name)
    whole["run"] = Recipe({"max_time": 1.0})  # as the options of train say it
    if name.startswith("folder_"):
        whole["data"] = Recipe({**whole.get("data", {}), "folder": str(tmp_path)})
    if name != "bridge":  # whose target must be named
        with pytest.raises(Reached):
            module.run(config=copy.deepcopy(whole), out=tmp_path, device="cpu")
    for path in tables(whole):
        if ".".join(path) in LATER or path[:1] == ("data",):
            continue  # by what reads it
        recipe = copy.deepcopy(whole)
        table = recipe
        for key in path:
            table = table[key]
        table["stepz"] = 3
        with pytest.raises(InputError, match="^The recipe.* 'stepz'"):
            module.run(config=recipe, out=tmp_path, device="cpu")


def test_a_misspelt_entry_is_met_with_the_right_one():
    with pytest.raises(InputError, match=r"The recipe has an unknown entry 'trainig'. Did you mean training\?"):
        check_entries({"trainig": {}}, {"training": None, "data": None})
    with pytest.raises(InputError, match=r"The recipe's \[a.b\] has an unknown entry 'x'. Use some of: y, z."):
        check_entries({"a": {"b": {"x": 1}}}, {"a": None, "a.b": ("z", "y")})
    with pytest.raises(InputError, match=r"The recipe's a is 3. Write it as a table: \[a\]."):
        check_entries({"a": 3}, {"a": ("b",)})
    check_entries({"a": {"b": 1}}, {"a": ("b", "c"), "d": ("e",)})


def test_names_of_what_takes_them():
    assert names_of(lambda self, a, *args, b=1, **more: None) == {"a", "b"}
