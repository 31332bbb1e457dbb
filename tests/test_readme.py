"""What the README and its pages say can be typed can be: commands, Python, pictures, pages, names of nodes.

test_the_readme_followed_to_the_letter goes through every block of the README in order, as a newcomer would, in a fresh
copy of the project; what is not run is named in LEFT_OUT, with the reason.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import shutil
import signal
import site
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest

import soundguide_core
from soundguide_core.cli import parser

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
COMMAND = re.compile(
    r"^    (?:python (?:\.\./)?start.py (?:run )?|python -m soundguide_core |soundguide )(.+)$", re.M
)
LINES = [(page.name, line) for page in PAGES for line in COMMAND.findall(page.read_text(encoding="utf-8"))]
BLOCK = re.compile(r"((?:^    [^\n]+\n)+)|^```python\n(.*?)^```", re.M | re.S)
# beginnings of lines that the test does not run => why
LEFT_OUT = {
    "git clone": "the copy that the test is in stands for it",
    "python ../start.py run live": "serves until Ctrl-C: the test presses it as soon as the page is offered",
}


@pytest.mark.parametrize(("page", "line"), [x for x in LINES if not x[1].startswith("test")])
def test_command_lines_are_understood(page, line):
    parser().parse_args(shlex.split(line, comments=True))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pictures_and_pages_that_it_links_are_there(page):
    text = re.sub(r"`[^`\n]*`", "", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text):
        if "(" not in target:  # else it is an equation
            assert "://" in target or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_is_python_and_names_what_there_is(page):
    for code in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "sg":
                assert getattr(soundguide_core, node.attr)


def test_every_node_is_in_the_table():
    shown = " ".join(re.findall(r"^\| ([^|]+) \|", (ROOT / "docs" / "nodes.md").read_text(encoding="utf-8"), re.M))
    for page in (ROOT / "web" / "docs").glob("*.md"):
        name = page.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        assert re.search(rf"(?:^|[ ,]){re.escape(name)}(?:,| |$)", shown), name


@pytest.fixture(scope="module")
def fresh(tmp_path_factory) -> Path:
    """A fresh copy of the project whose .venv is there already: one that borrows the packages of this Python."""
    folder = tmp_path_factory.mktemp("fresh") / "ComfyUI-SoundGuide"
    left_out = shutil.ignore_patterns(
        "__pycache__", ".git", ".venv*", "build", "*.egg-info", "runs", "tests", "soundguide-demo"
    )
    shutil.copytree(ROOT, folder, ignore=left_out)
    venv.create(folder / ".venv", with_pip=False, symlinks=os.name != "nt")
    (packages,) = (folder / ".venv").rglob("site-packages")
    (packages / "borrowed.pth").write_text("\n".join(site.getsitepackages()), encoding="utf-8")
    wanted = (folder / "requirements.txt").read_text(encoding="utf-8").splitlines()
    installed = ["torch", "torchvision", "pytest", *(line for line in wanted if line and not line.startswith("#"))]
    stamp = {"python": sys.version, "installed": installed}
    (folder / ".venv" / "soundguide.json").write_text(json.dumps(stamp), encoding="utf-8")
    return folder


class Reader:
    """Types what the README says, from where it has gone."""

    def __init__(self, folder: Path) -> None:
        self.at = folder
        names = folder.parent / "bin"
        names.mkdir()
        (names / "python").symlink_to(sys.executable)
        # without PYTHONPATH, which a newcomer does not have
        self.environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        self.environment |= {"PATH": f"{names}{os.pathsep}{os.environ['PATH']}"}

    def types(self, line: str) -> None:
        words = shlex.split(line)
        if words[0] == "cd":
            if (self.at / words[1]).is_dir():
                self.at = self.at / words[1]
            else:  # into the clone, in which the test is
                assert self.at.name == words[1], line
        elif line.startswith("python ../start.py run live"):
            self.serves(words)
        elif not line.startswith(tuple(LEFT_OUT)):
            done = self._run(words)
            assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
            if "--out" in words and "--preview" not in words:
                assert (self.at / words[words.index("--out") + 1]).stat().st_size > 1000, line

    def runs(self, code: str) -> None:
        words = [str(self.at.parent / ".venv" / "bin" / "python"), "-c", code]
        done = self._run(words, PYTHONPATH=str(self.at.parent))
        assert done.returncode == 0, done.stderr[-2000:]

    def serves(self, words: list[str]) -> None:
        started = subprocess.Popen(
            [*words, "--port", "0"], cwd=self.at, env={**self.environment, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        try:
            assert any("Open http" in line for line in started.stdout)
        finally:
            os.killpg(started.pid, signal.SIGINT)
            started.wait(60)

    def _run(self, words: list[str], **more: str) -> subprocess.CompletedProcess:
        """Also prints how long it took, for the README's own table (pytest -s)."""
        import resource

        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        done = subprocess.run(words, cwd=self.at, env={**self.environment, **more}, capture_output=True, text=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        worked = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(f"{time.monotonic() - began:.0f} s, {worked:.0f} of a processor: {shlex.join(words)[:100]!r}", flush=True)
        return done


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.skipif(os.name == "nt", reason="the reader presses Ctrl-C as POSIX does")
def test_the_readme_followed_to_the_letter(fresh):
    reader = Reader(fresh)
    followed = 0
    for commands, code in BLOCK.findall(README.read_text(encoding="utf-8")):
        if code:
            reader.runs(code)
        for line in filter(None, map(str.strip, commands.splitlines())):
            reader.types(line)
            followed += 1
    assert followed > 10
    made = {path.name for path in reader.at.iterdir()}
    assert made >= {"index.html", "rainy.png", "calm.png", "burning.preview.png", "storm.mp4", "rain-in-python.png"}
