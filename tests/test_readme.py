"""What the README says can be typed can be: commands, Python, pictures, pages, names of nodes."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest

import soundguide_core
from soundguide_core.cli import parser

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMAND = re.compile(r"^    (?:python start.py (?:run )?|python -m soundguide_core |soundguide )(.+)$", re.M)
LINES = [(page.name, line) for page in PAGES for line in COMMAND.findall(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize(("page", "line"), [x for x in LINES if not x[1].startswith("test")])
def test_command_lines_are_understood(page, line):
    parser().parse_args(shlex.split(line, comments=True))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pictures_and_pages_that_it_links_are_there(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text):
        assert "://" in target or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_is_python_and_names_what_there_is(page):
    for code in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "sg":
                assert getattr(soundguide_core, node.attr)


def test_every_node_is_in_the_table():
    shown = " ".join(re.findall(r"^\| ([^|]+) \|", (ROOT / "README.md").read_text(encoding="utf-8"), re.M))
    for page in (ROOT / "web" / "docs").glob("*.md"):
        name = page.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        assert re.search(rf"(?:^|[ ,]){re.escape(name)}(?:,| |$)", shown), name
