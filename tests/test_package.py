"""`pip install .`: the wheel holds all of the library, weights and tables too, and gives the command `soundguide`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", ".git", ".venv*", "build", "*.egg-info", "tests", "runs")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy of the project, with the setuptools that is here, without the network."""
    pytest.importorskip("setuptools")
    folder = tmp_path_factory.mktemp("package")
    shutil.copytree(ROOT, folder / "project", ignore=LEFT_OUT)
    build = "import sys, setuptools.build_meta as b; b.build_wheel(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", build, str(folder)], cwd=folder / "project", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (path,) = folder.glob("*.whl")
    return path


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_library_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    here = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "soundguide_core").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert inside == here
    assert {Path(name).suffix for name in inside} >= {".safetensors", ".toml", ".csv", ".html"}


@pytest.mark.slow
def test_the_command_works_from_any_folder(wheel, tmp_path):
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet", "--target"]
    subprocess.run([*pip, str(tmp_path / "site"), str(wheel)], check=True)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    (tmp_path / "elsewhere").mkdir()
    scripts = tmp_path / "site" / ("Scripts" if os.name == "nt" else "bin")
    (command,) = (path for path in scripts.iterdir() if path.stem == "soundguide")

    def run(*words: str) -> subprocess.CompletedProcess:
        where = {"cwd": tmp_path / "elsewhere", "env": environment}
        return subprocess.run([str(command), *words], capture_output=True, text=True, **where)

    listed = run("models")
    assert listed.returncode == 0 and "here" in listed.stdout and "not on this disk" not in listed.stdout
    assert run("--help").stdout.startswith("usage: soundguide")
    assert run("inspect", str(ROOT / "soundguide_core/miniature/weights/unet.safetensors")).returncode == 0
