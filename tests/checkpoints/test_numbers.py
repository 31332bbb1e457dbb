"""Files described without PyTorch: the same shapes, values and types as those of tensors."""

from __future__ import annotations

import importlib.util
import re

import numpy as np
import pytest
import torch

from soundguide_core.checkpoints import header, safe_pickle
from soundguide_core.checkpoints.formats import open_foreign
from soundguide_core.checkpoints.pickles.numbers import HELD, Numbers, as_tensor, is_tensor

SHAPE = (2, 3, 4, 5)
CALLS = {
    "permute": lambda x: x.permute(3, 2, 0, 1),
    "movedim": lambda x: x.movedim(1, 0),
    "flip": lambda x: x.flip(0, 1),
    "flatten": lambda x: x.flatten(1),
    "flatten two": lambda x: x.flatten(1, 2),
    "flatten all": lambda x: x.flatten(),
    "unflatten": lambda x: x.unflatten(2, (-1, 2)),
    "unflatten the last": lambda x: x.unflatten(-1, (-1, 1)),
    "expand": lambda x: x[0, :1, 0].expand(7, -1),
    "expand an axis more": lambda x: x[0, 0, 0].expand(6, -1),
    "t": lambda x: x[0, 0].t(),
    "double": lambda x: x.double(),
    "reshape": lambda x: x[:1, :1, :1, :1].reshape([]),
    "new_tensor": lambda x: x.new_tensor(2.0),
    "contiguous": lambda x: x[:, 1:].contiguous(),
    "arithmetic": lambda x: (x / 2.0 + 1) * x[0, 0, 0],
}


@pytest.mark.parametrize("name", CALLS)
def test_methods_are_those_of_tensors(name):
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
    expected, found = CALLS[name](x), CALLS[name](Numbers.of(x.numpy(), "float32"))
    assert type(found) is Numbers and found.shape == tuple(expected.shape)
    assert np.array_equal(found, expected.numpy()) and is_tensor(found)


def test_brain_floats_become_doubles():
    x = torch.tensor([1.5, -3.0, 1e30]).bfloat16()
    assert Numbers.of(x.view(torch.uint16).numpy(), "bfloat16").double().tolist() == x.double().tolist()


@pytest.mark.parametrize("kind", [kind for kind in HELD if hasattr(torch, kind)])
def test_every_type_is_held_in_its_own_size(kind):
    dtype = getattr(torch, kind)
    assert np.dtype(HELD[kind]).itemsize == dtype.itemsize
    assert as_tensor(Numbers.of(np.zeros(3, HELD[kind]), kind)).dtype == dtype


def test_large_storages_are_not_read(tmp_path):
    state = {"small": torch.ones(9), "large": torch.ones(100_000, dtype=torch.float64)}
    torch.save(state, tmp_path / "a.pt")
    found = safe_pickle.read(tmp_path / "a.pt", numbers=False)
    assert found["small"].tolist() == [1] * 9 and found["large"].shape == (100_000,) and not found["large"].any()


def test_safetensors_of_others(tmp_path):
    from safetensors.torch import save_file

    state = {"a": torch.randn(3, 2), "b": torch.randn(4).bfloat16(), "empty": torch.zeros(0, 2), "i": torch.arange(3)}
    save_file(state, tmp_path / "a.safetensors")
    found = header.tensors(tmp_path / "a.safetensors")
    assert found is not None and found.keys() == state.keys()
    for key, x in state.items():
        assert found[key].kind == str(x.dtype).removeprefix("torch.") and found[key].shape == tuple(x.shape)
        assert found[key].double().tolist() == x.double().tolist()
    save_file(state, tmp_path / "own.safetensors", {"config": "{}"})
    assert header.tensors(tmp_path / "own.safetensors") is None
    assert header.tensors(tmp_path / "absent") is None


def states():
    """(name, state dict) of every published layout at the widths of its makers' code."""
    from pathlib import Path

    fixtures = Path(__file__).resolve().parents[1] / "fixtures"
    spec = importlib.util.spec_from_file_location("networks", fixtures / "make_network_parity.py")
    assert spec is not None and spec.loader is not None
    networks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(networks)
    for file in sorted(fixtures.glob("*_parity.safetensors")):
        name = file.stem.removesuffix("_parity")
        try:
            yield from ((f"{name}, {case}", state) for case, state in networks.read(name)[1].items())
        except (KeyError, TypeError, ValueError):
            continue  # another script's


@pytest.mark.slow
def test_every_layout_is_described_as_it_is_loaded(tmp_path):
    known = 0
    for name, state in states():
        file = tmp_path / f"{re.sub(r'[^a-z]', '_', name)}.pth"
        torch.save(state, file)
        try:
            loaded = open_foreign(file)
        except Exception as error:
            with pytest.raises(type(error), match=re.escape(str(error))):
                open_foreign(file, numbers=False)
            continue
        known += 1
        described = open_foreign(file, numbers=False)
        assert (loaded.kind, loaded.config) == (described.kind, described.config), name
        assert {key: tuple(x.shape) for key, x in loaded.tensors.items()} == {
            key: x.shape for key, x in described.tensors.items()
        }, name
    assert known >= 8
