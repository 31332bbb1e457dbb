"""Imports point one way (core never up, never to the host), and inside the pack they are relative."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CORE = ROOT / "soundguide_core"
HOST = {"comfy", "comfy_api", "comfy_execution", "comfy_extras", "folder_paths", "server", "execution", "node_helpers"}

# folder or file of soundguide_core -> what it may import besides its own folder
BASE = {"common", "media", "checkpoints"}
NETWORKS = {"audio", "embedding", "generators", "flow"}
ABOVE = BASE | NETWORKS | {"losses", "latents", "trajectory", "diffusion"}
LAYERS = {
    "common": set(),
    "media": {"common"},
    "checkpoints": {"common"},
    "audio": BASE,
    "embedding": BASE | {"audio"},
    "generators": BASE,
    "flow": BASE,
    "losses": BASE | NETWORKS,
    "latents": BASE | NETWORKS | {"losses"},
    "trajectory": BASE | NETWORKS | {"losses", "latents"},
    "diffusion": BASE | NETWORKS | {"losses"},
    "systems": ABOVE,
    "metrics": ABOVE | {"systems"},
    "pipelines": ABOVE | {"systems", "metrics"},
    "training": ABOVE | {"systems", "metrics"},
    "miniature": ABOVE | {"systems", "metrics", "pipelines", "training", "cli"},
    "live": ABOVE | {"systems", "metrics", "pipelines"},
    "cli": ABOVE | {"systems", "metrics", "pipelines", "training", "live"},  # demo* alone: miniature
    "__main__": {"cli"},
    "__init__": ABOVE | {"systems"},
}
ALONE = {"systems"}  # files in these folders do not import each other
SHIPPED = sorted([*CORE.rglob("*.py"), *(ROOT / "nodes").rglob("*.py"), ROOT / "__init__.py"])


def imports(path: Path) -> list[tuple[int, str, list[str]]]:
    """(level, module, names) of every import, wherever it stands in the file."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(0, alias.name, []) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.level, node.module or "", [alias.name for alias in node.names]))
    return found


def targets(path: Path) -> list[tuple[str, ...]]:
    """Paths below the root that a file's relative imports name, ("soundguide_core", "audio", "mel")."""
    package = path.relative_to(ROOT).parent.parts
    found = []
    for level, module, names in imports(path):
        if level:
            base = (*package[: len(package) - level + 1], *filter(None, module.split(".")))
            found += [(*base, name) for name in names]
    return found


@pytest.mark.parametrize("path", [p for p in SHIPPED if p.exists()], ids=lambda p: p.relative_to(ROOT).as_posix())
def test_arrows(path: Path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    absolute = [module for level, module, _ in imports(path) if level == 0]
    assert not [m for m in absolute if m.split(".")[0] in ("soundguide_core", "nodes")], "imports inside are relative"
    hosted = [m for m in absolute if m.split(".")[0] in HOST]
    if parts[0] != "nodes":
        assert not hosted, "only nodes/ imports the host"
    elif not parts[-1].startswith("host"):
        assert not [m for m in hosted if m.startswith("comfy.")], "only host*.py touch comfy.*"
    if parts[0] != "soundguide_core" or len(parts) < 2:
        return
    layer = parts[1]
    for target in targets(path):
        assert target[0] == "soundguide_core", f"the core reaches out of itself: {target}"
        aim = target[1]
        if not (CORE / aim).is_dir() and not (CORE / f"{aim}.py").is_file():
            continue  # a name out of soundguide_core/__init__.py
        shown = aim == "miniature" and layer == "cli" and parts[2].startswith("demo")
        assert aim == layer or aim in LAYERS[layer] or shown, f"{layer} must not import {aim}"
        if layer == aim and layer in ALONE:
            assert target[2:3] == parts[2:3] or not (CORE / aim / f"{target[2]}.py").is_file(), "systems stand alone"


def test_every_folder_has_a_layer():
    here = {p.stem if p.is_file() else p.name for p in CORE.iterdir() if p.suffix == ".py" or p.is_dir()}
    assert here - {"__pycache__"} <= set(LAYERS)


NAMES = re.compile(r"miniature|PHENOMENA|phenomen(on|a)\b", re.IGNORECASE)  # the client, and what its world consists of
TOLD = CORE / "systems" / "configs"  # tooltips of nodes, which say what the shipped models take and can do


@pytest.mark.parametrize("path", sorted(CORE.rglob("*.py")), ids=lambda p: p.relative_to(CORE).as_posix())
def test_nothing_names_the_client(path: Path):
    parts = path.relative_to(CORE).parts
    if parts[0] == "miniature" or (parts[0] == "cli" and parts[1].startswith("demo")):
        return
    text = path.read_text(encoding="utf-8")
    if TOLD in path.parents:
        text = re.sub(r'"[^"\n]*"', "", text)
    found = [f"line {text[: match.start()].count(chr(10)) + 1}: {match[0]}" for match in NAMES.finditer(text)]
    assert not found, "the registry alone names clients of the library"


def test_what_the_registry_says_of_clients_is_there():
    from soundguide_core.checkpoints import registry
    from soundguide_core.training.recipe import named_function

    for client in registry.clients():
        for module in (*client.train.values(), *client.evaluate.values()):
            assert callable(import_module(f"soundguide_core.{module}").run), module
        assert all(callable(named_function(name)) for name in client.sources.values())
        assert list(client.recipes.glob("*.toml"))
