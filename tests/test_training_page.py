"""The commands of docs/training.md, in their order, on small networks and tiny steps."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

import pytest
from every_training import DATA, RECIPES, STAGE, clips, pictures, sounds

from soundguide_core.cli import main
from soundguide_core.training import recipe as recipes
from soundguide_core.training.engine.metrics_log import read_metrics

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^```bash\n(.*?)\n```$", PAGE, re.M | re.S)
FILES = re.findall(r"^```toml (\S+)\n(.*?)\n```$", PAGE, re.M | re.S)
LEFT = {
    "mine": "trajectory", "pictures": "generator", "sounds": "sound", "video": "trajectory", "listening": "generator",
    "classes": "generator",
}  # fmt: skip
LAUNCHERS = ("python -m soundguide_core ", "accelerate launch -m soundguide_core ")


def small(read, tiny):
    """read_recipe, whose recipes are small and on untrained models."""

    def read_recipe(name: str):
        stem = {"pictures": "stylegan2", "clips": "sound_video"}.get(Path(name).stem, Path(name).stem)
        module = next(m for m in sorted(RECIPES, key=len, reverse=True) if m in stem)
        found = recipes.merged(read(name), RECIPES[module])
        if module == "sound_video":
            found["models"] = {"joint": str(tiny.joint), "generator": str(tiny.generator)}
            found["training"]["stages"] = [{**stage, **STAGE} for stage in found["training"]["stages"]]
            found["training"]["stages"][1]["before"] = 2
        if module == "sound_encoder":
            found["data"]["clip"] = str(tiny.joint / "clip.safetensors")
        return recipes.Recipe(found)

    return read_recipe


@pytest.mark.slow
@pytest.mark.long
def test_the_commands_of_the_page(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    clips(tmp_path / "clips")
    (tmp_path / "clips" / "rain" / "00.mp4").rename(tmp_path / "clips" / "rain" / "porch.mp4")
    pictures(tmp_path / "pictures")
    sounds(tmp_path / "sounds")
    for name, content in FILES:
        (tmp_path / name).write_text(content, encoding="utf-8")
    monkeypatch.setattr(recipes, "read_recipe", small(recipes.read_recipe, tiny))
    assert len(COMMANDS) == 9
    for command in COMMANDS:
        launcher = next(way for way in LAUNCHERS if command.startswith(way))
        words = shlex.split(command.removeprefix(launcher))
        if words[0] == "generate":
            words += ["--generator", str(tiny.generator), "--joint", str(tiny.joint), "--fps", "6"]
        assert main([*words, "--device", "cpu"]) == 0, command
        if "--estimate" in words:
            assert "steps of" in capsys.readouterr().out
    for folder, weights in LEFT.items():
        assert (tmp_path / "runs" / folder / f"{weights}.safetensors").is_file()
        assert read_metrics(tmp_path / "runs" / folder / "metrics.csv")
    assert (tmp_path / "rain.mp4").is_file()


def test_what_the_page_says_is_there():
    """Every training that can learn from one's own data, the options of a run, and what takes what was trained."""
    from soundguide_core.cli import parser
    from soundguide_core.cli.train import _things

    (action,) = (a for a in parser()._actions if isinstance(a, argparse._SubParsersAction))
    options = {name: set(command._option_string_actions) for name, command in action.choices.items()}
    rows = re.findall(r"^\| `([a-z0-9-]+)` \|.*\| (.*) \|$", PAGE, re.M)
    assert {name for name, _ in rows} == {n for n, module in _things().items() if module.rpartition(".")[2] in DATA}
    nodes = (ROOT / "nodes").glob("*.py")
    shown = set(re.findall(r'display_name="([^"]+)"', "".join(path.read_text(encoding="utf-8") for path in nodes)))
    for name, takers in rows:
        for command, option in re.findall(r"`([a-z]+) (--[a-z-]+)`", takers):
            assert option in options[command], (name, command, option)
        for node in re.findall(r"Load [A-Z][A-Za-z-]*(?: [A-Z][A-Za-z-]*)*", takers):
            assert node in shown, (name, node)
    for option in re.findall(r"^\| `(--[a-z-]+)", PAGE, re.M):
        assert option in options["train"], option
