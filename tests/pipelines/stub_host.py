"""So much of ComfyUI's modules that the pack's nodes can be called where no ComfyUI is, on the CPU."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
PACK = "pack_on_stub"


class Part:
    """Any class of the host's schema language: it takes everything and remembers it."""

    def __init__(self, *args, **kwargs):
        self.args, self.kwargs = args, kwargs


class Kind(Part):
    Input = type(
        "Input", (Part,), {"__init__": lambda self, id, advanced=None, **kwargs: Part.__init__(self, id, **kwargs)}
    )
    Output = Part


class NodeOutput(Part):
    def __getitem__(self, i):
        return self.args[i]


class ModelPatcher:
    def __init__(self, model, load_device, offload_device):
        self.model, self.load_device = model, load_device

    def model_size(self):
        return 0


class ProgressBar:
    def __init__(self, total):
        self.total = total

    def update_absolute(self, *args):
        pass


class Io(types.ModuleType):
    ComfyNode, NodeOutput, Schema = object, NodeOutput, Part

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Kind

    @staticmethod
    def Custom(name):
        return type(name, (Kind,), {})


def modules() -> dict[str, types.ModuleType]:
    """By the names under which they are imported."""
    cpu, nothing = torch.device("cpu"), lambda *args, **kwargs: None
    management = types.ModuleType("comfy.model_management")
    for name in ("get_torch_device", "unet_offload_device", "intermediate_device"):
        setattr(management, name, lambda: cpu)
    for name in ("load_models_gpu", "throw_exception_if_processing_interrupted", "soft_empty_cache"):
        setattr(management, name, nothing)
    management.OOM_EXCEPTION = MemoryError
    management.InterruptProcessingException = KeyboardInterrupt
    utils, patcher, api = (types.ModuleType(f"comfy.{name}") for name in ("utils", "model_patcher", "api"))
    utils.ProgressBar, patcher.ModelPatcher = ProgressBar, ModelPatcher
    api.ComfyExtension, api.io, api.ui = object, Io("io"), types.ModuleType("ui")
    comfy = types.ModuleType("comfy")
    comfy.model_management, comfy.utils, comfy.model_patcher = management, utils, patcher
    return {
        "comfy": comfy, "comfy.model_management": management, "comfy.utils": utils, "comfy.model_patcher": patcher,
        "comfy_api": types.ModuleType("comfy_api"), "comfy_api.v0_0_2": api,
        "folder_paths": types.ModuleType("folder_paths"),
    }  # fmt: skip


def load(monkeypatch):
    """(name of a file in nodes/) => its module, on the stub; undone with monkeypatch."""
    for name, module in modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    spec = importlib.util.spec_from_file_location(PACK, ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
    pack = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, PACK, pack)
    spec.loader.exec_module(pack)

    # nodes/__init__.py would import every node: a bare package in its place imports only what is asked for
    nodes = types.ModuleType(f"{PACK}.nodes")
    nodes.__path__ = [str(ROOT / "nodes")]
    monkeypatch.setitem(sys.modules, nodes.__name__, nodes)
    return lambda name: importlib.import_module(f"{nodes.__name__}.{name}")


def forget() -> None:
    """Takes the pack out of sys.modules again."""
    for name in [name for name in sys.modules if name.split(".")[0] == PACK]:
        del sys.modules[name]
