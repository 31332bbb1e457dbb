"""Recipes: TOML files that say how something is trained, and from what data.

A recipe's `base` names another one, whose entries it replaces.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..checkpoints import registry
from ..common.errors import InputError
from ..common.files import read_toml


class Recipe(dict):
    """A recipe, or a table in one, that says what it lacks. Takes a dict or its pairs, as copies of it are made."""

    def __init__(self, table: dict | Iterable[tuple[str, object]]):
        pairs = dict(table).items()
        super().__init__({key: Recipe(value) if isinstance(value, dict) else value for key, value in pairs})

    def __missing__(self, key: str):
        raise InputError(f"The recipe does not say {key!r}.", "Start from one of the shipped recipes.")


def read_recipe(name_or_path: str) -> Recipe:
    """A recipe by path, or by the name of one that a client of the library brings."""
    path = Path(name_or_path)
    if not path.is_file():
        shipped = {file.stem: file for client in registry.clients() for file in sorted(client.recipes.glob("*.toml"))}
        if name_or_path not in shipped:
            raise InputError(
                f"There is no recipe {name_or_path}.",
                f"Give the path of a TOML file{', or one of: ' if shipped else ''}{', '.join(sorted(shipped))}.",
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
