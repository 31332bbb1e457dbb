"""What errors and help tell people to type is what works where they are."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from soundguide_core.common.called import PACK, called, command


@pytest.mark.parametrize(
    "started, variable, said",
    [
        ("/usr/bin/soundguide", "", "soundguide"),
        ("__main__.py", "python start.py run", "python start.py run"),
        ("main.py", "", "python -m soundguide_core"),
    ],
)
def test_a_command_is_called_as_this_one_was(monkeypatch, started, variable, said):
    monkeypatch.setattr(sys, "argv", [started])
    monkeypatch.delenv("SOUNDGUIDE_CALLED", raising=False)
    if variable:
        monkeypatch.setenv("SOUNDGUIDE_CALLED", variable)
    assert called() == said and command("models") == f"`{said} models`"


def test_in_a_pack_of_another_program_it_is_said_where(monkeypatch):
    path = Path(sys.modules["soundguide_core.common.called"].__file__)
    spec = importlib.util.spec_from_file_location("custom_nodes.pack.soundguide_core.common.called", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys, "argv", ["main.py"])
    monkeypatch.delenv("SOUNDGUIDE_CALLED", raising=False)
    said = module.command("download yamnet")
    assert said == f"`python -m soundguide_core download yamnet` in {PACK}, with the Python that runs ComfyUI"
