"""The library goes on working for somebody who deletes the packages inside it that are its clients."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from soundguide_core.checkpoints import registry

CORE = Path(registry.PACKAGE)


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> Path:
    """A folder with a copy of the package, without its clients."""
    folder = tmp_path_factory.mktemp("bare")
    gone = [client.folder.name for client in registry.clients()]
    shutil.copytree(CORE, folder / CORE.name, ignore=shutil.ignore_patterns("__pycache__", *gone))
    return folder


def python(folder: Path, *args: str) -> subprocess.CompletedProcess:
    env = {**os.environ, registry.MODELS_VARIABLE: str(folder / "models"), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, *args], cwd=folder, env=env, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("--help", "classify"),
        ("models --all", "eccv2022-trajectory"),
        ("evaluate --help", "zero-shot"),
        ("evaluate zero-shot --help", "esc50"),
        ("train --help", "sound-encoder"),
        ("edit --help", "--unet"),
    ],
)
def test_commands(bare, command, said):
    done = python(bare, "-m", "soundguide_core", *command.split())
    assert done.returncode == 0, done.stderr
    assert said in done.stdout and "scene-classifier," not in done.stdout and "seeing" not in done.stdout


@pytest.mark.slow
def test_what_is_missing_is_said(bare):
    done = python(bare, "-c", "import soundguide_core as sg; sg.load_joint()")
    assert "InputError" in done.stderr and "is missing" in done.stderr and "Install SoundGuide again" in done.stderr
    done = python(bare, "-m", "soundguide_core", "train", "stylegan2")
    assert done.returncode == 2 and "There is no recipe stylegan2" in done.stderr


def test_recipes_for_own_data_are_there(bare):
    code = "from soundguide_core.training.recipe import *; read_recipe('folder_sound_encoder')['training']['steps']"
    assert python(bare, "-c", code).returncode == 0
