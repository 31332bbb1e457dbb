"""Recipes: TOML files that say how something is trained, and from what data.

A recipe's `base` names another one, whose entries it replaces. Data that no folder holds come from a function that it
names, "package.module:function"; a name that begins with a dot is looked for in this package.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from difflib import get_close_matches
from importlib import import_module
from inspect import Parameter, signature
from pathlib import Path

from ..checkpoints import registry
from ..common.errors import InputError, shown, value_shown
from ..common.files import read_toml

RECIPES = Path(__file__).parent / "recipes"
PACKAGE = __name__.rsplit(".", 2)[0]


class Recipe(dict):
    """A recipe, or a table in one, that says what it lacks. Takes a dict or its pairs, as copies of it are made."""

    def __init__(self, table: dict | Iterable[tuple[str, object]]):
        pairs = dict(table).items()
        super().__init__({key: Recipe(value) if isinstance(value, dict) else value for key, value in pairs})

    def __missing__(self, key: str):
        raise InputError(f"The recipe does not say {key!r}.", "Start from one of the shipped recipes.")


def read_recipe(name_or_path: str) -> Recipe:
    """A recipe by path, or by the name of a shipped one: of this folder's, for one's own data, or of a client's."""
    path = Path(name_or_path)
    if not path.is_file():
        folders = [RECIPES, *(client.recipes for client in registry.clients())]
        shipped = {file.stem: file for folder in folders for file in sorted(folder.glob("*.toml"))}
        if name_or_path not in shipped:
            raise InputError(
                f"There is no recipe {name_or_path}.",
                f"Give the path of a TOML file, or one of: {', '.join(sorted(shipped))}.",
            )
        path = shipped[name_or_path]
    table = read_toml(path)
    base = table.pop("base", None)
    return Recipe(table if base is None else merged(read_recipe(base), table))


def merged(base: dict, table: dict) -> dict:
    """base with the entries of table, and so within the tables of both."""
    both = {
        key: merged(base[key], table[key]) for key in table if all(isinstance(x.get(key), dict) for x in (base, table))
    }
    return {**base, **table, **both}


def names_of(*takers: type | Callable) -> set[str]:
    """The fields of dataclasses, and the names under which functions take their arguments."""
    kinds = (Parameter.KEYWORD_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    found = {x.name for taker in takers for x in signature(taker).parameters.values() if x.kind in kinds}
    return found - {"self"}


def check_entries(recipe: Mapping, known: Mapping[str, Iterable[str] | None]) -> None:
    """Refuse a recipe with an entry that nothing reads: a misspelt one would be passed over, and its default taken.

    known: entry => the names in it, where it is a table; None where it is a single value, or what reads it says so.
    "training.weights" is a table in a table.

    Raises:
        InputError: naming the entry.
    """
    _check_names(recipe, "The recipe", [name for name in known if "." not in name])
    for name, names in known.items():
        table: object = recipe
        for part in name.split("."):
            table = table.get(part, {}) if isinstance(table, Mapping) else {}
        if names is not None:
            if not isinstance(table, Mapping):
                raise InputError(f"The recipe's {name} is {value_shown(table)}.", f"Write it as a table: [{name}].")
            _check_names(table, f"The recipe's [{name}]", sorted(names))


def _check_names(table: Mapping, what: str, names: Collection[str]) -> None:
    for entry in table:
        if entry not in names:
            near = get_close_matches(str(entry), names, n=1)
            remedy = f"Did you mean {near[0]}?" if near else f"Use some of: {', '.join(names)}."
            raise InputError(f"{what} has an unknown entry {shown(entry)!r}.", remedy)


def named_function(name: str) -> Callable:
    """What "package.module:function" names; ".module:function" is one of this package's."""
    module, _, attribute = name.partition(":")
    try:
        return getattr(import_module(module, PACKAGE), attribute)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise InputError(f"There is no {name!r} ({error}).", 'Name a function as "package.module:function".') from error


def data_source(table: Mapping, thing: str) -> Callable:
    """The function that a recipe's [data] names as `source`; else what a client of the library brings for `thing`, the
    module of the training."""
    if "source" in table:
        return named_function(table["source"])
    sources = [client.sources[thing] for client in registry.clients() if thing in client.sources]
    if not sources:
        raise InputError("The recipe names no data.", "Give --data, or folder or source in [data].")
    return named_function(sources[0])
