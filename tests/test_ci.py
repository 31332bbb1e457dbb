"""The files that others run: which systems, Pythons and hosts the tests see, and what is published when."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
TESTS = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
PUBLISH = (ROOT / ".github" / "workflows" / "publish.yml").read_text(encoding="utf-8")


def listed(name: str) -> list[str]:
    return re.findall(r'[\w.-]+', re.search(rf"^ +{name}: \[(.*)\]", TESTS, re.M)[1])


def test_every_supported_python_is_tested_on_every_system():
    floor = int(re.search(r'requires-python = ">=3\.(\d+)"', PROJECT)[1])
    assert listed("python") == [f"3.{minor}" for minor in range(floor, 14)]
    assert {system.split("-")[0] for system in listed("os")} == {"ubuntu", "windows", "macos"}


def test_the_oldest_host_that_is_promised_is_the_oldest_that_is_tested():
    promised = re.search(r'requires-comfyui = ">=([\d.]+)"', PROJECT)[1]
    hosts = listed("comfyui")
    assert hosts[0] == f"v{promised}" and hosts[-1] == "master" and "v0.33.0" in hosts
    assert promised in (ROOT / "README.md").read_text(encoding="utf-8")


def test_a_version_is_published_by_its_tag_after_all_tests():
    assert re.search(r"tags: \[\"v\*", PUBLISH) and "branches" not in PUBLISH
    assert "needs: tests" in PUBLISH and "uses: ./.github/workflows/tests.yml" in PUBLISH


def test_the_version_is_a_semantic_one_that_the_changelog_tells_of():
    version = re.search(r'^version = "([^"]+)"', PROJECT, re.M)[1]
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    first = re.search(r"^## (?:\[?)([\w. ]+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)[1]
    assert first in (version, "Unreleased")


@pytest.mark.parametrize("folder", ["soundguide_core", "nodes", "start.py", "__init__.py"])
def test_the_oldest_python_can_read_it(folder):
    paths = [ROOT / folder] if folder.endswith(".py") else sorted((ROOT / folder).rglob("*.py"))
    for path in paths:
        ast.parse(path.read_text(encoding="utf-8"), path.name, feature_version=(3, 10))
