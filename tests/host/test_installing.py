"""Beside a bare ComfyUI: our requirements change nothing that it ships; what is missing takes its own nodes alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.host, pytest.mark.slow]

LOADED = """
import asyncio, importlib.util, json, logging, sys
root, host, blocked = sys.argv[1:]
sys.argv = sys.argv[:1]

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == blocked:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Blocked())
sys.path.insert(0, host)
import comfy.cli_args
comfy.cli_args.args.cpu = True
import comfy.model_patcher, comfy.context_windows, comfy.model_sampling, comfy_api.v0_0_2, folder_paths  # the host's
said = []
keep = logging.Handler()
keep.emit = lambda record: said.append(record.getMessage())
logging.getLogger().addHandler(keep)
before = set(sys.modules)
done = []

def seen(event, args):
    mode, flags = args[1:3] if event == "open" else ("", 0)
    writes = any(letter in str(mode) for letter in "wa+") or (isinstance(flags, int) and flags & 3)
    if (writes and "__pycache__" not in str(args[0])) or event in ("socket.connect", "subprocess.Popen", "os.mkdir"):
        done.append([event, str(args[0])])

sys.addaudithook(seen)
spec = importlib.util.spec_from_file_location("pack", root + "/__init__.py", submodule_search_locations=[root])
sys.modules["pack"] = package = importlib.util.module_from_spec(spec)
spec.loader.exec_module(package)
nodes = asyncio.run(asyncio.run(package.comfy_entrypoint()).get_node_list())
done = done.copy()
lines = [line for line in said if "SoundGuide" in line]
brought = sorted({name.split(".")[0] for name in set(sys.modules) - before} - {"pack"})
ids = [node.define_schema().node_id for node in nodes]
print(json.dumps({"nodes": ids, "said": lines, "brought": brought, "done": done}))
"""


def loaded(host_path, blocked: str) -> dict:
    command = [sys.executable, "-c", LOADED, str(ROOT), str(host_path), blocked]
    done = subprocess.run(command, capture_output=True, text=True, cwd=host_path)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


HEAVY = {"diffusers", "librosa", "numba", "matplotlib", "open_clip", "timm", "skimage"}


def test_loading_the_nodes_imports_nothing_heavy(importable_host):
    assert not set(loaded(importable_host, "nothing")["brought"]) & HEAVY


def test_loading_the_nodes_writes_fetches_and_prints_nothing(importable_host):
    found = loaded(importable_host, "nothing")
    assert found["done"] == [] and found["said"] == []


def test_nothing_that_the_host_ships_changes(importable_host):
    from installing import would_install

    try:
        new, there = would_install(importable_host)
    except RuntimeError as error:
        if "No matching distribution" in str(error) or "onnection" in str(error):
            pytest.skip("no package index can be reached")
        raise
    assert "open-clip-torch" in new and len(there) > 40
    assert {name: (there[name], new[name]) for name in new if name in there} == {}


@pytest.mark.parametrize(
    ("blocked", "gone"),
    [
        ("diffusers", {"LoadPixelDiffusion", "LoadMiniatureModel", "SoundiniSampler"}),
        ("librosa", {"SoundSchedule"}),
    ],
)
def test_a_missing_package_takes_its_own_nodes_with_one_line_in_the_log(importable_host, blocked, gone):
    whole, less = loaded(importable_host, "nothing"), loaded(importable_host, blocked)
    assert {name.removeprefix("SoundGuide") for name in set(whole["nodes"]) - set(less["nodes"])} == gone
    assert whole["said"] == [] and len(less["said"]) == 1 and "pip install" in less["said"][0]


def test_plots_are_empty_without_matplotlib(pack, monkeypatch):
    plots = pack("nodes.plots")
    monkeypatch.setattr(plots, "is_there", lambda module: False)
    assert tuple(plots.curve_picture([0.0, 1.0], 12.0, "loudness").shape) == (1, 64, 320, 3)
