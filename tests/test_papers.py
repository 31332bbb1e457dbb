"""docs/papers.md: every row is whole, and every name and line in it is in the code."""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import re
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

import soundguide_core
from soundguide_core.cli import COMMANDS, parser
from soundguide_core.training.recipe import read_recipe

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "papers.md"
COLUMNS = ["what", "its line", "library", "command", "node", "test"]
NODES = json.loads((ROOT / "tests" / "host" / "golden_nodes.json").read_text(encoding="utf-8"))


def cells(line: str) -> list[str]:
    """The cells of a row of a table; a bar behind a backslash, or in code, is none between cells."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


LINES = [cells(line) for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
ROWS = [row for row in LINES if row != COLUMNS and set("".join(row)) != {"-"}]


def named(cell: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def found(name: str) -> object:
    """What a dotted name under soundguide_core says: a module, or what is in it."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            thing: object = import_module(".".join([soundguide_core.__name__, *parts[:count]]))
        except ModuleNotFoundError as error:
            if not (error.name or "").startswith(soundguide_core.__name__):
                raise
            continue
        for part in parts[count:]:
            thing = getattr(thing, part)
        return thing
    raise AssertionError(f"there is no {name}")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:50])
def test_a_row_is_whole_and_true(row):
    assert len(row) == len(COLUMNS) and all(row)
    _, line, library, command, node, test = row
    sources = []
    for name in named(library):
        thing = found(name)
        sources.append(inspect.getsource(thing.fget if isinstance(thing, property) else thing))  # type: ignore[arg-type]
    (wanted,) = named(line)
    assert any(wanted in source for source in sources), wanted
    for text in named(command):
        check_command(text)
    assert named(node)
    for name in named(node):
        check_node(name)
    (where,) = named(test)
    path, _, function = where.partition("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert function in {part.name for part in tree.body if isinstance(part, ast.FunctionDef)}, where


def test_four_papers_are_there():
    titles = re.findall(r"^## (.*)$", PAGE.read_text(encoding="utf-8"), re.M)
    assert len(titles) == 5 and titles[-1].startswith("What is not here") and len(ROWS) > 90


def check_command(text: str) -> None:
    """`train THING --config NAME`, `evaluate WHAT`, `manipulate --option`."""
    words = text.split()
    command = commands()[words[0]]
    rest = words[1:]
    if words[0] == "train":
        from soundguide_core.cli.train import _things

        assert rest.pop(0) in _things(), text
        if "--config" in rest:
            read_recipe(rest.pop(rest.index("--config") + 1))
    if words[0] == "evaluate":
        command = subparsers(command)[rest.pop(0)]
    options = {option for action in command._actions for option in action.option_strings}
    assert words[0] in COMMANDS and set(rest) <= options, text


@cache
def commands() -> dict[str, argparse.ArgumentParser]:
    return subparsers(parser())


def subparsers(of: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    (action,) = (a for a in of._actions if isinstance(a, argparse._SubParsersAction))
    return action.choices  # type: ignore[return-value]


def check_node(name: str) -> None:
    """`SoundManipulate`, or `SoundManipulate.keep_source` for an input of it."""
    node, _, socket = name.partition(".")
    inputs = NODES[f"SoundGuide{node}"]["inputs"]
    known = {key for group in inputs.values() for key in group}
    assert not socket or socket in known, f"{name}: {sorted(known)}"
