"""What the registry of ComfyUI reads: the fields of pyproject.toml, and an archive without tests."""

from __future__ import annotations

import fnmatch
import re
import subprocess
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
HOME = "soundguide/ComfyUI-SoundGuide"
MOST = 60_000_000  # bytes; 40 of them are the weights of the miniature


def said(name: str) -> str:
    return re.search(rf'^{name} = "([^"]+)"', TEXT, re.M)[1]


def test_the_fields_are_those_that_the_registry_asks_for():
    assert re.fullmatch(r"[a-z][a-z0-9-]{0,98}", said("name")) and "comfyui" not in said("name")
    assert re.fullmatch(r"\d+\.\d+\.\d+", said("version")) and said("DisplayName") and said("PublisherId")
    assert said("requires-comfyui").startswith(">=") and 'license = { file = "LICENSE" }' in TEXT
    assert said("Repository").startswith("https://github.com/")


def test_icon_and_banner_have_the_shapes_that_it_shows():
    icon, banner = (ROOT / "assets" / said(name).rsplit("/", 1)[1] for name in ("Icon", "Banner"))
    width, height = Image.open(icon).size
    assert width == height <= 400
    width, height = Image.open(banner).size
    assert abs(width / height - 21 / 9) < 0.01


def test_the_address_of_the_project_stands_in_one_place():
    try:
        found = subprocess.run(["git", "grep", "-lF", HOME], cwd=ROOT, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("no git here")
    if found.returncode > 1:
        pytest.skip("not a clone")
    cloned = "README.md"  # which says what to clone
    assert set(found.stdout.split()) <= {"pyproject.toml", cloned, "tests/test_registry.py"}


def test_the_archive_is_small_and_has_no_tests():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a clone")
    left_out = (ROOT / ".comfyignore").read_text(encoding="utf-8").split()
    kept = [
        name
        for name in listed.stdout.split("\0")
        if name and not any(fnmatch.fnmatch(name, f"{each}*" if each.endswith("/") else each) for each in left_out)
    ]
    assert not [name for name in kept if re.search(r"(^|/)(tests?|benchmarks|\.ci|\.github)/", name)]
    assert {"__init__.py", "pyproject.toml", "requirements.txt"} <= set(kept)
    assert {"locales/de/nodeDefs.json", "locales/zh/nodeDefs.json"} <= set(kept)
    assert sum((ROOT / name).stat().st_size for name in kept) < MOST
