"""What holds without a ComfyUI: a lazy root, nodes that import nothing heavy, workflows that are their API twins."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"))
LIGHT = {
    "__future__",
    "collections",
    "concurrent",
    "contextlib",
    "contextvars",
    "copy",
    "dataclasses",
    "functools",
    "importlib",
    "inspect",
    "itertools",
    "logging",
    "math",
    "numbers",
    "operator",
    "os",
    "pathlib",
    "sys",
    "threading",
    "time",
    "typing",
    "torch",
    "numpy",  # which torch has loaded
}
HOST = {"comfy", "comfy_execution", "folder_paths", "comfy_api"}  # its own modules


def test_the_root_imports_nothing_until_the_host_asks():
    spec = importlib.util.spec_from_file_location("lazy_root", ROOT / "__init__.py")
    root = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(root)
    assert (ROOT / root.WEB_DIRECTORY).is_dir() and inspect.iscoroutinefunction(root.comfy_entrypoint)


@pytest.mark.parametrize("path", sorted((ROOT / "nodes").glob("*.py")), ids=lambda path: path.stem)
def test_nodes_import_light_things_at_the_top(path):
    for step in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(step, ast.Import):
            names = [alias.name for alias in step.names]
        elif isinstance(step, ast.ImportFrom) and step.level == 0:
            names = [step.module]
        else:
            continue
        assert {name.split(".")[0] for name in names} <= LIGHT | HOST
        if not path.stem.startswith("host"):
            assert not {name.split(".")[0] for name in names} & HOST


@pytest.mark.parametrize("path", sorted((ROOT / "nodes").glob("*.py")), ids=lambda path: path.stem)
def test_no_output_is_called_like_an_input(path):
    """Which ComfyUI 0.3.64 refuses, and the whole pack with it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name == "define_schema":
            calls = [c for c in ast.walk(node) if isinstance(c, ast.Call) and isinstance(c.func, ast.Attribute)]
            ids = {
                kind: {getattr(c.args[0], "value", c) for c in calls if c.func.attr == kind and c.args}
                for kind in ("Input", "Output")
            }
            assert not ids["Input"] & ids["Output"]


def test_three_workflows_ship():
    assert len(WORKFLOWS) >= 3


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_is_its_api_twin(path):
    graph = json.loads(path.read_text(encoding="utf-8"))
    prompt = json.loads((path.parent / "api" / path.name).read_text(encoding="utf-8"))
    notes = [node for node in graph["nodes"] if node["type"] == "MarkdownNote"]
    nodes = {str(node["id"]): node for node in graph["nodes"] if node not in notes}
    assert notes and {key: node["type"] for key, node in nodes.items()} == {
        key: step["class_type"] for key, step in prompt.items()
    }
    # [link, source, slot, target, slot, type]
    links = {
        (str(target), nodes[str(target)]["inputs"][into]["name"], str(source), out)
        for _, source, out, target, into, _ in graph["links"]
    }
    wanted = {
        (key, name, *value)
        for key, step in prompt.items()
        for name, value in step["inputs"].items()
        if isinstance(value, list)
    }
    assert links == wanted
    for key, node in nodes.items():
        for value in prompt[key]["inputs"].values():
            assert isinstance(value, list) or value == "" or value in node.get("widgets_values", []), (
                node["type"],
                value,
            )


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_names_the_values_it_lists(path):
    """A newer page reads widgets_values_named, an older one widgets_values: both open what the API twin says."""
    graph = json.loads(path.read_text(encoding="utf-8"))
    prompt = json.loads((path.parent / "api" / path.name).read_text(encoding="utf-8"))
    for node in graph["nodes"]:
        named = node.get("widgets_values_named")
        if named is None:
            assert not node.get("widgets_values") or node["type"] == "MarkdownNote", node["type"]
            continue
        assert list(named.values()) == node["widgets_values"], node["type"]
        for name, value in prompt[str(node["id"])]["inputs"].items():
            unsaved = value == "" and name not in named  # the player of a sound, which the page does not save
            assert isinstance(value, list) or unsaved or named.get(name) == value, (node["type"], name)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_runs_on_a_bare_host_and_repeats_itself(path):
    graph = json.loads(path.read_text(encoding="utf-8"))
    kinds = {node["type"] for node in graph["nodes"]}
    assert "subgraphs" not in graph.get("definitions", {}), "flat, so that every version can load it"
    assert not kinds & {"LoadImage", "LoadAudio", "LoadVideo"}, "nobody else has the file"
    assert all("randomize" not in (node.get("widgets_values") or []) for node in graph["nodes"])
    assert path.with_suffix(".jpg").stat().st_size < 200_000


def test_an_error_while_the_nodes_are_imported_is_told_with_its_traceback(tmp_path, caplog):
    (tmp_path / "__init__.py").write_text((ROOT / "__init__.py").read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "nodes.py").write_text("raise ZeroDivisionError('broken')", encoding="utf-8")
    spec = importlib.util.spec_from_file_location(
        "broken_pack", tmp_path / "__init__.py", submodule_search_locations=[str(tmp_path)]
    )
    sys.modules["broken_pack"] = root = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(root)
    with pytest.raises(ZeroDivisionError):
        root.comfy_entrypoint().send(None)  # not asyncio.run: other tests may have left a loop running
    (record,) = caplog.records
    assert "SoundGuide" in record.getMessage() and record.exc_info


# what a registry's scanner would stop at
RISKY = {"subprocess", "socket", "pickle", "ctypes", "multiprocessing"}


@pytest.mark.parametrize("path", sorted((ROOT / "nodes").glob("*.py")), ids=lambda path: path.stem)
def test_nodes_start_no_process_open_no_socket_and_run_no_file(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for step in ast.walk(tree):
        if isinstance(step, ast.Import):
            assert not {alias.name.split(".")[0] for alias in step.names} & RISKY
        elif isinstance(step, ast.ImportFrom):
            assert (step.module or "").split(".")[0] not in RISKY
        elif isinstance(step, ast.Call):
            called = ast.unparse(step.func)
            assert called not in {"eval", "exec", "compile", "torch.load", "os.system"}, called
        elif isinstance(step, (ast.Assign, ast.Delete)):
            assert not any("os.environ" in ast.unparse(target) for target in step.targets)


def test_frames_a_second_are_typed_once_in_a_template_and_travel():
    for path in WORKFLOWS:
        prompt = json.loads((path.parent / "api" / path.name).read_text(encoding="utf-8"))
        if any(step["class_type"] == "CreateVideo" for step in prompt.values()):
            typed = [
                step["class_type"] for step in prompt.values() if not isinstance(step["inputs"].get("fps", []), list)
            ]
            assert len(typed) == 1, (path.stem, typed)


SAVED = ROOT / "tests" / "fixtures" / "saved_by_0_2_0" / "golden_nodes.json"
EARLIER = json.loads(SAVED.read_text(encoding="utf-8"))
WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}


def inputs_in_order(promised: dict) -> dict[str, list]:
    return {**promised["inputs"]["required"], **promised["inputs"]["optional"]}


@pytest.mark.parametrize("id", EARLIER)
def test_what_an_earlier_release_promised_is_kept(id):
    """0.2.0 as it was first: inputs keep type, default and choices; new widgets and outputs come after the old ones."""
    old = EARLIER[id]
    new = json.loads((ROOT / "tests" / "host" / "golden_nodes.json").read_text(encoding="utf-8"))[id]
    before, now = inputs_in_order(old), inputs_in_order(new)
    for name, (kind, options) in before.items():
        assert now[name][0] == kind, name
        for key, value in options.items():
            kept = now[name][1][key]
            assert kept[: len(value)] == value if key == "options" else kept == value, (name, key)
    assert set(new["inputs"]["required"]) <= set(old["inputs"]["required"]), "a new input must not be required"
    widgets = [[name for name, spec in inputs.items() if spec[0] in WIDGETS] for inputs in (before, now)]
    assert widgets[1][: len(widgets[0])] == widgets[0]
    assert new["outputs"][: len(old["outputs"])] == old["outputs"]


@pytest.mark.parametrize("path", sorted((ROOT / "nodes").glob("*.py")), ids=lambda path: path.stem)
def test_the_hosts_interface_is_imported_in_one_file(path):
    """Which says what is not there in older hosts; the others ask it."""
    for step in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [step.module or ""] if isinstance(step, ast.ImportFrom) and not step.level else []
        names += [alias.name for alias in step.names] if isinstance(step, ast.Import) else []
        assert path.stem == "host" or not any(name.split(".")[0] == "comfy_api" for name in names), names


def shipped() -> list[Path]:
    """Python files that a registry's archive holds."""
    left_out = [line.rstrip("/") for line in (ROOT / ".comfyignore").read_text(encoding="utf-8").split()]
    paths = [path for path in ROOT.rglob("*.py") if not {".venv", "build"} & set(path.relative_to(ROOT).parts)]
    return sorted(path for path in paths if path.relative_to(ROOT).parts[0] not in left_out)


@pytest.mark.parametrize("path", shipped(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_that_ships_starts_a_process_runs_a_file_or_changes_the_environment(path):
    for step in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(step, ast.Import):
            assert not {alias.name.split(".")[0] for alias in step.names} & {"subprocess", "socket", "pickle"}
        elif isinstance(step, ast.ImportFrom) and not step.level:
            assert (step.module or "").split(".")[0] not in {"subprocess", "socket", "pickle"}
        elif isinstance(step, ast.Call):
            assert ast.unparse(step.func) not in {"eval", "exec", "torch.load", "os.system", "os.putenv"}
        elif isinstance(step, ast.Assign):
            assert not any("os.environ" in ast.unparse(target) for target in step.targets)


def test_workflows_need_no_script_in_the_page():
    """web/ holds help pages and nothing that a page would run, so there is nothing to be without."""
    assert {path.suffix for path in (ROOT / "web").rglob("*") if path.is_file()} == {".md"}
