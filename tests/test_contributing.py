"""The numbered steps of CONTRIBUTING.md, followed to the letter in a copy of the project."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
COPIED = ("soundguide_core", "nodes", "web", "workflows", "tests", "__init__.py", "pyproject.toml", "CONTRIBUTING.md")
COPIED += (".comfyignore",)
RECIPES = re.findall(r"^## (Add [^\n]+)\n(.*?)(?=^## |\Z)", PAGE, flags=re.M | re.S)
BLOCK = re.compile(r"^```(\w+) ?([^\n]*)\n(.*?)^```$", flags=re.M | re.S)


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """The project without weights that no step needs: they are linked."""
    folder = tmp_path_factory.mktemp("project")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"))
            for weights in source.rglob("*.safetensors"):
                (folder / weights.relative_to(ROOT)).symlink_to(weights)
        else:
            shutil.copy(source, folder / name)
    return folder


def test_the_page_has_a_recipe_for_each_thing():
    assert [title for title, _ in RECIPES] == [
        "Add a node", "Add a checkpoint format", "Add an encoder of sounds", "Add a system",
    ]  # fmt: skip
    for title, text in RECIPES:
        steps = [int(number) for number in re.findall(r"^(\d+)\. ", text, flags=re.M)]
        assert steps == list(range(1, len(steps) + 1)) and len(steps) >= 3, title


@pytest.mark.slow
@pytest.mark.parametrize(("title", "text"), RECIPES, ids=[title.replace(" ", "-") for title, _ in RECIPES])
def test_following_the_steps_works(copy: Path, title: str, text: str):
    blocks = BLOCK.findall(text)
    assert [kind for kind, _, _ in blocks if kind == "bash"], f"{title} ends with a command that shows that it works"
    for kind, place, body in blocks:
        if kind == "bash":
            for line in body.splitlines():
                run(line, copy)
        elif kind == "diff":
            patch(copy / place, body)
        else:
            (copy / place).parent.mkdir(parents=True, exist_ok=True)
            (copy / place).write_text(body, encoding="utf-8")


def patch(path: Path, body: str) -> None:
    """Replaces the lines marked with a blank or - by those marked with a blank or +."""
    text = path.read_text(encoding="utf-8")
    context = "".join(line[1:] + "\n" for line in body.splitlines() if line[:1] in " -")
    added = "".join(line[1:] + "\n" for line in body.splitlines() if line[:1] in " +")
    assert text.count(context) == 1, f"{path.name} holds these lines once:\n{context}"
    path.write_text(text.replace(context, added), encoding="utf-8")


def run(line: str, folder: Path) -> None:
    words = shlex.split(line)
    settings = dict(word.split("=", 1) for word in words if re.match(r"[A-Z_]+=", word))
    command = [sys.executable if word == ".venv/bin/python" else word for word in words[len(settings) :]]
    environment = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", **settings}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{line}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
