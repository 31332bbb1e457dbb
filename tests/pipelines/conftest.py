"""The pack's nodes without a ComfyUI, and their models."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="module")
def nodes():
    """(name of a file in nodes/) => its module."""
    spec = importlib.util.spec_from_file_location("stub_host", Path(__file__).with_name("stub_host.py"))
    stub = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(stub)
    with pytest.MonkeyPatch.context() as patch:
        yield stub.load(patch)
        stub.forget()


@pytest.fixture
def execute(nodes):
    """execute(file, class, **inputs) in inference mode, as the host calls it => its outputs."""

    def run(file: str, node: str, **inputs):
        with torch.inference_mode():
            return getattr(nodes(file), node).execute(**inputs).args

    return run


@pytest.fixture
def model(nodes):
    """(loader, path) => a model socket. loader: "embedding.joint.load_joint", of the nodes' own copy of the core."""

    def make(loader: str, path):
        module, _, name = loader.rpartition(".")
        host = nodes("host")
        load = getattr(
            importlib.import_module(f"{host.__package__}.{module}".replace(".nodes.", ".soundguide_core.")), name
        )
        return host.Model(str(path), lambda device: load(path, device))

    return make
